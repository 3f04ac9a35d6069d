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
events=$(mktemp)
trap 'rm -f "$events"' EXIT
code=0
"$gotestsum" --format pkgname-and-test-fails --format-hide-empty-pkg --hide-summary skipped --jsonfile "$events" \
	-- -short "$@" || code=$?
# Events are one JSON object a line; the last line that a skipped test logs is
# its reason.
awk '
	function field(name) {
		if (!match($0, "\"" name "\":\"([^\"\\\\]|\\\\.)*\"")) return ""
		return substr($0, RSTART + length(name) + 4, RLENGTH - length(name) - 5)
	}
	/"Action":"output"/ && /\.go:[0-9]+: / {
		text = field("Output")
		sub(/^ *[^ ]*\.go:[0-9]+: /, "", text)
		sub(/\\n$/, "", text)
		reason[field("Package") "." field("Test")] = text
	}
	/"Action":"skip"/ && /"Test":/ {
		test = field("Package") "." field("Test")
		why = reason[test]
		sub(/^.*\/hubship\//, "", test)
		if (!count[why]++) reasons[++n] = why
		if (count[why] <= 3) tests[why] = tests[why] (count[why] > 1 ? ", " : "") test
	}
	END {
		if (n) print "\nLeft out; `make test` runs these too:"
		for (i = 1; i <= n; i++) {
			more = count[reasons[i]] - 3
			printf "  %3d  %s (%s%s)\n", count[reasons[i]], reasons[i], tests[reasons[i]], (more > 0 ? " and " more " more" : "")
		}
	}' "$events"
exit "$code"
