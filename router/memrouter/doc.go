// Package memrouter is the function router (F5 of the SPEC-RG reference
// architecture) with its queues in memory.
package memrouter
