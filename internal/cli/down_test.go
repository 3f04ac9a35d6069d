package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/install"
)

// Removing a node takes long, and says so before anybody wonders.
func TestPurgeTellsHowFarItIs(t *testing.T) {
	program := filepath.Join(t.TempDir(), "hubship-node")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nsleep 2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HUBSHIP_NODE", program)
	a, errs := testCommand(t, &world{})
	s := install.Default()
	s.Name = "purge-test"
	if err := a.downNode(t.Context(), s, true); err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(errs.String(), "remove the embedded node ...")
	contains(t, after, "remove the embedded node: removing files\n", "remove the embedded node: done in")
}

func TestVersionIsAnOptionToo(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		_, want, _ := hubship(t, noData(t), "version", "-o", format)
		code, got, errs := hubship(t, noData(t), "--version", "-o", format)
		if code != 0 || got != want || got == "" {
			t.Errorf("code %d, got %q, want %q\n%s", code, got, want, errs)
		}
	}
	if code, _, errs := hubship(t, noData(t), "fly"); code != 2 || !strings.Contains(errs, `unknown command "fly"`) {
		t.Errorf("code %d\n%s", code, errs)
	}
}
