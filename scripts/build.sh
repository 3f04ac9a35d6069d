#!/bin/sh
# Builds one program, with a bar on a terminal and a line now and then elsewhere
# when it takes long: a first build takes minutes.
# Usage: build.sh GO OUTPUT PACKAGE [argument of go build]...
set -eu
go=$1 out=$2 package=$3
shift 3
name=$(basename "$out")
log=$(mktemp)
pid=
trap 'rm -f "$log"' EXIT
trap '[ -z "$pid" ] || kill "$pid"; exit 130' INT TERM
finished() { ! kill -0 "$pid" 2>/dev/null; }
compiled() { grep -c . "$log" || true; }

"$go" build -v "$@" -o "$out" "$package" 2>"$log" &
pid=$!
for _ in 1 2 3 4 5; do
	finished && break
	sleep 1
done
if ! finished; then
	total=$("$go" list -deps "$@" -f '{{if .Stale}}x{{end}}' "$package" | grep -c x || true)
	total=$((total + $(compiled)))
	said=0
	until finished; do
		done=$(compiled)
		[ "$done" -le "$total" ] || done=$total
		percent=$((done * 100 / (total > 0 ? total : 1)))
		if [ -t 2 ] && [ "${TERM:-dumb}" != dumb ]; then
			bar=$(printf "%$((percent * 30 / 100))s" "" | tr ' ' '=')
			printf '\r%s [%-30s] %3d%% %d of %d packages ' "$name" "$bar" "$percent" "$done" "$total" >&2
		elif [ $(($(date +%s) - said)) -ge 15 ]; then
			said=$(date +%s)
			printf '%s %s: %d of %d packages compiled\n' "$(date +%H:%M:%S)" "$name" "$done" "$total" >&2
		fi
		sleep 1
	done
	if [ -t 2 ] && [ "${TERM:-dumb}" != dumb ]; then printf '\r\033[K' >&2; fi
fi
code=0
wait "$pid" || code=$?
if [ "$code" -ne 0 ]; then
	# Names of packages are no news; what the compiler says has a blank or #.
	grep '[ #]' "$log" >&2 || cat "$log" >&2
fi
exit "$code"
