package flow

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestBaselinesRunTheTrees(t *testing.T) {
	dir := t.TempDir()
	j, err := OpenJournalEngine(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	records := 0
	for _, tree := range Trees() {
		for name, e := range map[string]Engine{"mem": Mem{}, "journal": j} {
			got, err := e.Run(context.Background(), tree)
			if err != nil || got != tree.Want() {
				t.Errorf("%s %s: %d, %v", name, tree.Name, got, err)
			}
		}
		records += tree.Steps + 2
	}
	if want := map[string]int{"seq5": 5, "par100": 5050}; seq5.Want() != want["seq5"] || par100.Want() != want["par100"] {
		t.Errorf("trees give %d and %d", seq5.Want(), par100.Want())
	}
	info, err := os.Stat(filepath.Join(dir, "journal"))
	if err != nil || info.Size() != int64(records*len(Record{})) {
		t.Errorf("journal of %d records: %d bytes, %v", records, info.Size(), err)
	}
}

func TestMeasureRefusesAWrongResult(t *testing.T) {
	if _, err := Measure(wrong{}, seq5, 2, time.Millisecond); err == nil {
		t.Error("a wrong result was counted")
	}
}

type wrong struct{}

func (wrong) Run(context.Context, Tree) (int, error) { return -1, nil }
