#!/bin/sh
# Builds hubship's own program, with a bar on a terminal and a line now and
# then elsewhere, because a first build takes minutes.
# Usage: build.sh GO OUTPUT VERSION
set -eu
go=$1 out=$2 version=$3
flags="-X github.com/hubship/hubship/internal/cli.Version=$version"
export CGO_ENABLED=0
build() { "$go" build -ldflags "-s -w $flags" "$@" -o "$out" ./cmd/hubship; }

log=$(mktemp)
trap 'rm -f "$log"' EXIT
total=$("$go" list -deps -f '{{if .Stale}}x{{end}}' ./cmd/hubship | grep -c x || true)
if [ "$total" -lt 50 ]; then
	build
	exit 0
fi
echo "compiling $total packages" >&2
build -v 2>"$log" &
pid=$!
said=$(date +%s)
while kill -0 "$pid" 2>/dev/null; do
	sleep 1
	done=$(grep -c . "$log" || true)
	[ "$done" -le "$total" ] || done=$total
	percent=$((done * 100 / total))
	if [ -t 2 ] && [ "${TERM:-dumb}" != dumb ]; then
		bar=$(printf "%$((percent * 30 / 100))s" "" | tr ' ' '=')
		printf '\r[%-30s] %3d%% %d of %d packages ' "$bar" "$percent" "$done" "$total" >&2
	elif [ $(($(date +%s) - said)) -ge 20 ]; then
		said=$(date +%s)
		printf '%s hubship: %d of %d packages compiled\n' "$(date +%H:%M:%S)" "$done" "$total" >&2
	fi
done
if [ -t 2 ] && [ "${TERM:-dumb}" != dumb ]; then printf '\r\033[K' >&2; fi
code=0
wait "$pid" || code=$?
if [ "$code" -ne 0 ]; then
	# Names of packages are no news; what the compiler says has a blank or #.
	grep '[ #]' "$log" >&2 || cat "$log" >&2
fi
exit "$code"
