// Package check judges what a commit describes: files that do not parse,
// credentials in the clear, manifests that Kubernetes would refuse, images
// that are not there. Every check returns its findings as problems with file
// and line; none of them quotes a value that may be secret, and each is
// bounded in time and memory whatever it is given.
package check

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/hubship/hubship/internal/plan"
)

// The names of the checks, as they stand in plan.Problem.
const (
	CheckYAML       = "yaml"
	CheckCredential = "credential"
	CheckEncryption = "encryption"
	CheckManifest   = "manifest"
	CheckImage      = "image"
	CheckParity     = "parity"

	// What a change reaches for beyond its own release.
	CheckConfinement = "confinement"
)

// sortByLine puts problems of one file in the order of its lines, the graver
// first where several are on one line.
func sortByLine(problems []plan.Problem) {
	slices.SortStableFunc(problems, func(a, b plan.Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(rank(a.Severity), rank(b.Severity)))
	})
}

func rank(s plan.Severity) int {
	switch s {
	case plan.Error:
		return 0
	case plan.Warning:
		return 1
	default:
		return 2
	}
}

// lineAt is the number, from 1, of the line that the offset is in.
func lineAt(data []byte, offset int) int {
	return 1 + bytes.Count(data[:min(offset, len(data))], []byte{'\n'})
}
