#!/bin/sh
# Writes a tar file with the Debian packages that hubship's image consists of
# besides hubship: unpacked, not configured, so that any architecture can be
# made on any machine. Needs mmdebstrap, and root or user namespaces.
# Usage: rootfs.sh ARCHITECTURE FILE
set -eu
architecture=$1 out=$2
# shellcheck disable=SC2016 # $1 is the folder that mmdebstrap hands to the hook
hook='
set -eu
root=$1
# Scanners find packages by these files where dpkg is not there.
mkdir -p "$root/var/lib/dpkg/status.d"
for deb in "$root"/var/cache/apt/archives/*.deb; do
	dpkg-deb --field "$deb" >"$root/var/lib/dpkg/status.d/$(dpkg-deb --field "$deb" Package)"
done
mkdir -p "$root/etc/ssl/certs" "$root/tmp"
chmod 1777 "$root/tmp"
cat "$root"/usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
echo "hubship:x:65532:65532::/var/lib/hubship:/usr/sbin/nologin" >"$root/etc/passwd"
echo "hubship:x:65532:" >"$root/etc/group"
rm -rf "$root"/usr/share/man "$root"/usr/share/locale "$root"/usr/share/info
find "$root/usr/share/doc" -type f ! -name copyright -delete
'
exec mmdebstrap --quiet --variant=extract --architectures="$architecture" --include=git,ca-certificates,dash \
	--extract-hook="$hook" bookworm "$out"
