package gobuilder_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/joinery/faas"
)

// FuzzValidate: any text is either accepted or refused as the source's fault.
func FuzzValidate(f *testing.F) {
	b := newBuilder(f)
	f.Add(hello)
	f.Add("package main\n\nfunc main() {}\n")
	f.Add("package a\n\nimport . \"net/http\"\n\nfunc Handler(ResponseWriter, *Request) {}\n")
	f.Add("//go:build !linux\n\npackage \x00")
	f.Fuzz(func(t *testing.T, text string) {
		if err := b.Validate(context.Background(), source(map[string]string{"a.go": text})); err != nil {
			require.ErrorIs(t, err, faas.ErrInvalidArgument)
			require.NotErrorIs(t, err, faas.ErrInternal)
		}
	})
}
