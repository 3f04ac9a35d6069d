#!/bin/sh
# Installs the Debian packages that are missing, and none that are there.
# Usage: deps.sh package[:program-or-file]...
# A package counts as there when dpkg knows it as installed, or when the
# program is on the PATH (it may come from elsewhere) or the file exists.
set -eu
missing=
for want in "$@"; do
	package=${want%%:*}
	probe=${want#"$package"}
	probe=${probe#:}
	case $probe in
	"") ;;
	/*) [ -e "$probe" ] && continue ;;
	*) command -v "$probe" >/dev/null 2>&1 && continue ;;
	esac
	state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
	[ "$state" = "install ok installed" ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
	echo "missing:$missing. This is no Debian: install what provides them." >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "missing:$missing. Install them as root: apt-get install$missing" >&2
	exit 1
fi
echo "installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
quiet() {
	log=$(mktemp)
	if ! "$@" >"$log" 2>&1; then
		cat "$log" >&2
		rm -f "$log"
		return 1
	fi
	rm -f "$log"
}
# The lists may be old or absent: try with them first, then fetch them.
# shellcheck disable=SC2086
quiet apt-get install -y --no-install-recommends $missing 2>/dev/null ||
	{ quiet apt-get update && quiet apt-get install -y --no-install-recommends $missing; }
