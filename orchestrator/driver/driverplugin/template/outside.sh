#!/bin/sh
# Copies the template to a module of its own outside of this repository, as an author would, and
# builds and tests it there against this checkout. Used by CI:
#
#   orchestrator/driver/driverplugin/template/outside.sh
set -eu
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here" && GOWORK=off go list -m -f '{{.Dir}}')
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cp "$here"/*.go "$repo/go.sum" "$dir"
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod
go mod init example.com/faas-driver-echo 2>/dev/null
go mod edit -require=github.com/joinery/faas@v0.0.0 -replace=github.com/joinery/faas="$repo"
go build -o faas-driver-echo .
go vet ./...
go test -count=1 ./...
