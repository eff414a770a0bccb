package engine

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/joinery/faas"
	"github.com/joinery/faas/workflow"
)

// outcome is how an attempt ended: failure is nil if it succeeded.
type outcome struct {
	payload workflow.Payload
	failure *workflow.Failure
}

// outcomeOf reads a function's answer.
func (e *Engine) outcomeOf(resp *faas.Response, err error) outcome {
	if err != nil {
		return outcome{failure: failureOf(err)}
	}
	data, err := resp.Body.ReadAll(e.limits.Payload)
	if err != nil {
		if errors.Is(err, faas.ErrExhausted) {
			return outcome{failure: &workflow.Failure{Name: workflow.FailureLimit, Cause: "the answer is larger than Limits.Payload: " + err.Error(), Status: resp.StatusCode()}}
		}
		return outcome{failure: failureOf(err)}
	}
	p := payloadOf(resp, data)
	if resp.StatusCode() < http.StatusBadRequest {
		return outcome{payload: p}
	}
	f := &workflow.Failure{Name: workflow.FailureFunction, Status: resp.StatusCode(), Details: p}
	var named struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}
	if json.Unmarshal(data, &named) == nil && named.Type != "" {
		f.Name, f.Cause = named.Type, named.Message
	} else if f.Cause = "the function answered without naming its error"; len(data) > 0 && len(data) <= 512 && utf8.Valid(data) {
		f.Cause = string(data)
	}
	return outcome{failure: f}
}

// payloadOf gives an answer its media type. An empty answer without one is no value.
func payloadOf(resp *faas.Response, data []byte) workflow.Payload {
	var named string
	if v := resp.Header["Content-Type"]; len(v) > 0 {
		named = v[0]
	}
	switch {
	case named == "" && len(data) == 0:
		return workflow.Payload{}
	case named == "":
		if json.Valid(data) {
			return workflow.Bytes("", data)
		}
		if utf8.Valid(data) {
			return workflow.Bytes("text/plain; charset=utf-8", data)
		}
		return workflow.Bytes("application/octet-stream", data)
	case strings.HasPrefix(named, workflow.MediaTypeJSON):
		if t, _, err := mime.ParseMediaType(named); err == nil && t == workflow.MediaTypeJSON {
			named = ""
		}
	}
	return workflow.Bytes(named, data)
}

// failureOf names an error by who is to blame for it.
func failureOf(err error) *workflow.Failure {
	f := &workflow.Failure{Name: workflow.FailurePlatform, Cause: err.Error()}
	switch faas.OutcomeOf(nil, err) {
	case faas.FunctionError:
		f.Name = workflow.FailureFunction
	case faas.FunctionTimeout:
		f.Name = workflow.FailureTimeout
	case faas.Cancelled:
		f.Name = workflow.FailureCanceled
	case faas.Rejected:
		f.Name = workflow.FailureRejected
		if errors.Is(err, faas.ErrNotFound) {
			f.Name = workflow.FailureNotFound
		}
	}
	return f
}
