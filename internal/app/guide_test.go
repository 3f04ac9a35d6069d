package app

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/starter"
)

// The commands that the starter's guide tells a contributor, from the fork to
// the pull request, do what it says.
func TestContributorsGuide(t *testing.T) {
	for _, program := range []string{"bash", "curl", "git"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("the guide's commands need ", program)
		}
	}
	w := newWorld(t, nil)
	carl, token := w.account("carl", model.RoleContributor, deployment)

	text, err := fs.ReadFile(starter.Files(), "CONTRIBUTING.md")
	w.ok(err)
	guide, _, _ := strings.Cut(string(text), "**6.")
	blocks := strings.Split(guide, "\n```\n")
	var script strings.Builder
	script.WriteString("set -e\n")
	commands := 0
	for i := 1; i < len(blocks); i += 2 {
		if strings.HasPrefix(blocks[i], "hubship ") {
			continue // the account is there
		}
		commands++
		script.WriteString(strings.ReplaceAll(blocks[i], "localhost:8080", fmt.Sprintf("localhost:%d", w.settings.Port)) + "\n")
	}
	if commands != 4 {
		t.Fatalf("the guide has %d blocks of commands:\n%s", commands, &script)
	}

	dir := t.TempDir()
	ask := filepath.Join(dir, "ask")
	w.ok(os.WriteFile(ask, []byte("#!/bin/sh\necho \"$TOKEN\"\n"), 0o700))
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(token + "\n")
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") }),
		"HOME="+dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_ASKPASS="+ask, "GIT_TERMINAL_PROMPT=0", "no_proxy=localhost", "NO_PROXY=localhost",
		"GIT_AUTHOR_NAME=Carl", "GIT_AUTHOR_EMAIL=carl@localhost", "GIT_COMMITTER_NAME=Carl", "GIT_COMMITTER_EMAIL=carl@localhost")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, script.String(), out)
	}
	open, err := carl.PullRequests(t.Context(), forge.Filter{})
	w.ok(err)
	if len(open) != 1 || open[0].Author != "carl" || !open[0].FromFork() || open[0].Head.Branch != "add-seaborn" || open[0].Base.Branch != "staging" {
		t.Fatalf("pull requests %+v\n%s", open, out)
	}
	commits, err := carl.Commits(t.Context(), open[0].Number)
	w.ok(err)
	if len(commits) != 1 || commits[0].Message != "Add seaborn" {
		t.Errorf("commits %+v", commits)
	}
}
