package planner

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/check"
	"github.com/hubship/hubship/internal/git"
)

// TestMissingContents plans from a copy of a repository that has left out the
// contents of a file, as copies without large files have.
func TestMissingContents(t *testing.T) {
	f := newFleet(t, "math")
	base := f.head
	head := f.commit("data", map[string]string{
		"data/large.csv": strings.Repeat("1,2,3\n", 100),
		"notes.txt":      "aws_key = \"AKIA" + "QYLPMN5HHHFPZAM2\"\n",
	})
	tree, err := f.git.Tree(t.Context(), head)
	if err != nil {
		t.Fatal(err)
	}
	e, ok := tree.Lookup("data/large.csv")
	if !ok {
		t.Fatal("the file is not in the tree")
	}
	if err := os.Remove(filepath.Join(f.git.Dir(), "objects", e.ID[:2], e.ID[2:])); err != nil {
		t.Fatal(err)
	}
	// What the object was is not to be remembered.
	if f.git, err = git.Open(f.git.Dir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.git.Close() })
	var files []string
	for _, p := range f.plan(Request{Base: base, Head: head}).Problems {
		if p.Check == check.CheckCredential {
			files = append(files, p.File)
		}
	}
	// The others are searched all the same.
	if got := strings.Join(files, " "); got != "notes.txt data/large.csv" && got != "data/large.csv notes.txt" {
		t.Errorf("problems with %q", got)
	}
}
