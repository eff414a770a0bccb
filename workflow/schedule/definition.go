package schedule

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
	"github.com/joinery/faas/workflow/internal/source"
)

// definition is the text of a schedule.
type definition struct {
	// Workflow is what to run. Required.
	Workflow string `json:"workflow"`
	// Cron or Every says when; one of them.
	Cron  string   `json:"cron,omitempty"`
	Every duration `json:"every,omitempty"`
	// Timezone of Cron. Empty: UTC.
	Timezone string `json:"timezone,omitempty"`
	// Overlap is what becomes of a time that comes while a run is under way. Empty: skip.
	Overlap string `json:"overlap,omitempty"`
	// Catchup bounds how late a run may start. Empty: defaultCatchup.
	Catchup duration `json:"catchup,omitempty"`
	// Jitter bounds how late each start is made by chance.
	Jitter duration `json:"jitter,omitempty"`
	// From and Until bound the times; both are times of it if they match.
	From  *time.Time `json:"from,omitempty"`
	Until *time.Time `json:"until,omitempty"`
	// Input of each run, to which the interval is added.
	Input map[string]any `json:"input,omitempty"`
	// Attributes of each run.
	Attributes map[string]string `json:"attributes,omitempty"`
}

const (
	defaultCatchup = time.Hour
	maxCatchup     = 366 * 24 * time.Hour
	maxJitter      = 24 * time.Hour
)

// duration is a time.Duration as text: "1h30m".
type duration time.Duration

// UnmarshalText reads what time.ParseDuration reads.
func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("%.40q is not a duration such as 15m or 1h30m", text)
	}
	*d = duration(v)
	return nil
}

// overlap is what becomes of a time that comes while a run is under way.
type overlap string

const (
	skip           overlap = "skip"
	bufferOne      overlap = "buffer-one"
	bufferAll      overlap = "buffer-all"
	cancelOther    overlap = "cancel-other"
	terminateOther overlap = "terminate-other"
	allow          overlap = "allow"
)

var overlaps = []overlap{skip, bufferOne, bufferAll, cancelOther, terminateOther, allow}

// Name is the name of the language, for Definition.Language.
const Name = "schedule"

// Language returns the language.
func Language() workflow.Language { return language{} }

type language struct{}

func (language) Name() string { return Name }

// Compile implements workflow.Language.
func (language) Compile(d *workflow.Definition) (workflow.Program, error) {
	if p, ok := compileGuard(d); ok {
		return p, nil
	}
	var doc source.Document
	var in definition
	doc.Read(d.Source, &in)
	if doc.Failed() {
		return nil, doc.Err()
	}
	p := &program{durability: d.Durability, jitter: time.Duration(in.Jitter), catchup: time.Duration(in.Catchup), overlap: overlap(in.Overlap), input: in.Input, attributes: in.Attributes}
	var err error
	if p.workflow, err = faas.ParseRef(in.Workflow); err != nil {
		doc.Fault("workflow", "is not a reference to a workflow: %v", err)
	}
	p.compileTimes(&doc, &in)
	p.compileRuns(&doc, &in)
	if doc.Failed() {
		return nil, doc.Err()
	}
	return p, nil
}

func (p *program) compileTimes(doc *source.Document, in *definition) {
	zone, err := time.LoadLocation(in.Timezone)
	if err != nil || in.Timezone == "Local" {
		doc.Fault("timezone", "%.80q is not a zone of this machine's time zone database", in.Timezone)
		return
	}
	switch {
	case in.Cron != "" && in.Every != 0:
		doc.Fault("every", "stands beside cron; a schedule has one of both")
		return
	case in.Cron != "":
		if p.times, err = ParseCron(in.Cron, zone); err != nil {
			doc.Fault("cron", "%v", err)
		}
	case in.Every != 0:
		if p.times, err = Every(time.Duration(in.Every)); err != nil {
			doc.Fault("every", "%v", err)
		}
		if in.Timezone != "" {
			doc.Fault("timezone", "is for cron")
		}
	default:
		doc.Fault("cron", "is missing, and so is every")
	}
	if in.From != nil {
		p.from = in.From.UTC()
	}
	if in.Until != nil {
		p.until = in.Until.UTC()
	}
	if in.From != nil && in.Until != nil && p.until.Before(p.from) {
		doc.Fault("until", "is before from")
	}
	switch {
	case p.catchup == 0:
		p.catchup = defaultCatchup
	case p.catchup < 0 || p.catchup > maxCatchup:
		doc.Fault("catchup", "is not between 0 and %v", maxCatchup)
	}
	if p.jitter < 0 || p.jitter > maxJitter {
		doc.Fault("jitter", "is not between 0 and %v", maxJitter)
	}
}

func (p *program) compileRuns(doc *source.Document, in *definition) {
	if p.overlap == "" {
		p.overlap = skip
	}
	known := false
	for _, o := range overlaps {
		known = known || o == p.overlap
	}
	if !known {
		doc.Fault("overlap", "is none of %v", overlaps)
	}
	if _, taken := in.Input[intervalKey]; taken {
		doc.Fault("input.interval", "is set by the schedule")
	}
	if _, err := json.Marshal(in.Input); err != nil {
		doc.Fault("input", "cannot be written as JSON: %v", err)
	}
	if len(in.Attributes) > workflow.MaxAttributes-2 {
		doc.Fault("attributes", "are more than %d", workflow.MaxAttributes-2)
	}
	for k, v := range in.Attributes {
		switch {
		case k == intervalStart || k == intervalEnd:
			doc.Fault("attributes."+k, "is set by the schedule")
		case k == "" || len(k) > workflow.MaxAttribute || len(v) > workflow.MaxAttribute:
			doc.Fault("attributes."+k, "key and value are 1 and 0 to %d bytes", workflow.MaxAttribute)
		}
	}
}

// What a run gets. The attributes are those that dag looks for.
const (
	intervalKey   = "interval"
	intervalStart = "interval.start"
	intervalEnd   = "interval.end"
)
