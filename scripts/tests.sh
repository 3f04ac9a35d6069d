#!/bin/sh
# Runs `go test` on every package of the root module and of the forge's: with the
# race detector, and without it for those for which it would have to compile
# Kubernetes' libraries, Helm, BuildKit and the clouds of SOPS once more.
# RACE=all has it look at them too.
# Usage: tests.sh GO [argument of go test]...
set -u
go=$1
shift
heavy='(e2e|cmd/hubship|internal/(app|bootstrap|check|cli|image/buildkit|planner|planner/live|release/helm|runplan|secrets|secrets/opener))$'
all=$("$go" list ./...) || exit
code=0
CGO_ENABLED=1 "$go" test -C devforge -race "$@" ./... || code=$?
if [ "${RACE:-}" = all ]; then
	CGO_ENABLED=1 "$go" test -race "$@" $all || code=$?
	exit $code
fi
CGO_ENABLED=1 "$go" test -race "$@" $(echo "$all" | grep -vE "$heavy") || code=$?
CGO_ENABLED=0 "$go" test "$@" $(echo "$all" | grep -E "$heavy") || code=$?
exit $code
