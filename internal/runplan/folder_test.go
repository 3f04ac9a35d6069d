package runplan

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/hubship/hubship/internal/plan"
)

func TestFolder(t *testing.T) {
	f := Folder(filepath.Join(t.TempDir(), "plans"))
	if _, err := f.Page("r1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before anything was kept: %v", err)
	}
	runs := keptPlans/2 + 2
	for i := range runs {
		if err := f.keep(fmt.Sprintf("20261123-%06d", i), "A plan", plan.Plan{Head: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(string(f))
	if err != nil || len(entries) != keptPlans {
		t.Errorf("%d kept, %v", len(entries), err)
	}
	if _, err := f.Page("20261123-000001"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the oldest: %v", err)
	}
	newest := fmt.Sprintf("20261123-%06d", runs-1)
	if made, err := f.Plan(t.Context(), newest); err != nil || made.Head != fmt.Sprint(runs-1) {
		t.Errorf("the newest: %+v, %v", made, err)
	}
	if page, err := f.Page(newest); err != nil || len(page) < 100 {
		t.Errorf("the newest: %v", err)
	}
	for _, bad := range []string{"", "..", "../x", "a/b", "-x", "a.b"} {
		if _, err := f.Page(bad); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", bad, err)
		}
		if _, err := f.Plan(t.Context(), bad); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", bad, err)
		}
		if f.keep(bad, "", plan.Plan{}) == nil {
			t.Errorf("%q was written", bad)
		}
	}
}
