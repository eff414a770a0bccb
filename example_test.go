package faas_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/joinery/faas"
)

func ExampleInvokerFunc() {
	hello := faas.InvokerFunc(func(ctx context.Context, req *faas.Request) (*faas.Response, error) {
		name, err := req.Body.Text()
		if err != nil {
			return nil, err
		}
		return &faas.Response{Body: faas.String("hello " + name)}, nil
	})
	resp, err := hello.Invoke(context.Background(), &faas.Request{Function: faas.Ref{Name: "hello"}, Body: faas.String("Ada")})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, _ := resp.Body.Text()
	fmt.Println(resp.StatusCode(), text)
	// Output: 200 hello Ada
}

func ExampleParseRef() {
	ref, err := faas.ParseRef("images/resize@live")
	fmt.Println(ref.Namespace, ref.Name, ref.Version, err)
	ref, _ = faas.ParseRef("resize")
	fmt.Println(ref)
	_, err = faas.ParseRef("images/Resize")
	fmt.Println(err)
	// Output:
	// images resize live <nil>
	// default/resize
	// faas: validate "name": invalid argument: "Resize" has 'R' at byte 0; use 1 to 63 characters of a-z, 0-9 and '-', starting and ending with a letter or digit
}

func ExampleValidateName() {
	fmt.Println(faas.ValidateName("alias", "live"))
	fmt.Println(errors.Is(faas.ValidateName("alias", "../live"), faas.ErrInvalidArgument))
	// Output:
	// <nil>
	// true
}

func ExampleStream() {
	body := faas.Stream(strings.NewReader("as long as it takes"), -1)
	fmt.Println(body.Size())
	_, err := body.ReadAll(10)
	fmt.Println(err)
	// Output:
	// -1
	// faas: read body: exhausted: more than the limit of 10 bytes
}

func ExampleBytes() {
	body := faas.Bytes([]byte{1, 2, 3})
	data, ok := body.InHand()
	fmt.Println(body.Size(), data, ok)
	// Output: 3 [1 2 3] true
}

func ExampleString() {
	text, err := faas.String("hello").Text()
	fmt.Println(text, err)
	// Output: hello <nil>
}

func ExampleErrorf() {
	cause := errors.New("port 80: permission denied")
	err := faas.Errorf("node agent", "start", "default/hello@1", faas.ErrDenied, "listen: %w", cause)
	err.Next = "choose a port above 1023"
	fmt.Println(err)
	fmt.Println(errors.Is(err, faas.ErrDenied), errors.Is(err, cause))
	// Output:
	// node agent: start "default/hello@1": denied: listen: port 80: permission denied; choose a port above 1023
	// true true
}

func ExampleContextError() {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("the client hung up"))
	err := faas.ContextError(ctx, "router", "invoke", "default/hello")
	fmt.Println(err)
	fmt.Println(faas.OutcomeOf(nil, err))
	// Output:
	// router: invoke "default/hello": canceled: the client hung up
	// cancelled
}

func ExampleClass() {
	err := fmt.Errorf("deploying: %w", faas.Errorf("registry", "get", "default/hello", faas.ErrNotFound, "no such function"))
	fmt.Println(faas.Class(err))
	fmt.Println(faas.Class(errors.New("anything")))
	// Output:
	// not found
	// internal error
}

func ExampleClasses() {
	byName := make(map[string]error) // how a wire protocol finds the class again
	for _, c := range faas.Classes() {
		byName[c.Error()] = c
	}
	fmt.Println(byName["exhausted"] == faas.ErrExhausted)
	// Output: true
}

func ExampleOutcomeOf() {
	fmt.Println(faas.OutcomeOf(&faas.Response{Status: http.StatusNotFound}, nil)) // the function's own answer
	fmt.Println(faas.OutcomeOf(&faas.Response{Status: http.StatusBadGateway}, nil))
	fmt.Println(faas.OutcomeOf(nil, context.DeadlineExceeded))
	// Output:
	// success
	// function_error
	// function_timeout
}

func ExampleWithTiming() {
	var timing faas.Timing
	ctx := faas.WithTiming(context.Background(), &timing)
	faas.TimingFrom(ctx).Add(faas.PhaseStart, 2250*time.Microsecond) // in some component
	fmt.Println(timing.Cold(), string(timing.AppendServerTiming(nil)))
	// Output: true queue;dur=0, lookup;dur=0, decide;dur=0, place;dur=0, start;dur=2.250, init;dur=0, run;dur=0
}

func ExampleSpec_Validate() {
	spec := faas.Spec{Contract: faas.ContractHTTP, Timeout: -time.Second}
	fmt.Println(spec.Validate())
	// Output:
	// faas: validate "command": invalid argument: is empty; it names the program or the handler
	// faas: validate "timeout": invalid argument: is negative
}
