package secrets

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hubship/hubship/internal/model"
)

func TestCopies(t *testing.T) {
	t.Parallel()
	_, recipient := newKey(t)
	prod, staging := encrypt(t, plain, recipient), encrypt(t, plain, recipient)
	file := func(name string, data []byte, owners ...string) File {
		return NewFile(name, data, owners, []string{"a@staging", "a@prod"})
	}
	theirs := file("secrets/prod.yaml", prod, "a@prod")
	// What somebody without the key can do to a copy.
	rearmoured := regexp.MustCompile(`(?s)(-----BEGIN AGE ENCRYPTED FILE-----\n)(.*?)(\n\s*-----END)`).ReplaceAllStringFunc(string(prod), func(s string) string {
		return strings.Replace(s, "ENCRYPTED FILE-----\n", "ENCRYPTED FILE-----\n\n", 1)
	})
	for name, tt := range map[string]struct {
		files, known []File
		want         string
	}{
		"two of their own":       {files: []File{file("secrets/staging.yaml", staging, "a@staging"), theirs}},
		"of the same releases":   {files: []File{file("secrets/more.yaml", prod, "a@prod"), theirs}},
		"named by others":        {files: []File{file("secrets/prod.yaml", prod, "a@prod", "a@staging")}, known: []File{theirs}, want: "secrets/prod.yaml>secrets/prod.yaml"},
		"a new hub uses it too":  {files: []File{file("secrets/prod.yaml", prod, "a@prod", "b@prod")}, known: []File{theirs}},
		"written anew for them":  {files: []File{file("secrets/prod.yaml", staging, "a@prod", "a@staging")}, known: []File{theirs}},
		"an older version":       {files: []File{theirs}, known: []File{file("secrets/prod.yaml", prod, "a@prod", "b@prod")}},
		"no SOPS file":           {files: []File{file("x.yaml", []byte("a: 1\n"), "a@staging"), file("y.yaml", []byte("a: 1\n"), "a@prod")}},
		"copied":                 {files: []File{file("secrets/staging.yaml", prod, "a@staging"), theirs}, want: "secrets/prod.yaml>secrets/staging.yaml secrets/staging.yaml>secrets/prod.yaml"},
		"moved":                  {files: []File{file("secrets/staging.yaml", prod, "a@staging")}, known: []File{theirs}, want: "secrets/staging.yaml>secrets/prod.yaml"},
		"moved to a common file": {files: []File{file("secrets/common.yaml", prod, "a@prod", "a@staging")}, known: []File{theirs}, want: "secrets/common.yaml>secrets/prod.yaml"},
		"another hub":            {files: []File{file("b/prod.yaml", prod, "b@prod")}, known: []File{theirs}, want: "b/prod.yaml>secrets/prod.yaml"},
		"armour written anew":    {files: []File{file("secrets/staging.yaml", []byte(rearmoured), "a@staging")}, known: []File{theirs}, want: "secrets/staging.yaml>secrets/prod.yaml"},
	} {
		var got []string
		for _, c := range Copies(tt.files, tt.known) {
			got = append(got, c.File.Name+">"+c.Of.Name)
			if err := c.AsError(); !strings.Contains(err.Error(), "carries the key of") && !strings.Contains(err.Error(), "a@staging did not use it") || !strings.Contains(model.HintOf(err), "sops rotate") {
				t.Errorf("%s: %v", name, err)
			}
		}
		slices.Sort(got)
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %v, want %q", name, got, tt.want)
		}
	}
}

