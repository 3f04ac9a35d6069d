#!/bin/sh
# Runs the tests that need no cluster, root, network or browser, and lists by
# reason those that it left out.
# Usage: unit.sh GOTESTSUM [package or option of go test]...
set -eu
gotestsum=$1
shift
[ $# -gt 0 ] || set -- ./...
# Variables that point tests at a cluster or a database are for `make test`.
for name in $(env | sed -n 's/^\(HUBSHIP_\(TEST\|E2E\|BENCH\)[A-Z_]*\)=.*/\1/p'); do unset "$name"; done
{
	code=0
	"$gotestsum" --format pkgname-and-test-fails --format-hide-empty-pkg -- -short "$@" || code=$?
	echo "exit code $code"
} | awk '
	/^exit code / { code = $3; next }
	/^=== Skipped/ { next }
	/^=== SKIP: / {
		test = $3 "." $4
		getline
		sub(/^ *[^ ]*\.go:[0-9]+: /, "")
		if (!count[$0]++) reasons[++n] = $0
		if (count[$0] <= 3) tests[$0] = tests[$0] (count[$0] > 1 ? ", " : "") test
		getline
		next
	}
	{ print; fflush() }
	END {
		if (n) print "\nLeft out; `make test` runs these too:"
		for (i = 1; i <= n; i++) {
			more = count[reasons[i]] - 3
			printf "  %3d  %s (%s%s)\n", count[reasons[i]], reasons[i], tests[reasons[i]], (more > 0 ? " and " more " more" : "")
		}
		exit code
	}'
