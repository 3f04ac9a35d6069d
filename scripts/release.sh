#!/bin/sh
# Builds what a release consists of into dist/, and publishes nothing: two static
# programs for each architecture, hubship and the embedded forge, each with its
# bill of materials, a container image for all of them, and checksums. The same
# commit always makes the same files.
# Usage: release.sh GO BIN VERSION
# RELEASE_ARCHITECTURES names others than amd64 and arm64, RELEASE_ROOT a command
# that makes root of whoever is not.
set -eu
go=$1 bin=$2 version=$3
architectures=${RELEASE_ARCHITECTURES:-amd64 arm64}
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH CGO_ENABLED=0
rm -rf dist
mkdir -p dist/work
"$go" build -C tools -o "$bin/" ./sbom ./image
platforms=
for arch in $architectures; do
	work=dist/work/$arch
	name=hubship_${version#v}_linux_$arch
	mkdir -p "$work"
	echo "$name" >&2
	GOOS=linux GOARCH=$arch "$go" build -trimpath -o "$work/hubship" \
		-ldflags "-s -w -X github.com/hubship/hubship/internal/cli.Version=$version" ./cmd/hubship
	GOOS=linux GOARCH=$arch "$go" build -C devforge -trimpath -o "$PWD/$work/hubship-forge" \
		-ldflags "-s -w -X main.version=$version" ./cmd/hubship-forge
	"$bin/sbom" hubship "$version" "$work/hubship" >"dist/$name.cdx.json"
	"$bin/sbom" hubship-forge "$version" "$work/hubship-forge" >"dist/${name}_forge.cdx.json"
	cp LICENSE README.md CHANGELOG.md "$work"
	tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
		-C "$work" -cf - hubship hubship-forge LICENSE README.md CHANGELOG.md | gzip -n >"dist/$name.tar.gz"
	# shellcheck disable=SC2086 # RELEASE_ROOT is a command, such as sudo
	${RELEASE_ROOT:-} env SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" scripts/rootfs.sh "$arch" "$work/rootfs.tar"
	platforms="$platforms $arch:$work/rootfs.tar:$work/hubship:$work/hubship-forge"
done
# shellcheck disable=SC2086 # one argument for each platform
"$bin/image" "$version" "$SOURCE_DATE_EPOCH" dist/work/image $platforms
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
	-C dist/work/image -cf "dist/hubship_${version#v}_image.oci.tar" .
rm -rf dist/work
(cd dist && sha256sum hubship_* >SHA256SUMS)
(cd dist && ls -l)
