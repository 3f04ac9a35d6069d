package preflight

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubship/hubship/node/internal/settings"
)

func contains(t *testing.T, found []error, want ...string) {
	t.Helper()
	text := errors.Join(found...)
	for _, w := range want {
		if text == nil || !strings.Contains(text.Error(), w) {
			t.Errorf("got %v, want it to have %q", text, w)
		}
	}
}

func TestPortTaken(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	s := settings.Default()
	s.PortBase = listener.Addr().(*net.TCPAddr).Port - settings.PortRegistry
	contains(t, port(s), listener.Addr().String(), "portBase")
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if found := port(s); len(found) != 0 {
		t.Errorf("got %v for a free port", found)
	}
}

func TestRangeTaken(t *testing.T) {
	s := settings.Default()
	s.PodCIDR, s.ServiceCIDR = "127.0.0.0/24", "198.19.0.0/24"
	contains(t, ranges(s), "127.0.0.0/24", "podCIDR")
}

func TestMissingProgramsNameTheirRemedy(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	dir := t.TempDir()
	contains(t, programs(dir), "apt-get install nftables", "apt-get install mmdebstrap", filepath.Join(dir, "kube"), "make node")
}

func TestDiskLooksAtTheNearestDirectoryThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "yet", "there")
	for _, err := range disk(dir) {
		// Only a full disk may be found.
		if !strings.Contains(err.Error(), "free") {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Dir(dir)); !os.IsNotExist(err) {
		t.Errorf("the check made a directory: %v", err)
	}
}

func TestNotRoot(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("runs as root: the check for root cannot fail")
	}
	contains(t, Check(settings.Default(), t.TempDir()), "root")
}
