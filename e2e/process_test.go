package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
)

// TestProcess brings an installation up and plays one story after another on
// it; each begins where everything is in order. The last one removes it.
func TestProcess(t *testing.T) {
	i := newInstallation(t)
	before := observeMachine(t)
	keep := os.Getenv("HUBSHIP_E2E_KEEP") == "1"
	if _, err := os.Stat(install.At(i.data).Settings); err == nil && !keep {
		t.Log("an earlier test run left an installation behind; it is removed first")
		i.must(t, 10*time.Minute, "down", "--purge", "--yes")
		before = observeMachine(t)
	}
	up := t.Run("comes up", i.comesUp)
	if !up {
		i.evidence(t)
	}
	var failed []string
	for _, s := range []struct {
		name string
		play func(*testing.T)
	}{
		{"up again is quick and restarts nothing", i.upAgain},
		{"nothing listens beyond the loopback", i.loopbackOnly},
		{"it takes little memory when idle", i.memory},
		{"a change of the documentation does nothing", i.docsOnly},
		{"a change of values builds nothing, and servers live on", i.valuesOnly},
		{"students reach what they need alone", i.studentsReach},
		{"a good change reaches prod only through staging", i.demo},
		{"hubship itself takes little time", i.timing},
		{"nothing gets past review or past staging", i.pastStaging},
		{"a second merge while one runs", i.secondMerge},
		{"a bad change never reaches prod", i.demoBroken},
		{"rollback and resume", i.rollback},
		{"the server is killed in the middle of a check", i.checkKilled},
		{"the server is killed in the middle of a deploy", i.serverKilled},
		{"the server is stopped in the middle of a deploy", i.serverStopped},
		{"everything is killed", i.everythingKilled},
		{"three environments, and branches of other names", i.otherNames},
	} {
		if !up {
			t.Run(s.name, func(t *testing.T) { t.Skip("the installation is not up") })
			continue
		}
		if !t.Run(s.name, s.play) {
			failed = append(failed, s.name+"; the newest runs then:\n"+i.newest())
			i.evidence(t)
		}
	}
	// Once more at the end, where whoever sees the end of the log alone finds it.
	defer func() {
		for _, f := range failed {
			t.Log("failed: " + f)
		}
	}()
	if keep {
		t.Logf("the installation stays: %s --data %s status", i.bin, i.data)
		return
	}
	t.Run("a purge leaves nothing", func(t *testing.T) { i.purge(t, before) })
}

// comesUp is the first `hubship up`, from nothing to two hubs that answer.
func (i *installation) comesUp(t *testing.T) {
	r := i.must(t, 30*time.Minute, i.upArgs("-o", "json")...)
	var res struct {
		Hubs []struct{ Environment, URL string } `json:"hubs"`
	}
	if err := json.Unmarshal([]byte(r.out), &res); err != nil || len(res.Hubs) != 2 {
		t.Fatalf("the result names no two hubs: %v\n%s", err, r.out)
	}
	var passwords []string
	for _, file := range []string{install.At(i.data).Password, install.At(i.data).ForgePassword} {
		password, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(r.out+r.err, strings.TrimSpace(string(password))) {
			t.Fatal("a generated password was printed although nobody reads along")
		}
		passwords = append(passwords, string(password))
	}
	if passwords[0] == passwords[1] {
		t.Error("hubs and forge have the same password")
	}
	for _, h := range res.Hubs {
		resp, err := i.web.Get(h.URL + "hub/login")
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s does not answer: %v", h.URL, err)
		}
		resp.Body.Close()
	}
	for _, env := range []string{"staging", "prod"} {
		rel := i.release(t, env)
		if !rel.InSync || rel.Halt != nil || rel.Evidence == nil {
			t.Errorf("%s after the first up: in sync %v, halt %v, evidence %v", env, rel.InSync, rel.Halt, rel.Evidence)
		}
	}
	t.Logf("up took %.0fs", r.took.Seconds())
}

func (i *installation) upAgain(t *testing.T) {
	before := i.pids(t)
	r := i.must(t, 2*time.Minute, i.upArgs()...)
	t.Logf("up again took %.1fs", r.took.Seconds())
	if after := i.pids(t); before != after {
		t.Errorf("processes changed: %q, then %q", before, after)
	}
}

func (i *installation) docsOnly(t *testing.T) {
	before := i.release(t, "staging").Observed
	c := i.clone(t, "staging")
	c.add(t, "README.md", "One more sentence.")
	c.commit(t, "Say more")
	commit := i.land(t, c, "staging")
	r := i.ends(t, "staging", commit, model.Unchanged)
	if took := r.Finished.Sub(r.Started); took > 5*time.Second {
		t.Errorf("deciding that nothing changes took %s", took)
	}
	if after := i.release(t, "staging"); after.Observed.Revision != before.Revision || !after.InSync {
		t.Errorf("revision %d became %d (in sync %v)", before.Revision, after.Observed.Revision, after.InSync)
	}
}

