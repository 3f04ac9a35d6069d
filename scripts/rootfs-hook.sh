#!/bin/sh
# Finishes the folder that mmdebstrap has unpacked packages into, for rootfs.sh.
# Usage: rootfs-hook.sh FOLDER
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
