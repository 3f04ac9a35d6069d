package planner

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/plan"
)

// gitlink commits a submodule at a commit.
func (f *testFleet) gitlink(path, commit string) string {
	f.tb.Helper()
	run := func(args ...string) string {
		f.tb.Helper()
		cmd := exec.Command("git", append([]string{"--git-dir=" + f.git.Dir()}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_INDEX_FILE="+filepath.Join(f.tb.TempDir(), "index"), "GIT_CONFIG_GLOBAL=/dev/null",
			"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org")
		out, err := cmd.CombinedOutput()
		if err != nil {
			f.tb.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	index := filepath.Join(f.tb.TempDir(), "index")
	script := exec.Command("sh", "-ec", `git read-tree "$1"; git update-index --add --cacheinfo "160000,$2,$3"; git write-tree`, "sh", f.head, commit, path)
	script.Env = append(os.Environ(), "GIT_DIR="+f.git.Dir(), "GIT_INDEX_FILE="+index, "GIT_CONFIG_GLOBAL=/dev/null")
	out, err := script.Output()
	if err != nil {
		f.tb.Fatal(err)
	}
	id := run("commit-tree", "-p", f.head, "-m", "move the submodule", strings.TrimSpace(string(out)))
	run("update-ref", "refs/heads/staging", id)
	f.head = id
	return id
}

// TestSubmodule moves a submodule forth and back (incident I2), with its
// repository here and without.
func TestSubmodule(t *testing.T) {
	f := newFleet(t, "math")
	sub, err := git.Init(t.Context(), filepath.Join(f.git.Dir(), "modules", "chart", "sub"), git.InitOptions{Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Close() }()
	var commits []string
	parent := ""
	for _, text := range []string{"1\n", "2\n", "3\n"} {
		parent, err = sub.CommitFiles(t.Context(), "main", parent, map[string][]byte{"x": []byte(text)}, map[string]fs.FileMode{}, "sub "+text, git.Identity{Name: "S", Email: "s@example.org"})
		if err != nil {
			t.Fatal(err)
		}
		commits = append(commits, parent)
	}
	before := f.head
	first := f.gitlink("chart/sub", commits[0])
	p := f.plan(Request{Base: before, Head: first})
	if len(p.Submodules) != 1 || p.Submodules[0].Before != "" || p.Submodules[0].After != commits[0] {
		t.Errorf("a new submodule: %+v", p.Submodules)
	}
	third := f.gitlink("chart/sub", commits[2])
	p = f.plan(Request{Base: first, Head: third})
	if s := p.Submodules[0]; s.Back || len(s.Commits) != 2 || !strings.Contains(s.Commits[0], "sub 3") || len(p.Problems) > 0 {
		t.Errorf("forth: %+v, %+v", s, p.Problems)
	}
	second := f.gitlink("chart/sub", commits[1])
	p = f.plan(Request{Base: third, Head: second})
	if s := p.Submodules[0]; !s.Back || len(s.Commits) != 1 {
		t.Errorf("back: %+v", s)
	}
	if len(p.Problems) != 1 || p.Problems[0].Check != "submodule" || p.Problems[0].Severity != plan.Warning || p.Problems[0].File != "chart/sub" {
		t.Errorf("problems %+v", p.Problems)
	}
	unknown := f.gitlink("chart/sub", strings.Repeat("1", 40))
	p = f.plan(Request{Base: second, Head: unknown})
	if s := p.Submodules[0]; s.Note == "" || s.Back || len(s.Commits) != 0 {
		t.Errorf("a commit that is not here: %+v", s)
	}
}

func TestModuleName(t *testing.T) {
	text := "[submodule \"a\"]\n\tpath = x\n\turl = u\n[submodule \"named\"]\n  path=deep/y \n"
	for name, want := range map[string]string{"x": "a", "deep/y": "named", "none": ""} {
		if got := moduleName(text, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
