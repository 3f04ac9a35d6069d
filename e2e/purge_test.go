package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// machine is what an installation could leave behind on the machine.
type machine struct {
	interfaces, namespaces, tables, routes, mounts, cgroups []string
}

// observeMachine looks at the machine.
func observeMachine(t *testing.T) machine {
	t.Helper()
	lines := func(program string, args ...string) []string {
		out, err := exec.Command(program, args...).Output()
		if err != nil {
			return nil // the program is not there: nothing can have been made with it
		}
		return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
	}
	names := func(pattern string) []string {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	m := machine{
		interfaces: names("/sys/class/net/*"), namespaces: names("/run/netns/*"),
		tables: lines("nft", "list", "tables"), routes: lines("ip", "route", "show", "table", "all"),
		cgroups: append(names("/sys/fs/cgroup/*/*e2e*"), names("/sys/fs/cgroup/*e2e*")...),
	}
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) > 4 {
			m.mounts = append(m.mounts, f[4])
		}
	}
	return m
}

// purge removes the installation and compares the machine with what it was.
// Another installation may come and go meanwhile: only what bears a name or an
// address of this one counts.
func (i *installation) purge(t *testing.T, before machine) {
	i.must(t, 5*time.Minute, "down")
	if left := i.ours(); len(left) > 0 {
		t.Errorf("after down these processes live on: %v", left)
	}
	i.must(t, 5*time.Minute, "down", "--purge", "--yes")
	after := observeMachine(t)
	for _, c := range []struct {
		what          string
		before, after []string
	}{
		{"network interface", before.interfaces, after.interfaces},
		{"network namespace", before.namespaces, after.namespaces},
		{"nftables table", before.tables, after.tables},
		{"route", before.routes, after.routes},
		{"mount", before.mounts, after.mounts},
		{"cgroup", before.cgroups, after.cgroups},
	} {
		for _, item := range c.after {
			if !slices.Contains(c.before, item) && i.mentions(item) {
				t.Errorf("%s left behind: %s", c.what, item)
			}
		}
	}
	for _, path := range []string{i.data, i.settings.RunDir()} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is still there", path)
		}
	}
	if left := i.ours(); len(left) > 0 {
		t.Errorf("these processes live on: %v", left)
	}
}

// mentions says whether something bears a name or an address of this
// installation.
func (i *installation) mentions(text string) bool {
	for _, mark := range []string{"e2e", i.data, "10.231.", "10.232."} {
		if strings.Contains(text, mark) {
			return true
		}
	}
	return false
}
