// Package plan decides, without any side effect, what a release is made of,
// what a change does to it, and what is to be done about it.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"sort"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// inputsVersion changes whenever the encoding below does: every release is then
// upgraded once.
const inputsVersion = "hubship-inputs/2"

// inputsLength is the length of an inputs digest, in bytes before encoding. In
// hexadecimal it fits a Kubernetes label (63 characters) uncut.
const inputsLength = 20

// Inputs returns the digest over everything that makes the release: its shared
// and own inputs, the images with the values that receive them, what names of
// things made elsewhere stand for, and where it goes. It is 40 hexadecimal digits, short enough for a label. Equal digests
// mean that an upgrade would change nothing.
func Inputs(d model.Desired, images []model.Built, resolved model.Resolved) string {
	e := NewEncoder(inputsVersion)
	e.Add("shared", d.Shared)
	e.Add("own", d.Own)
	e.Add("target", d.Target.Namespace, d.Target.Release)
	built := map[string]model.Built{}
	for _, b := range images {
		built[b.ID] = b
	}
	sources := append([]model.Source(nil), d.Images...)
	sort.Slice(sources, func(i, j int) bool { return sources[i].ID < sources[j].ID })
	for _, s := range sources {
		b := built[s.ID]
		e.Add("image", s.ID, s.Values, b.Name, b.Tag, b.Digest)
	}
	for _, i := range sorted(resolved.Images, func(i model.ResolvedImage) string { return i.Ref }) {
		e.Add("elsewhere", i.Ref, i.Digest)
	}
	for _, c := range sorted(resolved.Charts, func(c model.ResolvedChart) string { return c.Name + "\x00" + c.Repository + "\x00" + c.Version }) {
		e.Add("chart", c.Name, c.Version, c.Repository, c.Digest)
	}
	sum := e.Sum()
	return hex.EncodeToString(sum[:inputsLength])
}

// sorted returns a copy in an order that does not depend on who gathered it.
func sorted[T any](all []T, key func(T) string) []T {
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	return all
}

// Encoder makes digests over records of texts. No two lists of records have
// the same encoding: every text is preceded by its length.
type Encoder struct{ buf []byte }

// NewEncoder returns an encoder for a format. The version keeps digests of
// different formats apart.
func NewEncoder(version string) *Encoder {
	e := &Encoder{}
	e.Add(version)
	return e
}

// Add appends a record.
func (e *Encoder) Add(texts ...string) {
	e.number(len(texts))
	for _, t := range texts {
		e.number(len(t))
		e.buf = append(e.buf, t...)
	}
}

func (e *Encoder) number(n int) {
	for shift := 56; shift >= 0; shift -= 8 {
		e.buf = append(e.buf, byte(uint64(n)>>shift))
	}
}

// Sum returns the SHA-256 over all records so far.
func (e *Encoder) Sum() [sha256.Size]byte { return sha256.Sum256(e.buf) }

// Hex returns Sum in hexadecimal, 64 digits.
func (e *Encoder) Hex() string {
	sum := e.Sum()
	return hex.EncodeToString(sum[:])
}
