#!/bin/sh
# Runs a command as one named step: says when it begins and how long it took.
# Usage: step.sh "what it does" command [argument]...
set -u
name=$1
shift
started=$(date +%s)
printf '%s ==> %s\n' "$(date +%H:%M:%S)" "$name" >&2
"$@"
code=$?
took=$(($(date +%s) - started))
if [ $code -eq 0 ]; then
	printf '%s <== %s: done in %dm%02ds\n' "$(date +%H:%M:%S)" "$name" $((took / 60)) $((took % 60)) >&2
else
	printf '%s <== %s: FAILED after %dm%02ds (exit code %d)\n' "$(date +%H:%M:%S)" "$name" $((took / 60)) $((took % 60)) $code >&2
fi
exit $code