// valuesOnly also keeps a notebook open: an upgrade that does not touch users'
// pods leaves their servers running.
func (i *installation) valuesOnly(t *testing.T) {
	ada := i.login(t, "staging", "ada")
	since := ada.start(t)
	ada.save(t, "kept.ipynb", "print('kept')")

	before := i.release(t, "staging").Observed
	c := i.clone(t, "staging")
	c.bump(t, "deployments/datahub/config/staging.yaml", "timeout")
	c.commit(t, "Cull a second later")
	i.planned(t, c)
	commit := i.land(t, c, "staging")
	r := i.ends(t, "staging", commit, model.Done)
	if log := i.must(t, time.Minute, "logs", r.ID).out; !strings.Contains(log, "the hub restarts") {
		t.Errorf("the run does not say what users will feel:\n%s", tail(log, 40))
	}
	if ids := built(r); len(ids) > 0 {
		t.Errorf("built %v", ids)
	}
	if after := i.release(t, "staging").Observed; after.Revision != before.Revision+1 {
		t.Errorf("revision %d became %d", before.Revision, after.Revision)
	}
	if now := ada.since(t); now != since {
		t.Errorf("the server of ada was restarted: it began %s, now %s", since, now)
	}
	ada.has(t, "kept.ipynb", "print('kept')")
	ada.stop(t)
	ada.start(t)
	ada.has(t, "kept.ipynb", "print('kept')")
	ada.stop(t)
}

// planned plans the commit at hand as a pull request, while one user's server
// runs: what it says is what the push then does.
func (i *installation) planned(t *testing.T, c *clone) {
	t.Helper()
	out := i.must(t, time.Minute, "plan", "--repo", c.dir, "origin/staging...HEAD", "--live", "-o", "json").out
	var p plan.Plan
	if err := json.Unmarshal([]byte(out), &p); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	if len(p.Releases) != 1 || p.Releases[0].Key() != "datahub@staging" || len(p.Images) > 0 {
		t.Fatalf("planned %s", out)
	}
	r := p.Releases[0]
	if r.Impact.Level != plan.HubRestart || r.Impact.Active == nil || *r.Impact.Active != 1 {
		t.Errorf("impact %+v of\n%s", r.Impact, out)
	}
	for _, problem := range p.Problems {
		if problem.Severity != plan.Notice {
			t.Errorf("problem %+v", problem)
		}
	}
	text := i.must(t, time.Minute, "plan", "--repo", c.dir, "origin/staging...HEAD", "--live").out
	if !strings.Contains(text, "deployments/datahub/config/staging.yaml") {
		t.Errorf("the plan says\n%s", text)
	}
}

func (i *installation) demo(t *testing.T) {
	r := i.must(t, 15*time.Minute, "demo", "-o", "json")
	t.Logf("%s", r.out)
}

func (i *installation) demoBroken(t *testing.T) {
	r := i.must(t, 15*time.Minute, "demo", "--broken", "-o", "json")
	t.Logf("%s", r.out)
}

// secondMerge merges twice. Both runs end, in order or the first one
// superseded, and what runs in the end is the second.
func (i *installation) secondMerge(t *testing.T) {
	c := i.clone(t, "staging")
	c.bump(t, "deployments/datahub/config/staging.yaml", "every")
	c.commit(t, "One")
	n := i.propose(t, c, "staging").Number
	c.bump(t, "deployments/datahub/config/staging.yaml", "every")
	c.commit(t, "Two")
	m := i.propose(t, c, "staging").Number
	first := i.merge(t, n)
	second := i.merge(t, m)
	one := i.ends(t, "staging", first, model.Done, model.Superseded)
	two := i.ends(t, "staging", second, model.Done)
	if one.State == model.Superseded && one.Reason == "" {
		t.Error("superseded without saying by what")
	}
	if one.State == model.Done && one.Finished.After(two.Finished) {
		t.Errorf("out of order: %s ended %s, %s ended %s", one.ID, one.Finished, two.ID, two.Finished)
	}
	rel := i.release(t, "staging")
	if rel.Observed.Commit != second || !rel.InSync {
		t.Errorf("staging runs %.12s, in sync %v; want %.12s", rel.Observed.Commit, rel.InSync, second)
	}
}

// rollback goes back one revision, which halts the hub, and resumes, which
// brings it to what the branch wants again.
func (i *installation) rollback(t *testing.T) {
	before := i.release(t, "staging").Observed
	i.must(t, 5*time.Minute, "rollback", "--env", "staging", "--hub", "datahub")
	rel := i.release(t, "staging")
	if rel.Halt == nil || rel.Observed.Inputs == before.Inputs {
		t.Fatalf("after the rollback: halt %v, inputs %.12s (before %.12s)", rel.Halt, rel.Observed.Inputs, before.Inputs)
	}
	i.must(t, time.Minute, "resume", "--env", "staging", "--hub", "datahub")
	for end := time.Now().Add(3 * time.Minute); ; time.Sleep(time.Second) {
		rel = i.release(t, "staging")
		if rel.Halt == nil && rel.InSync && rel.Evidence != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("not in order after resume: halt %v, in sync %v, evidence %v", rel.Halt, rel.InSync, rel.Evidence)
		}
	}
	i.settle(t, 5*time.Minute)
}
