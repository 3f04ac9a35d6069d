package git

import (
	"bytes"
	"io/fs"
	"strings"
	"testing"
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
		if _, err := fs.ReadFile(tree.FS(), name); err == nil || !strings.Contains(err.Error(), "more than the") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if data, err := fs.ReadFile(tree.FS(), "small"); err != nil || !bytes.Equal(data, []byte("y")) {
		t.Errorf("%q, %v", data, err)
	}
}
