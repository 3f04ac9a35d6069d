#!/bin/sh
# Writes a tar file with the Debian packages that hubship's image consists of
# besides hubship: unpacked, not configured, so that any architecture can be
# made on any machine. Needs mmdebstrap, and root or user namespaces.
# Usage: rootfs.sh ARCHITECTURE FILE
set -eu
hook=$(cd "$(dirname "$0")" && pwd)/rootfs-hook.sh
exec mmdebstrap --quiet --variant=extract --architectures="$1" --include=git,ca-certificates,dash \
	--extract-hook="$hook" bookworm "$2"
