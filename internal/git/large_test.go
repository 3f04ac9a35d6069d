package git

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"
)

// A push of a few kilobytes makes a file of gigabytes: it is not read into
// memory, as a file or as a link, and others are read afterwards.
func TestLargeFilesAreNotRead(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	large := strings.Repeat("x", maxBlob+1)
	id := commit(t, r, "main", "large", map[string]string{"large": large, "link": large, "small": "y"}, map[string]fs.FileMode{"link": fs.ModeSymlink})
	tree, err := r.Tree(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"large", "link"} {
		if _, err := fs.ReadFile(tree.FS(), name); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if data, err := fs.ReadFile(tree.FS(), "small"); err != nil || !bytes.Equal(data, []byte("y")) {
		t.Errorf("%q, %v", data, err)
	}
}

// object writes an object as git itself makes none.
func object(t *testing.T, r *Repo, input string, args ...string) string {
	t.Helper()
	out, err := r.exec(t.Context(), command{args: args, stdin: strings.NewReader(input)})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// Ten levels of folders, each of which names the next one ten times, are ten
// billion files in a push of a few kilobytes; and a message has gigabytes.
// Neither is walked to its end, by git or here.
func TestTreesWithoutEndAreNotWalked(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	base := commit(t, r, "main", "base", map[string]string{"a": "1"}, nil)
	id := object(t, r, "x", "hash-object", "-w", "--stdin")
	kind := "100644 blob"
	for range 10 {
		var folder strings.Builder
		for i := range 10 {
			fmt.Fprintf(&folder, "%s %s\tname%d\n", kind, id, i)
		}
		id, kind = object(t, r, folder.String(), "mktree"), "040000 tree"
	}
	author := "author a <a@example.org> 0 +0000\ncommitter a <a@example.org> 0 +0000\n\n"
	deep := object(t, r, "tree "+id+"\nparent "+base+"\n"+author+"m", "hash-object", "-t", "commit", "-w", "--stdin")
	long := object(t, r, "tree "+id+"\nparent "+base+"\n"+author+strings.Repeat("m", maxOutput+1), "hash-object", "-t", "commit", "-w", "--stdin")

	began := time.Now()
	for name, read := range map[string]func() error{
		"the tree":    func() error { _, err := r.Tree(t.Context(), deep); return err },
		"its files":   func() error { _, err := r.Changes(t.Context(), base, deep); return err },
		"its message": func() error { _, err := r.Messages(t.Context(), base, long, 10); return err },
	} {
		if err := read(); err == nil {
			t.Errorf("%s was read", name)
		}
	}
	if took := time.Since(began); took > time.Minute {
		t.Errorf("it took %s", took)
	}
	if tree, err := r.Tree(t.Context(), base); err != nil || tree.Hash("a") == "" {
		t.Errorf("others cannot be read any more: %v", err)
	}
}

// What a checkout writes counts together, however small the push was.
func TestCheckoutsAreBounded(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	id := object(t, r, "four", "hash-object", "-w", "--stdin")
	room := int64(10)
	for i, fits := range []bool{true, true, false} {
		var out bytes.Buffer
		err := r.copyBlob(t.Context(), id, &out, &room)
		if (err == nil) != fits || (out.String() == "four") != fits {
			t.Errorf("file %d: %q, %v", i, out.String(), err)
		}
	}
}
