package versionlist

import "math"

// IsNumber reports whether s has the form of a number, and so is never an alias.
func IsNumber(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// Number is a version number as it is written: from 1, without a sign or leading zeros; 0 for anything else.
func Number(s string) uint64 {
	if !IsNumber(s) || s[0] == '0' {
		return 0
	}
	var n uint64
	for i := 0; i < len(s); i++ {
		digit := uint64(s[i] - '0')
		if n > (math.MaxUint64-digit)/10 {
			return 0
		}
		n = n*10 + digit
	}
	return n
}
