package rest

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-github/v89/github"
)

// A client that nobody here wrote goes the whole way.
func TestGoGitHub(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	client := func(who string) *github.Client {
		c, err := github.NewClient(github.WithAuthToken(w.token[who]), github.WithEnterpriseURLs(w.url, w.url))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ada, ben, mia := client("ada"), client("ben"), client("mia")
	if u, _, err := ada.Users.Get(ctx, ""); err != nil || u.GetLogin() != "ada" {
		t.Fatalf("who am I: %v, %v", u, err)
	}
	fork, _, err := ada.Repositories.CreateFork(ctx, "hub", "deployment", nil)
	if _, accepted := err.(*github.AcceptedError); !accepted && err != nil {
		t.Fatal(err)
	}
	clone := t.TempDir() + "/c"
	w.git("ada", "", "clone", "--quiet", fork.GetCloneURL(), clone)
	w.git("ada", clone, "checkout", "--quiet", "-b", "feature/a")
	sha := w.commit(clone, "a.txt", "a")
	w.git("ada", clone, "push", "--quiet", "origin", "HEAD")
	pull, _, err := ada.PullRequests.Create(ctx, "hub", "deployment", &github.NewPullRequest{
		Title: github.Ptr("Add a"), Head: github.Ptr("ada:feature/a"), Base: github.Ptr("staging"), Body: github.Ptr("please")})
	if err != nil {
		t.Fatal(err)
	}
	n := pull.GetNumber()
	if pull, _, err = ben.PullRequests.Get(ctx, "hub", "deployment", n); err != nil || !pull.GetMergeable() || pull.GetHead().GetSHA() != sha {
		t.Fatalf("the pull request: mergeable %v at %s, %v", pull.GetMergeable(), pull.GetHead().GetSHA(), err)
	}
	if _, _, err := ben.PullRequests.CreateReview(ctx, "hub", "deployment", n, &github.PullRequestReviewRequest{Event: github.Ptr("APPROVE")}); err != nil {
		t.Error(err)
	}
	if _, _, err := ben.Repositories.CreateStatus(ctx, "hub", "deployment", sha, github.RepoStatus{State: github.Ptr("success"), Context: github.Ptr("ci")}); err != nil {
		t.Error(err)
	}
	if s, _, err := ada.Repositories.GetCombinedStatus(ctx, "hub", "deployment", sha, nil); err != nil || s.GetState() != "success" {
		t.Errorf("combined: %v, %v", s.GetState(), err)
	}
	if s, _, err := ada.Repositories.GetCombinedStatus(ctx, "hub", "deployment", "heads/staging", nil); err != nil || s.GetState() != "pending" {
		t.Errorf("combined of a branch: %v, %v", s.GetState(), err)
	}
	if c, _, err := ada.Repositories.CompareCommits(ctx, "hub", "deployment", "staging", "ada:feature/a", nil); err != nil || c.GetAheadBy() != 1 || len(c.Files) != 1 {
		t.Errorf("compare: %v, %v", c.GetAheadBy(), err)
	}
	if diff, _, err := ada.PullRequests.GetRaw(ctx, "hub", "deployment", n, github.RawOptions{Type: github.Diff}); err != nil || diff == "" {
		t.Errorf("diff: %q, %v", diff, err)
	}
	if _, _, err := mia.Repositories.GetBranchProtection(ctx, "hub", "deployment", "staging"); err != github.ErrBranchNotProtected {
		t.Errorf("protection: %v", err)
	}
	_, res, err := ben.PullRequests.Merge(ctx, "hub", "deployment", n, "", &github.PullRequestOptions{SHA: "1111111111111111111111111111111111111111"})
	if err == nil || res.StatusCode != http.StatusConflict {
		t.Errorf("merge of another head: %v", err)
	}
	if r, _, err := ben.PullRequests.Merge(ctx, "hub", "deployment", n, "", &github.PullRequestOptions{SHA: sha, MergeMethod: "squash"}); err != nil || !r.GetMerged() {
		t.Errorf("merge: %v", err)
	}
	if m, _, err := ada.Repositories.MergeUpstream(ctx, "ada", "deployment", &github.RepoMergeUpstreamRequest{Branch: github.Ptr("staging")}); err != nil || m.GetMergeType() != "fast-forward" {
		t.Errorf("sync: %v, %v", m.GetMergeType(), err)
	}
	hook, _, err := mia.Repositories.CreateHook(ctx, "hub", "deployment", &github.Hook{Events: []string{"push"}, Active: github.Ptr(true),
		Config: &github.HookConfig{URL: github.Ptr(newSink(t).url), ContentType: github.Ptr("json")}})
	if err != nil || hook.GetID() == 0 {
		t.Errorf("hook: %v", err)
	}
}

// So does GitHub's own, and its code that verifies webhooks.
func TestOctokit(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	dir, err := installPackages(ctx, "octokit", func(string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	flow, err := os.Open("testdata/octokit/flow.mjs")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = flow.Close() }()
	cmd := exec.CommandContext(ctx, "node", "--input-type=module", "-")
	cmd.Dir, cmd.Stdin = dir, flow
	cmd.Env = append(os.Environ(), "FORGE="+w.url+"/api/v3", "ADA="+w.token["ada"], "BEN="+w.token["ben"], "MIA="+w.token["mia"])
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("Octokit: %v\n%s", err, out)
	}
}
