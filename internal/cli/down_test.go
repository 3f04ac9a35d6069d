package cli

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/devforge"
	"github.com/hubship/hubship/internal/forge/forgetest/process"
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

// The embedded forge goes on running without a server, until down ends it.
func TestDownStopsTheForge(t *testing.T) {
	a, errs := testCommand(t, &world{})
	paths := install.At(a.data)
	s, err := devforge.SettingsOf(paths, install.Default(), devforge.Ways{Hooks: "/hooks/github", Events: []string{"push"}, Callback: "/signin/callback", Days: 7})
	if err != nil {
		t.Fatal(err)
	}
	digest, err := s.Write(paths.ForgeSettings)
	if err != nil {
		t.Fatal(err)
	}
	l := devforge.New(paths, process.Build(t), digest, slog.New(slog.DiscardHandler))
	if err := l.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if why := a.forgeOutdated(t.Context(), install.Default()); why != "" {
		t.Errorf("it has to be started anew: %s", why)
	}
	rec, ok := l.Running(t.Context())
	if err := a.downForge(t.Context()); err != nil || !ok || rec.Alive() {
		t.Errorf("ran: %v, runs: %v, %v", ok, rec.Alive(), err)
	}
	contains(t, errs.String(), "stop the embedded forge: done in")
	if why := a.forgeOutdated(t.Context(), install.Default()); why != "the embedded forge is not running" {
		t.Errorf("stopped: %q", why)
	}
	github := install.Default()
	github.GitHub = &install.GitHub{}
	if why := a.forgeOutdated(t.Context(), github); why != "" {
		t.Errorf("an installation at GitHub has no forge: %q", why)
	}
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