// Of two files with one key that which had it first is no copy, also when the
// other has another key by now.
func TestWhoHadItFirst(t *testing.T) {
	t.Parallel()
	_, recipient := newKey(t)
	one, two := encrypt(t, plain, recipient), encrypt(t, plain, recipient)
	prod := func(data []byte) File { return NewFile("prod.yaml", data, []string{"a@prod"}, nil) }
	staging := func(data []byte) File { return NewFile("staging.yaml", data, []string{"a@staging"}, nil) }
	for name, tt := range map[string]struct {
		file     File
		versions []File
		want     bool
	}{
		"prod had it first":    {staging(one), []File{prod(one), prod(two), staging(one)}, true},
		"it had it first":      {staging(one), []File{staging(one), prod(one), prod(two)}, false},
		"nobody had it":        {staging(one), []File{prod(two)}, false},
		"it is prod's own":     {prod(one), []File{prod(one), prod(two), prod(one)}, false},
		"another of the same":  {NewFile("more.yaml", one, []string{"a@prod"}, nil), []File{prod(one)}, false},
		"prod has it from it":  {prod(one), []File{staging(one), prod(one)}, true},
		"not looked at before": {staging(one), nil, false},
	} {
		if c, got := tt.file.From(tt.versions); got != tt.want || got && c.Of.Name == tt.file.Name {
			t.Errorf("%s: %v, %v", name, got, c)
		}
	}
}

// TestCopiesProperty copies files between releases at random, and writes them
// anew as somebody can who has no key: no copy that could still be opened
// passes, and nobody is accused who shares nothing.
func TestCopiesProperty(t *testing.T) {
	t.Parallel()
	_, recipient := newKey(t)
	var texts [][]byte
	for i := range 4 {
		texts = append(texts, encrypt(t, fmt.Sprintf("a: one-%d\nb: [two, {c: three}]\nd: 4\n", i), recipient))
	}
	rapid.Check(t, func(t *rapid.T) {
		source := map[string]int{} // by file: whose text it has
		var files, known []File
		owner := map[string]string{}
		for i := range rapid.IntRange(2, 6).Draw(t, "files") {
			name := fmt.Sprintf("f%d.yaml", i)
			source[name] = rapid.IntRange(0, len(texts)-1).Draw(t, "text")
			owner[name] = rapid.SampledFrom([]string{"a@staging", "a@prod", "b@prod"}).Draw(t, "owner")
			text := string(texts[source[name]])
			if rapid.Bool().Draw(t, "written anew") {
				text = respelt(t, text)
			}
			f := NewFile(name, []byte(text), []string{owner[name]}, nil)
			if rapid.Bool().Draw(t, "known") {
				known = append(known, f)
			} else {
				files = append(files, f)
			}
		}
		got := map[string]bool{}
		for _, c := range Copies(files, known) {
			got[c.File.Name+" "+c.Of.Name] = true
		}
		for _, f := range files {
			for _, of := range slices.Concat(files, known) {
				want := f.Name != of.Name && source[f.Name] == source[of.Name] && owner[f.Name] != owner[of.Name]
				if got[f.Name+" "+of.Name] != want {
					t.Fatalf("%s of %s: accused %v, want %v", f.Name, of.Name, got[f.Name+" "+of.Name], want)
				}
			}
		}
	})
}

var tagOf = regexp.MustCompile(`(iv|tag):([A-Za-z0-9+/]+)(=*)`)

// respelt writes the base64 in a file in another way that decodes to the same.
func respelt(t *rapid.T, text string) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	return tagOf.ReplaceAllStringFunc(text, func(s string) string {
		m := tagOf.FindStringSubmatch(s)
		spare := map[string]int{"=": 4, "==": 16}[m[3]]
		if spare == 0 {
			return s
		}
		at := strings.IndexByte(digits, m[2][len(m[2])-1])
		other := digits[at-at%spare+rapid.IntRange(0, spare-1).Draw(t, "spare bits")]
		out := m[1] + ":" + m[2][:len(m[2])-1] + string(other) + m[3]
		a, errA := base64.StdEncoding.DecodeString(m[2] + m[3])
		b, errB := base64.StdEncoding.DecodeString(m[2][:len(m[2])-1] + string(other) + m[3])
		if errA != nil || errB != nil || string(a) != string(b) {
			t.Fatalf("%s is not %s written anew", out, s)
		}
		return out
	})
}
