package schedule_test

import (
	"fmt"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/schedule"
)

func ExampleLanguage() {
	_, err := schedule.Language().Compile(&workflow.Definition{Ref: faas.Ref{Name: "nightly"}, Language: "schedule", Source: `
workflow: report
cron: "0 0 31 2 *"
overlap: buffer-one
`})
	fmt.Println(err)
	// Output:
	// workflow registry: compile: invalid argument
	// 	cron: never matches (line 3, column 7)
}

func ExampleParseCron() {
	times, err := schedule.ParseCron("0 9 * * mon-fri", time.UTC)
	if err != nil {
		fmt.Println(err)
		return
	}
	at := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	for range 2 {
		at = times.Next(at)
		fmt.Println(at.Format(time.RFC1123))
	}
	// Output:
	// Mon, 05 Jan 2026 09:00:00 UTC
	// Tue, 06 Jan 2026 09:00:00 UTC
}

func ExampleEvery() {
	times, err := schedule.Every(15 * time.Minute)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(times.Next(time.Date(2026, 1, 2, 12, 1, 0, 0, time.UTC)).Format("15:04"))
	// Output: 12:15
}
