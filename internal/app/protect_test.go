package app

import (
	"errors"
	"io/fs"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/forge/local/host"
	"github.com/hubship/hubship/internal/forge/local/store"
	"github.com/hubship/hubship/internal/model"
)

func TestProtectionOf(t *testing.T) {
	staging := model.Environment{Name: "staging", Branch: "stage"}
	prod := model.Environment{Name: "prod", Branch: "live", After: "staging"}
	checks := &host.RequiredChecks{Contexts: changeContexts, By: ownLogin}
	for name, c := range map[string]struct {
		change func(*model.Process)
		env    *model.Environment
		want   host.Protection
	}{
		"first": {env: &staging, want: host.Protection{EnforceAdmins: true, Checks: checks, Reviews: &host.RequiredReviews{Count: 1, DismissStale: true, LastPush: true}}},
		"solo": {env: &staging, change: func(f *model.Process) { f.Review.Approvals = 0 },
			want: host.Protection{EnforceAdmins: true, Checks: checks, Reviews: &host.RequiredReviews{DismissStale: true, LastPush: true}}},
		"pushed to": {env: &model.Environment{Name: "staging", Branch: "stage", Push: true},
			want: host.Protection{EnforceAdmins: true, AllowPush: true, Checks: checks, Reviews: &host.RequiredReviews{Count: 1, DismissStale: true, LastPush: true}}},
		"reverts by itself": {env: &staging, change: func(f *model.Process) { f.Revert = model.RevertAuto },
			want: host.Protection{EnforceAdmins: true, Checks: checks, Reviews: &host.RequiredReviews{Count: 1, DismissStale: true, LastPush: true}, Bypass: []string{"hubship"}}},
		"later": {env: &prod, want: host.Protection{EnforceAdmins: true, Checks: &host.RequiredChecks{Contexts: promotionContexts, By: ownLogin}, Heads: []string{"stage"}}},
	} {
		t.Run(name, func(t *testing.T) {
			f := &model.Process{Environments: []model.Environment{staging, prod}, Revert: model.RevertPropose}
			f.Review.Approvals = 1
			if c.change != nil {
				c.change(f)
			}
			if got := protectionOf(*f, *c.env); !reflect.DeepEqual(*got, c.want) {
				t.Errorf("got %+v, want %+v", *got, c.want)
			}
		})
	}
}

// Where the branch of the process may be pushed to, a reviewer changes what hubs
// are made of there, and a maintainer alone how they are shipped.
func TestProcessBranchIsHeld(t *testing.T) {
	w := newWorld(t, nil)
	e := w.process.local
	_, rita := w.account("rita", store.Reviewer, w.process.forge.Repository())
	_, mia := w.account("mia", store.Maintainer, w.process.forge.Repository())

	// As a maintainer's merge would, once.
	head, err := e.fleets.Head(t.Context(), "staging")
	w.ok(err)
	tree, err := e.fleets.FS(t.Context(), head)
	w.ok(err)
	before, err := fs.ReadFile(tree, "hubship.yaml")
	w.ok(err)
	opened := strings.Replace(string(before), "{branch: staging", "{push: true, branch: staging", 1)
	if opened == string(before) {
		t.Fatalf("the starter's hubship.yaml has no branch to open:\n%s", before)
	}
	_, err = e.fleets.Git().CommitFiles(t.Context(), "staging", head, map[string][]byte{"hubship.yaml": []byte(opened)}, nil, "Open it", author)
	w.ok(err)
	w.moved()

	clone := filepath.Join(t.TempDir(), "clone")
	w.mustGit(rita, "", "clone", "--quiet", w.settings.CloneURL(), clone)
	push := func(token, file, text string) error {
		t.Helper()
		w.change(clone, file, text)
		out, err := w.git(token, clone, "push", "--quiet", "origin", "HEAD:staging")
		if err != nil {
			w.mustGit(token, clone, "reset", "--quiet", "--hard", "origin/staging")
			return errors.New(out)
		}
		w.mustGit(token, clone, "fetch", "--quiet")
		return nil
	}
	if err := push(rita, "README.md", "Hello\n"); err != nil {
		t.Fatalf("a reviewer may not push what is content: %v", err)
	}
	loosened := strings.Replace(opened, ", after: staging", "", 1)
	if loosened == opened {
		t.Fatal("the starter's prod has no gate to drop")
	}
	for name, text := range map[string]string{"drops the gate": loosened, "breaks it": "version: [\n"} {
		if err := push(rita, "hubship.yaml", text); err == nil || !strings.Contains(err.Error(), "how changes are shipped") {
			t.Errorf("a reviewer's push that %s: %v", name, err)
		}
	}
	if err := push(mia, "hubship.yaml", loosened); err != nil {
		t.Errorf("a maintainer's push: %v", err)
	}
}
