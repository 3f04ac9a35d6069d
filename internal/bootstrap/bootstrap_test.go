package bootstrap

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/secrets"
)

const sealed = "deployments/datahub/secrets/prod.yaml"

// opens wants an encrypted file of the starter to hold the hubs' password.
func opens(t *testing.T, data []byte, keyFile, passwordFile string) {
	t.Helper()
	password, err := os.ReadFile(passwordFile)
	if err != nil {
		t.Fatal(err)
	}
	values, err := secrets.Decrypt(sealed, data, secrets.Keys{AgeFiles: []string{keyFile}})
	if err != nil {
		t.Fatal(err)
	}
	at := any(values)
	for _, key := range []string{"jupyterhub", "hub", "config", "DummyAuthenticator", "password"} {
		m, _ := at.(map[string]any)
		at = m[key]
	}
	if want := strings.TrimSpace(string(password)); at != want || len(want) != 24 {
		t.Errorf("the password of the hubs is %q, and in its file %q", at, want)
	}
}

// A killed process has left any of the branches; the next one makes the rest of the
// same commit, and the one after that changes nothing.
func TestStarterFinishesWhatWasBegun(t *testing.T) {
	ctx, p := t.Context(), install.At(t.TempDir())
	g, err := WithStarter(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	first, err := g.Head(ctx, "staging")
	if err != nil || first == "" {
		t.Fatalf("staging is at %q, %v", first, err)
	}
	tree, err := g.Tree(ctx, first)
	if err != nil {
		t.Fatal(err)
	}
	data, err := fs.ReadFile(tree.FS(), sealed)
	if err != nil {
		t.Fatal(err)
	}
	opens(t, data, p.AgeKey, p.Password)
	// The branch of the first environment is made last.
	if err := g.MoveRefs(ctx, git.RefMove{Name: "refs/heads/staging", Old: first}); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		again, err := WithStarter(ctx, p)
		if err != nil {
			t.Fatal(err)
		}
		for _, branch := range []string{"staging", "prod"} {
			if at, err := again.Head(ctx, branch); err != nil || at != first {
				t.Errorf("%s is at %q, %v; want %q", branch, at, err, first)
			}
		}
		if head, err := again.DefaultBranch(ctx); err != nil || head != "staging" {
			t.Errorf("HEAD is %q, %v", head, err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// A copy of GitHub's repository begins empty, and has no branch that could say what
// the process is.
func TestOpenCopy(t *testing.T) {
	s := install.Default()
	s.GitHub = &install.GitHub{}
	g, err := Open(t.Context(), install.At(t.TempDir()), s)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Close() }()
	branches, err := g.Branches(t.Context())
	if err != nil || len(branches) != 0 {
		t.Errorf("branches %v, %v", branches, err)
	}
	if head, err := g.DefaultBranch(t.Context()); err != nil || head != unborn {
		t.Errorf("HEAD is %q, %v", head, err)
	}
}

// What a run needs that is taken up before the first fetch is there: older versions
// kept the copy of GitHub's repository where the embedded forge has its own, and
// had no copy of that.
func TestOpenFindsTheCopy(t *testing.T) {
	for name, github := range map[string]*install.GitHub{"GitHub": {}, "embedded forge": nil} {
		t.Run(name, func(t *testing.T) {
			s := install.Default()
			s.GitHub = github
			testOpenFindsTheCopy(t, s)
		})
	}
}

func testOpenFindsTheCopy(t *testing.T, s install.Settings) {
	p := install.At(t.TempDir())
	old, err := bare(t.Context(), p.ForgeRepository)
	if err != nil {
		t.Fatal(err)
	}
	want, err := old.CommitFiles(t.Context(), "staging", "", map[string][]byte{"a": nil}, nil, "Begin", git.Hubship)
	err = errors.Join(err, old.SetRef(t.Context(), "refs/pull/1/head", want, ""), old.SetDefaultBranch(t.Context(), "staging"), old.Close())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		g, err := Open(t.Context(), p, s)
		if err != nil {
			t.Fatal(err)
		}
		if head, err := g.Head(t.Context(), "staging"); err != nil || head != want {
			t.Errorf("staging is at %q, %v; want %q", head, err, want)
		}
		if ref, err := g.Ref(t.Context(), "refs/pull/1/head"); err != nil || ref.ID != want {
			t.Errorf("the pull request is at %q, %v", ref.ID, err)
		}
		if head, err := g.DefaultBranch(t.Context()); err != nil || head != "staging" {
			t.Errorf("HEAD is %q, %v", head, err)
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(p.ForgeRepository); (s.GitHub != nil) != errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the old one: %v", err)
	}
}

func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "hubs")
	key, password := dir+".age-key", dir+".password"
	if err := Write(dir, key, password); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(sealed)))
	if err != nil {
		t.Fatal(err)
	}
	opens(t, data, key, password)
	if rules, err := os.ReadFile(filepath.Join(dir, ".sops.yaml")); err != nil || !strings.Contains(string(rules), "age1") {
		t.Errorf(".sops.yaml is %q, %v", rules, err)
	}
	if err := Write(dir, key, password); model.ExitCodeOf(err) != model.ExitUsage {
		t.Errorf("written over what is there: %v", err)
	}
	for _, file := range []string{key, password} {
		if info, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
}
