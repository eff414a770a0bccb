package pybuilder

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestRequirements(t *testing.T) {
	got := requirements([]byte("# a comment\n\n--require-hashes\na==1.0  # why\nb==2 \\\n  --hash=sha256:00 \\\r\n  --hash=sha256:01\n  c [x,y] == 3 ; python_version > '3'\nd==4 \\"))
	assert.Equal(t, []string{"a==1.0", "b==2    --hash=sha256:00    --hash=sha256:01", "c [x,y] == 3 ; python_version > '3'", "d==4"}, got)
}

func TestPin(t *testing.T) {
	for line, hashed := range map[string]bool{
		"a==1.0": false, "A_b.c-d[x, y]==1!2.0.post1+local": false, "a===1": false, "a == 1 ; python_version < '3.9'": false,
		"a==1 --hash=sha256:0a": true, "a==1 ; extra == 'x' --hash=sha256:0a --hash=sha512:0b": true,
	} {
		exact, h := pin(line)
		assert.True(t, exact, line)
		assert.Equal(t, hashed, h, line)
	}
	for _, line := range []string{
		"a", "a>=1", "a==1.*", "a==1,<2", "a @ https://x/a.whl", "-e .", "-r other.txt", "--index-url https://x", "https://x/a.whl", "./a.whl",
		"a==1 --global-option=x", "a==1 ; x == 'y' --config-settings=z", "a==1 --hash=md5:00", "a==${VERSION}", "==1", "a==1 b==2",
	} {
		exact, _ := pin(line)
		assert.False(t, exact, line)
	}
}

// FuzzLock: whatever the lock file, a line that counts as pinned carries no option but hashes and no URL.
func FuzzLock(f *testing.F) {
	f.Add("a==1.0 \\\n --hash=sha256:00\n# x\nb>=2\n")
	f.Add("-r other\n--index-url https://example.com\na==1 ; python_version > '3' --global-option=x\n")
	f.Fuzz(func(t *testing.T, lock string) {
		for _, line := range requirements([]byte(lock)) {
			if line == "" {
				t.Fatal("an empty requirement")
			}
			if exact, _ := pin(line); exact {
				rest := strings.ReplaceAll(line, " --hash=sha", "")
				if line[0] == '-' || strings.Contains(rest, " -") || strings.ContainsAny(line[:strings.Index(line, "==")], "/@:") {
					t.Fatalf("%q counts as pinned", line)
				}
			}
		}
	})
}
