package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/hubship/hubship/internal/plan"
)

func TestPlans(t *testing.T) {
	p := plans(filepath.Join(t.TempDir(), "plans"))
	if _, err := p.page("r1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before anything was kept: %v", err)
	}
	runs := keptPlans/2 + 2
	for i := range runs {
		if err := p.keep(fmt.Sprintf("20261123-%06d", i), "A plan", plan.Plan{Head: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(string(p))
	if err != nil || len(entries) != keptPlans {
		t.Errorf("%d kept, %v", len(entries), err)
	}
	if _, err := p.page("20261123-000001"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the oldest: %v", err)
	}
	newest := fmt.Sprintf("20261123-%06d", runs-1)
	if made, err := p.Plan(t.Context(), newest); err != nil || made.Head != fmt.Sprint(runs-1) {
		t.Errorf("the newest: %+v, %v", made, err)
	}
	if page, err := p.page(newest); err != nil || len(page) < 100 {
		t.Errorf("the newest: %v", err)
	}
	for _, bad := range []string{"", "..", "../x", "a/b", "-x", "a.b"} {
		if _, err := p.page(bad); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", bad, err)
		}
		if _, err := p.Plan(t.Context(), bad); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", bad, err)
		}
		if p.keep(bad, "", plan.Plan{}) == nil {
			t.Errorf("%q was written", bad)
		}
	}
}
