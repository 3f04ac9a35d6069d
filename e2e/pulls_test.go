package e2e

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/github"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
)

// Accounts of the embedded forge that the scenarios play with.
const (
	author   = "ada"
	reviewer = "mia"
)

// forge is the deployment repository as a reviewer sees it.
func (i *installation) forge(t *testing.T, login string) *github.Client {
	t.Helper()
	return i.account(t, login, model.RoleReviewer)
}

// account is the deployment repository as an account sees it, which is made when
// it is not there.
func (i *installation) account(t *testing.T, login, role string) *github.Client {
	t.Helper()
	if c := i.forges[login]; c != nil {
		return c
	}
	_, err := i.api.AddAccount(t.Context(), model.NewAccount{Login: login, Role: role})
	if err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	token, err := i.api.AccountToken(t.Context(), login, []string{"repo"}, 2*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c, err := github.New(github.Options{
		URL: i.settings.URL() + "api/v3/", Repository: forge.Repository{Owner: install.RepositoryOwner, Name: install.RepositoryName},
		Token: token, Transport: i.web.Transport,
	})
	if err != nil {
		t.Fatal(err)
	}
	i.forges[login] = c
	return c
}

// propose pushes what is checked out to a new branch and opens a pull request.
func (i *installation) propose(t *testing.T, c *clone, base string) forge.PullRequest {
	t.Helper()
	i.proposed++
	branch := fmt.Sprintf("e2e-%d", i.proposed)
	if said, err := c.push(t, branch); err != nil {
		t.Fatalf("push %s: %v\n%s", branch, err, said)
	}
	pr, err := i.forge(t, author).Open(t.Context(), forge.NewPullRequest{Title: c.git(t, "log", "-1", "--format=%s"), Head: branch, Base: base})
	if err != nil {
		t.Fatal(err)
	}
	return pr
}

// land brings what is checked out to a branch by pull request: it is checked,
// approved by somebody else and merged. The merge is returned.
func (i *installation) land(t *testing.T, c *clone, base string) string {
	t.Helper()
	return i.merge(t, i.propose(t, c, base).Number)
}

// merge approves a pull request and merges it as soon as it may be.
func (i *installation) merge(t *testing.T, number int) string {
	t.Helper()
	mia := i.forge(t, reviewer)
	pr, err := mia.PullRequest(t.Context(), number)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mia.Review(t.Context(), number, forge.NewReview{State: forge.Approved, Commit: pr.Head.Commit}); err != nil {
		t.Fatal(err)
	}
	return i.mergeChecked(t, pr)
}

// mergeChecked merges a pull request as soon as it may be.
func (i *installation) mergeChecked(t *testing.T, pr forge.PullRequest) string {
	t.Helper()
	mia, number := i.forge(t, reviewer), pr.Number
	begin := time.Now()
	for end := begin.Add(5 * time.Minute); ; time.Sleep(250 * time.Millisecond) {
		merge, err := mia.Merge(t.Context(), number, forge.Merge{Head: pr.Head.Commit})
		if err == nil {
			t.Logf("#%d was merged after %.1fs", number, time.Since(begin).Seconds())
			return merge
		}
		if time.Now().After(end) {
			list, _ := mia.Statuses(context.WithoutCancel(t.Context()), pr.Head.Commit)
			t.Fatalf("#%d cannot be merged: %v\n%+v", number, err, list)
		}
	}
}

// until waits for something to become true, and says what it is not yet.
func until(t *testing.T, limit time.Duration, what string, is func() string) {
	t.Helper()
	why := ""
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if why = is(); why == "" {
			return
		}
	}
	t.Fatalf("%s: %s", what, why)
}

// pastStaging tries to get into prod what staging never saw: by a push, and by
// a pull request. Neither is taken, and both say what to do instead.
func (i *installation) pastStaging(t *testing.T) {
	before := i.release(t, "prod").Observed
	for _, branch := range []string{"staging", "prod"} {
		c := i.clone(t, branch)
		c.bump(t, "deployments/datahub/config/common.yaml", "startTimeout")
		c.commit(t, "Sneak past review")
		if said, err := c.push(t, branch); err == nil || !strings.Contains(said, "pull request") {
			t.Errorf("a push to %s: %v\n%s", branch, err, said)
		}
	}
	c := i.clone(t, "prod")
	c.bump(t, "deployments/datahub/config/common.yaml", "startTimeout")
	c.commit(t, "Sneak past staging")
	pr := i.propose(t, c, "prod")
	ada := i.forge(t, author)
	until(t, time.Minute, "the policy", func() string {
		list, err := ada.Statuses(t.Context(), pr.Head.Commit)
		for _, s := range list {
			if s.Context == "hubship/policy" && s.State == forge.Failure && strings.Contains(s.Description, "staging") {
				return ""
			}
		}
		return fmt.Sprint(list, err)
	})
	mia := i.forge(t, reviewer)
	if _, err := mia.Review(t.Context(), pr.Number, forge.NewReview{State: forge.Approved, Commit: pr.Head.Commit}); err != nil {
		t.Error(err)
	}
	if _, err := mia.Merge(t.Context(), pr.Number, forge.Merge{Head: pr.Head.Commit}); err == nil {
		t.Error("it was merged into prod")
	}
	closed := forge.Closed
	if _, err := ada.Update(t.Context(), pr.Number, forge.Change{State: &closed}); err != nil {
		t.Error(err)
	}
	if after := i.release(t, "prod").Observed; after.Revision != before.Revision || after.Inputs != before.Inputs {
		t.Errorf("prod changed: %+v became %+v", before, after)
	}
}

// checkKilled kills the server in the middle of a check, which goes on
// afterwards and is reported.
func (i *installation) checkKilled(t *testing.T) {
	c := i.clone(t, "staging")
	c.add(t, "deployments/datahub/image/requirements.txt", "# nothing new")
	c.commit(t, "Build it once more")
	pr := i.propose(t, c, "staging")
	ada := i.forge(t, author)
	state := func(name string) string {
		list, err := ada.Statuses(t.Context(), pr.Head.Commit)
		for _, s := range list {
			if s.Context == name {
				return s.State
			}
		}
		return fmt.Sprint(err)
	}
	until(t, time.Minute, "the check", func() string {
		if s := state("hubship/plan"); s != forge.Success {
			return "hubship/plan: " + s
		}
		return ""
	})
	i.signal(t, syscall.SIGKILL)
	i.must(t, 2*time.Minute, i.upArgs("--follow=false")...)
	until(t, 5*time.Minute, "the check after the kill", func() string {
		if s := state("hubship/images"); s != forge.Success {
			return "hubship/images: " + s
		}
		return ""
	})
	closed := forge.Closed
	if _, err := ada.Update(t.Context(), pr.Number, forge.Change{State: &closed}); err != nil {
		t.Error(err)
	}
}
