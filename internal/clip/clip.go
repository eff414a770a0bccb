// Package clip keeps hostile input from filling error messages.
package clip

const most = 80 // bytes

// Text returns s, or its first 80 bytes and an ellipsis. (Package faas, a leaf, has its own.)
func Text(s string) string {
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
