package install

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSetHosts(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "hosts")
	set := func(installation string, names ...string) {
		t.Helper()
		if err := SetHosts(file, installation, names); err != nil {
			t.Fatal(err)
		}
	}
	is := func(want string) {
		t.Helper()
		got, err := os.ReadFile(file)
		if err != nil || string(got) != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	set("a") // nothing to remove, and no file
	const others = "127.0.0.1 localhost\n# mine\n10.0.0.1 nas"
	if err := os.WriteFile(file, []byte(others), 0o644); err != nil {
		t.Fatal(err)
	}
	a := "# BEGIN hubship a\n127.0.0.1 art.localhost\n127.0.0.1 math.localhost\n# END hubship a\n"
	set("a", "math.localhost", "art.localhost", "math.localhost")
	is(others + "\n" + a)
	set("b", "x.localhost")
	set("a", "math.localhost")
	is(others + "\n# BEGIN hubship b\n127.0.0.1 x.localhost\n# END hubship b\n# BEGIN hubship a\n127.0.0.1 math.localhost\n# END hubship a\n")
	set("b")
	set("a")
	is(others + "\n")

	broken := others + "\n# BEGIN hubship a\n127.0.0.1 x\n10.0.0.2 printer\n"
	if err := os.WriteFile(file, []byte(broken), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := SetHosts(file, "a", nil); err == nil || !strings.Contains(err.Error(), "# END hubship a") {
		t.Errorf("a block without an end: %v", err)
	}
	is(broken)
}
