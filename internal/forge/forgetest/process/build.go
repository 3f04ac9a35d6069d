// Package process runs the embedded forge's program for tests, behind a door as
// hubship's own.
package process

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hubship/hubship/internal/devforge"
)

// tree is the folder of the forge's module, from the root, and source the program's
// package in it.
const (
	tree   = "devforge"
	source = "./cmd/hubship-forge"
)

// Build builds the forge's program once for all tests of a test binary, and
// returns its path. It lies beside the test binary, where hubship looks for it,
// and is removed with it.
func Build(t testing.TB) string {
	t.Helper()
	program, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return program
}

var built = sync.OnceValues(func() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("build the embedded forge: %w", err)
	}
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("build the embedded forge: find the module: %w", err)
	}
	root := filepath.Dir(strings.TrimSpace(string(mod)))
	if err := look(filepath.Join(root, tree)); err != nil {
		return "", fmt.Errorf("build the embedded forge: %w", err)
	}
	program := filepath.Join(filepath.Dir(self), devforge.Program)
	cmd := exec.Command("go", "build", "-o", program, source)
	cmd.Dir = filepath.Join(root, tree)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the embedded forge: %w\n%s", err, out)
	}
	return program, nil
})

// look lets the go command see that the test reads a folder, and with it that a
// result which it keeps holds only until a file there changes: the test does not
// import the program.
func look(dir string) error {
	return filepath.WalkDir(dir, func(_ string, _ fs.DirEntry, err error) error { return err })
}
