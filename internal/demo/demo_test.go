package demo

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestNext(t *testing.T) {
	file := "# for teaching\nnumpy==2.4.6\n"
	seen := map[string]bool{}
	for range 2 * len(candidates) {
		name, version, changed := next(file)
		if name == "" || changed == file {
			t.Fatalf("nothing to add to\n%s", file)
		}
		if v, ok := pinned(changed, name); !ok || v != version {
			t.Fatalf("%s==%s is not in\n%s", name, version, changed)
		}
		if strings.Count(changed, name+"==") != 1 || !strings.Contains(changed, "numpy==2.4.6\n") {
			t.Fatalf("file spoilt:\n%s", changed)
		}
		seen[name] = true
		file = changed
	}
	if len(seen) != len(candidates) {
		t.Fatalf("used %v of %d candidates", seen, len(candidates))
	}
}

func TestPinned(t *testing.T) {
	file := "Emoji == 2.14.1  # smile\nart\nroman>=4 ; python_version > '3'\nemoji-extra==1\n"
	for name, want := range map[string]string{"emoji": "2.14.1", "art": "", "roman": "", "emoji-extra": "1"} {
		if v, ok := pinned(file, name); !ok || v != want {
			t.Errorf("%s: got %q, %v", name, v, ok)
		}
	}
	if _, ok := pinned(file, "cowsay"); ok {
		t.Error("cowsay is not listed")
	}
}

// The wheels are always the same, or a repeated demo would build anew; and pip
// does install what Python cannot import.
func TestBrokenWheels(t *testing.T) {
	if err := exec.Command("python3", "-c", "import venv, ensurepip").Run(); err != nil {
		t.Skip("the wheels are not installed: python3-venv is missing")
	}
	dir, text := t.TempDir(), "# for teaching\n"
	if err := os.MkdirAll(filepath.Join(dir, "packages"), 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(env, program string, args ...string) (string, error) {
		cmd := exec.Command(program, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("", "python3", "-m", "venv", "venv"); err != nil {
		t.Fatal(err, out)
	}
	for i, w := range brokenWheels {
		name, data, err := w.file()
		if err != nil {
			t.Fatal(err)
		}
		if _, again, _ := w.file(); !bytes.Equal(data, again) {
			t.Fatal("two wheels differ")
		}
		if err := os.WriteFile(filepath.Join(dir, "packages", name), data, 0o644); err != nil {
			t.Fatal(err)
		}
		text = w.listed(text)
		if strings.Count(text, brokenName) != 1 || !strings.HasPrefix(text, "# for teaching\n") {
			t.Fatalf("requirements: %q", text)
		}
		if err := os.WriteFile(filepath.Join(dir, "requirements.txt"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := run("", "venv/bin/pip", "install", "--no-index", "-r", "requirements.txt"); err != nil {
			t.Fatal(err, out)
		}
		out, err := run("JUPYTERHUB_API_TOKEN=secret", "venv/bin/python", "-c", "import "+brokenModule)
		if err == nil || !strings.Contains(out, brokenMessage) {
			t.Errorf("version %s is imported in a user's server: %v\n%s", w.version, err, out)
		}
		if out, err = run("", "venv/bin/python", "-c", "import "+brokenModule); (err == nil) != (i == 1) {
			t.Errorf("version %s in a sandbox: %v\n%s", w.version, err, out)
		}
	}
}
