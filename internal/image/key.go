// Package image gives images their identity, which is what they are built
// from, and looks them up in registries.
package image

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Labels and annotations that an image built by hubship carries. They name
// inputs only: a commit among them would give the same content another digest.
const (
	LabelSource = "hubship.source" // model.Source.Hash
	LabelKey    = "hubship.key"    // Key
)

// Base is an image that a build starts from or copies out of.
type Base struct {
	Ref    string // full reference without digest: "docker.io/library/debian:bookworm-slim"
	Digest string // "sha256:…", of the index or manifest that Ref resolves to
}

// String is the reference pinned to its digest.
func (b Base) String() string { return b.Ref + "@" + b.Digest }

// keyVersion opens what is hashed into a key. It changes when the same inputs
// are to be built anew everywhere.
const keyVersion = "hubship image v1"

// Key is the identity of an image: a hash, as 64 hex digits, over the source
// and the digests of the base images. The order of the bases and how often one
// is named make no difference.
func Key(source string, bases []Base) string {
	lines := make([]string, 0, len(bases))
	for _, b := range bases {
		lines = append(lines, b.String())
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	h := sha256.New()
	fmt.Fprintf(h, "%s\nsource %q\n", keyVersion, source)
	for _, l := range lines {
		fmt.Fprintf(h, "base %q\n", l)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Tag is the tag under which the image of that key is found: "h-" and the
// first 20 hex digits of the key.
func Tag(key string) string {
	return "h-" + strings.ToLower(key[:min(20, len(key))])
}
