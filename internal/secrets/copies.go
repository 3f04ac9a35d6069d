package secrets

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/getsops/sops/v3"

	"github.com/hubship/hubship/internal/model"
)

// File is an encrypted file, and which releases take their values from it.
type File struct {
	Name   string
	Owners []string // releases by their keys, "datahub@prod"
	others []string // releases that there were and that did not use it
	marks  []mark
}

// mark is something that two files share only when the one is a copy of the
// other: a wrapped data key, or the nonce and tag of a value.
type mark [sha256.Size]byte

// NewFile reads what tells copies of a file, which of all the releases of a
// commit are its owners. A file that SOPS did not encrypt, or that cannot be
// read, has nothing to copy: whoever opens it says so.
func NewFile(name string, data []byte, owners, all []string) File {
	f := File{Name: name, Owners: slices.Clone(owners)}
	slices.Sort(f.Owners)
	for _, release := range all {
		if !slices.Contains(owners, release) {
			f.others = append(f.others, release)
		}
	}
	tree, err := load(name, data)
	if err != nil {
		return f
	}
	for _, group := range tree.Metadata.KeyGroups {
		for _, key := range group {
			f.add(wrapped(string(key.EncryptedDataKey())))
		}
	}
	f.addValue(tree.Metadata.MessageAuthenticationCode)
	for _, branch := range tree.Branches {
		f.addValues(branch)
	}
	slices.SortFunc(f.marks, compareMarks)
	f.marks = slices.Compact(f.marks)
	return f
}

func compareMarks(a, b mark) int { return strings.Compare(string(a[:]), string(b[:])) }

func (f *File) add(content []byte) {
	if len(content) > 0 {
		f.marks = append(f.marks, sha256.Sum256(content))
	}
}

func (f *File) addValues(v any) {
	switch v := v.(type) {
	case sops.TreeBranch:
		for _, item := range v {
			if c, ok := item.Key.(sops.Comment); ok {
				f.addValue(c.Value)
			}
			f.addValues(item.Value)
		}
	case []any:
		for _, e := range v {
			f.addValues(e)
		}
	case sops.Comment:
		f.addValue(v.Value)
	case string:
		f.addValue(v)
	}
}

var sealedValue = regexp.MustCompile(`^ENC\[AES256_GCM,data:([^,]*),iv:([^,]+),tag:([^,]+),type:`)

// addValue adds an encrypted value by its nonce and tag. They are decoded:
// base64 can be written in more than one way.
func (f *File) addValue(text string) {
	m := sealedValue.FindStringSubmatch(text)
	if m == nil {
		return
	}
	iv, tag := decoded(m[2]), decoded(m[3])
	if len(iv) > 0 && len(tag) > 0 {
		f.add(append(iv, tag...))
	}
}

func decoded(text string) []byte {
	out, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	return out
}

// wrapped is an encrypted data key without the armour that may be written in
// more than one way.
func wrapped(text string) []byte {
	if block, _ := pem.Decode([]byte(strings.TrimSpace(text))); block != nil {
		return block.Bytes
	}
	if raw := decoded(strings.Join(strings.Fields(text), "")); raw != nil {
		return raw
	}
	return []byte(strings.TrimSpace(text))
}

// Copy is a file that carries the key of another, which other releases use, or
// a file that releases use which did not: whoever could write the one, or say
// who uses it, handed the secrets of the other to them, without ever having
// seen them.
type Copy struct {
	File, Of File
}

// Error names both.
func (c Copy) Error() string {
	if c.File.Name == c.Of.Name {
		return fmt.Sprintf("secrets file %s belongs to %s: %s did not use it", c.File.Name, strings.Join(c.Of.Owners, ", "), strings.Join(c.gained(), ", "))
	}
	return fmt.Sprintf("secrets file %s (of %s) carries the key of %s (of %s)", c.File.Name, strings.Join(c.File.Owners, ", "), c.Of.Name, strings.Join(c.Of.Owners, ", "))
}

// gained are the releases that use the file now, and did not when they were
// there already.
func (c Copy) gained() []string {
	return slices.DeleteFunc(slices.Clone(c.File.Owners), func(release string) bool { return !slices.Contains(c.Of.others, release) })
}

// Hint says what to do.
func (c Copy) Hint() string {
	return "encrypt it again with its own key: `sops rotate --in-place " + c.File.Name + "`, and make sure that those secrets are meant for it"
}

// From says whether the file carries the key, or a value, that another had
// before it did. The versions are those that files had in the past, oldest
// first, with the releases that use the files now: one whose key was made anew
// since is still a file with those secrets.
func (f File) From(versions []File) (Copy, bool) {
	for _, m := range f.marks {
		for _, v := range versions {
			if _, holds := slices.BinarySearchFunc(v.marks, m, compareMarks); !holds {
				continue
			}
			if v.Name != f.Name && !slices.Equal(v.Owners, f.Owners) {
				return Copy{f, v}, true
			}
			break // it was this file's first
		}
	}
	return Copy{}, false
}

// AsError is the copy as an error with its hint.
func (c Copy) AsError() error { return model.WithHint(c, c.Hint()) }

// Copies returns which of the files carry the key, or a value, of a file that
// other releases use: one of the files themselves, or of known ones, which are
// the same files at other commits. Files of the same releases may share, and
// so may versions of one file, unless releases use it now that did not: a new
// hub or environment may.
func Copies(files, known []File) []Copy {
	holders := map[mark][]File{}
	for _, f := range slices.Concat(files, known) {
		for _, m := range f.marks {
			holders[m] = append(holders[m], f)
		}
	}
	var out []Copy
	for _, f := range files {
		seen := map[string]bool{}
		for _, m := range f.marks {
			for _, of := range holders[m] {
				c := Copy{f, of}
				if seen[of.Name] || slices.Equal(of.Owners, f.Owners) || of.Name == f.Name && len(c.gained()) == 0 {
					continue
				}
				seen[of.Name] = true
				out = append(out, c)
			}
		}
	}
	slices.SortFunc(out, func(a, b Copy) int {
		return cmp.Or(strings.Compare(a.File.Name, b.File.Name), strings.Compare(a.Of.Name, b.Of.Name))
	})
	return out
}
