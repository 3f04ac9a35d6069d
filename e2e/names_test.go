package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/secrets"
)

// maintainer may approve a change of the process.
const maintainer = "max"

// replace changes text that a file must hold once.
func (c *clone) replace(t *testing.T, file, old, new string) {
	t.Helper()
	path := filepath.Join(c.dir, file)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(raw), old); n != 1 {
		t.Fatalf("%s holds %q %d times", file, old, n)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(raw), old, new, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// encrypt writes the secrets of an environment, which has the password of the
// others, as somebody with the installation's public key does.
func (i *installation) encrypt(t *testing.T, c *clone, file string) {
	t.Helper()
	password, err := os.ReadFile(install.At(i.data).Password)
	if err != nil {
		t.Fatal(err)
	}
	recipient, err := secrets.NewKey(install.At(i.data).AgeKey)
	if err != nil {
		t.Fatal(err)
	}
	values := fmt.Sprintf("jupyterhub: {hub: {config: {DummyAuthenticator: {password: %q}}}}\n", strings.TrimSpace(string(password)))
	sealed, err := secrets.Encrypt([]byte(values), []string{recipient})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.dir, file), sealed, 0o644); err != nil {
		t.Fatal(err)
	}
}

// otherNames gives the process other branches and a third environment, by a
// pull request that a maintainer approves; then a change goes all the way:
// main, production, campus.
func (i *installation) otherNames(t *testing.T) {
	max := i.account(t, maintainer, model.RoleMaintainer)
	for branch, from := range map[string]string{"main": "staging", "production": "prod", "campus": "prod"} {
		if said, err := i.clone(t, from).push(t, branch); err != nil {
			t.Fatalf("push %s: %v\n%s", branch, err, said)
		}
	}
	c := i.clone(t, "staging")
	c.replace(t, "hubship.yaml", "staging: {branch: staging,", "staging: {branch: main,")
	c.replace(t, "hubship.yaml", `prod: {branch: prod, cluster: local, namespace: "{hub}-prod", after: staging}`,
		`prod: {branch: production, cluster: local, namespace: "{hub}-prod", after: staging}`+"\n"+
			`  campus: {branch: campus, cluster: local, namespace: "{hub}-campus", after: prod}`)
	c.add(t, "deployments/datahub/config/campus.yaml", "jupyterhub: {singleuser: {cpu: {limit: 1}, memory: {limit: 1G}}}")
	i.encrypt(t, c, "deployments/datahub/secrets/campus.yaml")
	head := c.commit(t, "Three environments, on branches of other names")
	pr := i.propose(t, c, "staging")
	mia := i.forge(t, reviewer)
	if _, err := mia.Review(t.Context(), pr.Number, forge.NewReview{State: forge.Approved, Commit: head}); err != nil {
		t.Fatal(err)
	}
	status := func(name string) string {
		list, err := mia.Statuses(t.Context(), head)
		for _, s := range list {
			if s.Context == name {
				return s.State
			}
		}
		return fmt.Sprint(err)
	}
	until(t, 5*time.Minute, "the check of the pull request", func() string {
		for _, name := range []string{"hubship/plan", "hubship/tests", "hubship/images"} {
			if s := status(name); s != forge.Success {
				return name + ": " + s
			}
		}
		return ""
	})
	if s := status("hubship/process"); s == forge.Success {
		t.Error("hubship/process passed without a maintainer")
	}
	if _, err := mia.Merge(t.Context(), pr.Number, forge.Merge{Head: head}); err == nil {
		t.Fatal("the process was changed without a maintainer")
	}
	if _, err := max.Review(t.Context(), pr.Number, forge.NewReview{State: forge.Approved, Commit: head}); err != nil {
		t.Fatal(err)
	}
	i.merge(t, pr.Number)

	// The new process drives main now. It is what the process says from there on
	// once the installation is told.
	join, err := i.forge(t, author).Open(t.Context(), forge.NewPullRequest{Title: "Follow the process", Head: "staging", Base: "main"})
	if err != nil {
		t.Fatal(err)
	}
	i.merge(t, join.Number)
	i.must(t, 2*time.Minute, i.upArgs("--process-branch", "main", "--follow=false")...)
	i.settle(t, 5*time.Minute)

	c = i.clone(t, "main")
	c.bump(t, "deployments/datahub/config/common.yaml", "startTimeout")
	c.commit(t, "Wait a second longer")
	i.ends(t, "staging", i.land(t, c, "main"), model.Done)
	for _, next := range []struct{ env, branch string }{{"prod", "production"}, {"campus", "campus"}} {
		var promotion forge.PullRequest
		until(t, 2*time.Minute, "a promotion to "+next.branch, func() string {
			list, err := mia.PullRequests(t.Context(), forge.Filter{Base: next.branch})
			if err != nil || len(list) != 1 {
				return fmt.Sprint(len(list), " ", err)
			}
			promotion = list[0]
			return ""
		})
		i.ends(t, next.env, i.mergeChecked(t, promotion), model.Done) // what was reviewed before
		if rel := i.release(t, next.env); !rel.InSync || rel.Evidence == nil || rel.Observed.Commit == "" {
			t.Errorf("%s: in sync %v, evidence %v", next.env, rel.InSync, rel.Evidence)
		}
	}
	eve := i.login(t, "campus", "eve")
	eve.start(t)
	eve.stop(t)
}
