package gobuilder_test

import (
	"context"
	"fmt"
	"log"
	"testing/fstest"

	"github.com/joinery/faas/builder/gobuilder"
)

func ExampleNew() {
	// Modules may be fetched from this proxy; without it, they come from vendor or the module cache.
	b, err := gobuilder.New(&gobuilder.Options{Env: map[string]string{"GOPROXY": "https://proxy.example.com"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(b.Validate(context.Background(), fstest.MapFS{"hello.go": {Data: []byte("package hello\n")}}))
	// Output:
	// go builder: validate "hello.go": invalid argument: package hello has no func Handler(w http.ResponseWriter, r *http.Request); export one, or make it package main and serve HTTP on 127.0.0.1:$PORT
}
