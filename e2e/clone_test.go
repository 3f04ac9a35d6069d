package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// clone is a contributor's clone of the deployment repository.
type clone struct {
	dir string
	env []string
}

// clone clones a branch over HTTP as the author does, with the token in git's
// environment.
func (i *installation) clone(t *testing.T, branch string) *clone {
	t.Helper()
	remote, err := i.forge(t, author).Remote(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(i.work, "clone-")
	if err != nil {
		t.Fatal(err)
	}
	c := &clone{dir: dir, env: append(append(os.Environ(),
		"LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull,
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@localhost", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@localhost",
		"no_proxy=localhost", "NO_PROXY=localhost"), remote.Env()...)}
	c.git(t, "clone", "--quiet", "--branch", branch, "--", remote.URL, ".")
	return c
}

func (c *clone) git(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = c.dir, c.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", args[0], err, out)
	}
	return strings.TrimSpace(string(out))
}

// bump adds one to the number of a key that a YAML file must hold once.
func (c *clone) bump(t *testing.T, file, key string) {
	t.Helper()
	path := filepath.Join(c.dir, file)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^ *`+regexp.QuoteMeta(key)+`: (\d+)$`).FindAllSubmatchIndex(raw, -1)
	if len(found) != 1 {
		t.Fatalf("%s holds %q %d times", file, key, len(found))
	}
	at := found[0]
	n, err := strconv.Atoi(string(raw[at[2]:at[3]]))
	if err != nil {
		t.Fatal(err)
	}
	changed := string(raw[:at[2]]) + strconv.Itoa(n+1) + string(raw[at[3]:])
	if err := os.WriteFile(path, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
}

// add appends a line to a file, which may be new.
func (c *clone) add(t *testing.T, file, line string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(c.dir, file), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(line + "\n"); err != nil {
		t.Fatal(err)
	}
}

// commit commits everything and returns the commit.
func (c *clone) commit(t *testing.T, message string) string {
	t.Helper()
	c.git(t, "add", "--all")
	c.git(t, "commit", "--quiet", "--message", message)
	return c.git(t, "rev-parse", "HEAD")
}

// push pushes what is checked out to a branch and returns what the server
// said to the pusher, and whether it took the push.
func (c *clone) push(t *testing.T, branch string) (said string, err error) {
	t.Helper()
	cmd := exec.Command("git", "push", "--force", "origin", "HEAD:refs/heads/"+branch)
	cmd.Dir, cmd.Env = c.dir, c.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}
