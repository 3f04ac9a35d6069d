package process_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/forgetest/process"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/model"
)

// What tests of hubship build on.
func TestForge(t *testing.T) {
	f := process.Start(t, process.Options{})
	f.Account("mia", model.RoleMaintainer)
	f.AddAccount(model.NewAccount{Login: "carl", Password: "a long password"}, "carl@example.org")
	f.Organization("class")
	other := f.NewRepository("class", "hubs", "main")

	g, err := git.Open(f.Path(f.Repository))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Close() }()
	head, err := g.CommitFiles(t.Context(), "staging", "", map[string][]byte{"a": []byte("1\n")}, nil, "Begin", git.Hubship)
	if err != nil {
		t.Fatal(err)
	}
	for _, login := range []string{process.Own, "mia", "carl"} {
		c := f.Client(login, f.Repository)
		if who, err := c.Login(t.Context()); err != nil || who != login {
			t.Errorf("%s is %q, %v", login, who, err)
		}
		if got, err := c.Branch(t.Context(), "staging"); err != nil || got != head {
			t.Errorf("%s sees %q, %v", login, got, err)
		}
	}
	if fork := f.Fork("carl", f.Repository); fork.String() != "carl/deployment" {
		t.Errorf("forked to %s", fork)
	}
	if remote, err := f.Client("mia", other).Remote(t.Context()); err != nil || remote.URL != f.URL+"/git/class/hubs.git" {
		t.Errorf("the other repository is at %q, %v", remote.URL, err)
	}
	resp, err := f.SignIn("carl", "a long password").Get(f.URL + "/forge/-/settings")
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("the settings of who signed in: %v, %v", resp, err)
	}
	_ = resp.Body.Close()

	c := f.Client("mia", f.Repository)
	f.SetDown(true)
	if _, err := c.Branch(t.Context(), "staging"); !errors.Is(err, forge.ErrUnavailable) {
		t.Errorf("down: %v", err)
	}
	f.SetDown(false)
	f.Kill()
	if _, err := c.Branch(t.Context(), "staging"); !errors.Is(err, forge.ErrUnavailable) {
		t.Errorf("killed: %v", err)
	}
	f.Restart()
	if got, err := c.Branch(t.Context(), "staging"); err != nil || got != head {
		t.Errorf("started again: %q, %v", got, err)
	}
}
