package git

import (
	"os"
	"path/filepath"
	"testing"
)

// TestOtherOwner opens a repository that another user made.
func TestOtherOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give a repository to another user")
	}
	r := newRepo(t)
	id := commit(t, r, "staging", "one", map[string]string{"a": "1"}, nil)
	const nobody = 65534
	err := filepath.Walk(r.Dir(), func(name string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(name, nobody, nobody)
	})
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(r.Dir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if head, err := other.Head(t.Context(), "staging"); head != id || err != nil {
		t.Errorf("head %s, %v", head, err)
	}
	if _, err := other.Tree(t.Context(), "staging"); err != nil {
		t.Error(err)
	}
}
