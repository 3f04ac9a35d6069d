package e2e

import (
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/install"
)

// clone is a contributor's clone of the deployment repository.
type clone struct {
	dir string
	env []string
}

// clone clones a branch over HTTP, with the token in git's environment.
func (i *installation) clone(t *testing.T, branch string) *clone {
	t.Helper()
	raw, err := os.ReadFile(install.At(i.data).GitToken)
	if err != nil {
		t.Fatal(err)
	}
	basic := base64.StdEncoding.EncodeToString([]byte("e2e:" + strings.TrimSpace(string(raw))))
	dir, err := os.MkdirTemp(i.work, "clone-")
	if err != nil {
		t.Fatal(err)
	}
	c := &clone{dir: dir, env: append(os.Environ(),
		"LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@localhost", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@localhost",
		"GIT_CONFIG_COUNT=2", "GIT_CONFIG_KEY_0=http.extraHeader", "GIT_CONFIG_VALUE_0=Authorization: Basic "+basic,
		"GIT_CONFIG_KEY_1=http.proxy", "GIT_CONFIG_VALUE_1=")}
	c.git(t, "clone", "--quiet", "--branch", branch, i.settings.CloneURL(), ".")
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
// said to the pusher.
func (c *clone) push(t *testing.T, branch string) string {
	t.Helper()
	return c.git(t, "push", "origin", "HEAD:refs/heads/"+branch)
}
