package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestPlans(t *testing.T) {
	p := plans(filepath.Join(t.TempDir(), "plans"))
	if _, err := p.read("r1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before anything was kept: %v", err)
	}
	for i := range keptPlans + 2 {
		if err := p.write(fmt.Sprintf("20261123-%06d", i), []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(string(p))
	if err != nil || len(entries) != keptPlans {
		t.Errorf("%d kept, %v", len(entries), err)
	}
	if _, err := p.read("20261123-000001"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the oldest: %v", err)
	}
	if page, err := p.read(fmt.Sprintf("20261123-%06d", keptPlans+1)); err != nil || len(page) != 1 {
		t.Errorf("the newest: %v", err)
	}
	for _, bad := range []string{"", "..", "../x", "a/b", "-x", "a.b"} {
		if _, err := p.read(bad); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", bad, err)
		}
		if p.write(bad, nil) == nil {
			t.Errorf("%q was written", bad)
		}
	}
}
