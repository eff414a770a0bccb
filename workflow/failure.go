package workflow

// Names of failures that the engine gives. An answer with a status of 400 or more is a failure. Its
// body may name it: a JSON object {"errorType": …, "errorMessage": …} (AWS Lambda's shape) fails
// with errorType as its name. Retry rules and languages match on names.
const (
	// FailureFunction: the function failed without naming how.
	FailureFunction = "FunctionError"
	// FailureTimeout: an attempt, a step or a wait was not done in time.
	FailureTimeout = "Timeout"
	// FailureHeartbeat: no sign of life within StepOptions.Heartbeat.
	FailureHeartbeat = "HeartbeatTimeout"
	// FailureNotFound: the function, activity or child workflow does not exist.
	FailureNotFound = "NotFound"
	// FailureRejected: the platform refused the call: too much, denied, or malformed.
	FailureRejected = "Rejected"
	// FailurePlatform: the platform failed before or around the function.
	FailurePlatform = "PlatformError"
	// FailureCanceled: the step or child was cancelled.
	FailureCanceled = "Canceled"
	// FailureTerminated: the child was terminated.
	FailureTerminated = "Terminated"
	// FailureProgram: the definition cannot go on: a fault in it, or code that no longer fits its history.
	FailureProgram = "ProgramError"
	// FailureLimit: a limit of the engine was reached; the cause names it.
	FailureLimit = "LimitExceeded"
)

// Failure is how a step or an execution failed: data that a definition may catch.
type Failure struct {
	// Name is what retry rules and catchers match: one of the names above or the function's own.
	Name string `json:"name"`
	// Cause is for people.
	Cause string `json:"cause,omitempty"`
	// Status is the answer's HTTP status, when there was an answer.
	Status int `json:"status,omitempty"`
	// Details is the answer's body, or what failed the activity or child.
	Details Payload `json:"details,omitzero"`
}

// Error makes a Failure an error: "name: cause".
func (f *Failure) Error() string {
	if f.Cause == "" {
		return f.Name
	}
	return f.Name + ": " + f.Cause
}
