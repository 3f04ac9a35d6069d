#!/bin/sh
# Prints the path of a Go command that can build this repository: the one on
# the PATH when it is new enough to fetch the toolchain that go.mod names by
# itself (1.21 or later), otherwise that toolchain, fetched as the Go module
# that it is published as, with the Go command that Debian packages.
set -eu
cd "$(dirname "$0")/.."
minor() { "$1" version 2>/dev/null | sed -n 's/^go version go1\.\([0-9]*\).*/\1/p'; }
for go in go /usr/local/go/bin/go; do
	path=$(command -v "$go" 2>/dev/null) || continue
	have=$(minor "$path")
	if [ "${have:-0}" -ge 21 ]; then
		echo "$path"
		exit 0
	fi
done
version=$(sed -n 's/^toolchain go//p' go.mod)
[ -n "$version" ] || version=$(sed -n 's/^go \(1\.[0-9.]*\)$/\1/p' go.mod)
case $(uname -m) in
x86_64) arch=amd64 ;;
aarch64) arch=arm64 ;;
*) echo "no Go toolchain for $(uname -m) is known here: install Go $version" >&2; exit 1 ;;
esac
scripts/deps.sh golang-go:go ca-certificates >&2
old=$(command -v go)
module="golang.org/toolchain@v0.0.1-go$version.linux-$arch"
root="$("$old" env GOMODCACHE)/$module"
if [ ! -x "$root/bin/go" ]; then
	echo "fetching Go $version" >&2
	(cd / && "$old" mod download "$module") >&2
	# Files of a module are never executable; of this one some have to be.
	chmod -R u+w "$root"
	chmod +x "$root"/bin/* "$root"/pkg/tool/*/* 2>/dev/null || true
fi
echo "$root/bin/go"
