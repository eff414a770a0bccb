package faas_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/joinery/faas"
)

func TestValidateImage(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("0a", 32)
	for _, good := range []string{"hello", "hello:1", "hello" + digest, "hello:1" + digest, "library/hello", "127.0.0.1:5000/a/b_c:v1.2-rc",
		"localhost/hello", "localhost:5000/hello", "registry.example.com/team/hello:latest", "[::1]:5000/hello", "a--b/c__d"} {
		assert.NoError(t, faas.ValidateImage(good), good)
	}
	for _, bad := range []string{"", "Hello", "hello:", "hello:1:2", "hello@sha256:12", "hello/", "/hello", "-rm", "--privileged", "a b", "a\x00b", "a\nb",
		"hello?x=1", "../etc", "http://registry/hello", "h\u00e9llo", strings.Repeat("a", 513), "hello:" + strings.Repeat("a", 129)} {
		err := faas.ValidateImage(bad)
		assert.ErrorIs(t, err, faas.ErrInvalidArgument, bad)
		assert.Less(t, len(err.Error()), 400)
	}
}

func TestSpecWithAnImage(t *testing.T) {
	s := faas.Spec{Contract: faas.ContractSocket, Image: "hello:1"}
	assert.NoError(t, s.Validate(), "an image has a command of its own")
	s.Image = "Hello"
	assert.ErrorContains(t, s.Validate(), `"image"`)
	s.Image, s.Command = "hello:1", []string{""}
	assert.ErrorContains(t, s.Validate(), `"command"`)
	handler := faas.Spec{Contract: faas.ContractHandler, Command: []string{"hello"}, Image: "hello:1"}
	assert.ErrorContains(t, handler.Validate(), `"image"`)
}
