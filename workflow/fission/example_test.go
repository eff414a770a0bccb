package fission_test

import (
	"fmt"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/fission"
)

func ExampleLanguage() {
	language, err := fission.Language(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = language.Compile(&workflow.Definition{Ref: faas.Ref{Name: "whale"}, Language: "fission", Source: `
output: WhaleWithFortune
tasks:
  GenerateFortune:
    run: fortune
  WhaleWithFortune:
    run: whalesay
    inputs: "{ output('GenerateFortune') }"
    requires:
    - GenerateFortunes
`})
	fmt.Println(err)
	// Output:
	// workflow registry: compile: invalid argument
	// 	tasks.WhaleWithFortune.requires[0]: there is no task "GenerateFortunes" (line 10, column 7)
}
