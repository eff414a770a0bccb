// Package driverpb is the wire of driver plugins: messages and services that are
// generated from driver.proto, which is the document to read, also for a driver in another language.
// Go programs use package driverplugin and never this one.
package driverpb

//go:generate protoc -I . --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative driver.proto
