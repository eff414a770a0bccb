package workflow

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/joinery/faas"
)

// Token names one attempt of a step to the outside: whoever holds its text may end the
// attempt. It is a pure function of the execution's start, so that a Program can put
// it into a payload, and it stays valid when the engine starts anew.
type Token struct {
	Execution ExecutionRef `json:"x"`
	Step      string       `json:"s"`
	// Attempt is the one it ends. Zero: whichever is under way, for a token that a Program
	// makes before the engine retries the step.
	Attempt int `json:"a,omitempty"`
}

// Sign returns the token's text, signed with the Secret of the execution's Start (HMAC-SHA-256, RFC 2104).
func (t Token) Sign(secret []byte) string {
	body, err := json.Marshal(t)
	if err != nil {
		panic(err) // strings and numbers always marshal
	}
	return base64.RawURLEncoding.EncodeToString(body) + "." + base64.RawURLEncoding.EncodeToString(mac(secret, body))
}

// ParseToken reads a token's text; its signature is checked by Verify, since the secret is the execution's own.
// ErrInvalidArgument if it is not a token.
func ParseToken(text string) (Token, error) {
	var t Token
	body, _, ok := strings.Cut(text, ".")
	raw, err := base64.RawURLEncoding.DecodeString(body)
	if !ok || err != nil || json.Unmarshal(raw, &t) != nil || t.Execution.Validate() != nil || t.Step == "" {
		return Token{}, faas.Errorf("workflow", "read token", "", faas.ErrInvalidArgument, "%.20q is not a task token", text)
	}
	return t, nil
}

// Verify reports whether text is what Sign returns for the secret.
func (t Token) Verify(text string, secret []byte) bool {
	return hmac.Equal([]byte(text), []byte(t.Sign(secret)))
}

func mac(secret, body []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write(body)
	return h.Sum(nil)
}
