package ship_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship"
)

// push tells the engine of a branch's new head and waits for what follows.
func push(t *testing.T, e *ship.Engine, branch, id string) model.Run {
	t.Helper()
	runs, err := e.Pushed(t.Context(), []forge.RefUpdate{{Branch: branch, Old: forge.ZeroID, New: id}}, "tester")
	if err != nil || len(runs) != 1 {
		t.Fatalf("pushed: %v, %v", runs, err)
	}
	settle(t, e)
	r, err := e.Run(t.Context(), runs[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// live returns a world whose first commit runs, verified, in both
// environments.
func live(t *testing.T, dir string) (*world, *ship.Engine) {
	t.Helper()
	w := newWorld()
	first := w.commit("staging", "start", map[string]string{"common": "1", "image/requirements.txt": "numpy==2\n"})
	w.branches["prod"] = first
	e := w.start(t, dir)
	settle(t, e)
	return w, e
}

func TestFirstReconcileBringsUpStagingThenProd(t *testing.T) {
	w, e := live(t, t.TempDir())
	if len(w.builds) != 1 {
		t.Errorf("built %d times, want once for both environments", len(w.builds))
	}
	for _, key := range []string{"data@staging", "bio@staging", "data@prod", "bio@prod"} {
		if len(w.releases[key]) != 1 || len(w.evidence[key]) != 1 {
			t.Errorf("%s: %d revisions, %d evidence", key, len(w.releases[key]), len(w.evidence[key]))
		}
	}
	for _, req := range w.verified {
		if len(req.Packages) != 1 || req.Packages[0].Name != "numpy" {
			t.Errorf("%s: a first deploy imports every package, got %v", req.Target, req.Packages)
		}
	}
	runs := settle(t, e)
	if len(runs) != 2 || runs[0].Environment != "prod" || runs[1].Environment != "staging" {
		t.Errorf("runs: %+v", runs)
	}
}

func TestChangeReachesProdOnlyByPromotion(t *testing.T) {
	w, e := live(t, t.TempDir())
	id := w.commit("staging", "add emoji", map[string]string{"image/requirements.txt": "numpy==2\nemoji==2\n"})
	r := push(t, e, "staging", id)
	if r.State != model.Done || len(r.Images) != 1 || !r.Images[0].Rebuilt {
		t.Fatalf("staging run: %+v", r)
	}
	last := w.verified[len(w.verified)-1]
	if len(last.Packages) != 1 || last.Packages[0].Name != "emoji" {
		t.Errorf("imported %v, want what the change added", last.Packages)
	}
	if len(w.releases["data@prod"]) != 1 {
		t.Fatal("prod moved without a promotion")
	}
	p, err := e.Promotion(t.Context(), model.PromoteRequest{})
	if err != nil || p.Head != id || len(p.Hubs) != 2 {
		t.Fatalf("promotion: %+v, %v", p, err)
	}
	push(t, e, "prod", w.merge("prod", "staging"))
	if got := w.releases["data@prod"]; len(got) != 2 {
		t.Errorf("prod revisions: %v", got)
	}
	if len(w.builds) != 2 {
		t.Errorf("built %d times: prod must run what staging tested", len(w.builds))
	}
	if _, err := e.Promotion(t.Context(), model.PromoteRequest{}); err != nil {
		t.Errorf("a promotion with nothing to do: %v", err)
	}
}

func TestFailedVerificationRollsBackHaltsAndRecoversByRevert(t *testing.T) {
	w, e := live(t, t.TempDir())
	good := w.releases["data@staging"][0].inputs
	id := w.commit("staging", "add broken", map[string]string{"image/requirements.txt": "numpy==2\nbroken==1\n"})
	r := push(t, e, "staging", id)
	if r.State != model.FailedRun || !strings.Contains(r.Reason, "import broken") {
		t.Fatalf("run: %s %s", r.State, r.Reason)
	}
	records := w.releases["data@staging"]
	if got := records[len(records)-1].inputs; got != good {
		t.Errorf("staging runs %s after the failure, want the good inputs", got)
	}
	if _, ok := w.halts["data@staging"]; !ok {
		t.Error("no halt")
	}
	_, err := e.Promotion(t.Context(), model.PromoteRequest{})
	if model.ExitCodeOf(err) != model.ExitRefused {
		t.Fatalf("promote: %v, want a refusal", err)
	}
	// The same inputs are not tried again by themselves.
	before := len(settle(t, e))
	e.Kick()
	if after := len(settle(t, e)); after != before {
		t.Errorf("reconcile started %d runs for inputs that failed", after-before)
	}
	builds := len(w.builds)
	id = w.commit("staging", "revert", map[string]string{"image/requirements.txt": "numpy==2\n"})
	r = push(t, e, "staging", id)
	if r.State != model.Done || len(w.builds) != builds {
		t.Errorf("revert: %s (%s), %d builds", r.State, r.Reason, len(w.builds)-builds)
	}
	if len(w.halts) != 0 {
		t.Errorf("halts after the revert passed: %v", w.halts)
	}
	if len(w.releases["data@prod"]) != 1 {
		t.Error("prod changed")
	}
}

func TestPushToProdWithoutEvidenceIsRefused(t *testing.T) {
	w, e := live(t, t.TempDir())
	id := w.commit("prod", "straight to prod", map[string]string{"common": "2"})
	r := push(t, e, "prod", id)
	if r.State != model.Refused || !strings.Contains(r.Reason, "no evidence") {
		t.Fatalf("run: %s %s", r.State, r.Reason)
	}
	if len(w.releases["data@prod"]) != 1 {
		t.Fatal("prod was deployed without evidence")
	}
	forced, err := e.Start(t.Context(), model.RunRequest{Kind: model.Deploy, Environment: "prod", Force: true, By: "tester"})
	if err != nil {
		t.Fatal(err)
	}
	settle(t, e)
	if r, _ := e.Run(t.Context(), forced.ID); r.State != model.Refused {
		t.Errorf("force got past missing evidence: %s", r.State)
	}
}

func TestDocumentationChangesNothing(t *testing.T) {
	w, e := live(t, t.TempDir())
	id := w.commit("staging", "docs", map[string]string{"README.md": "words"})
	if r := push(t, e, "staging", id); r.State != model.Unchanged {
		t.Errorf("run: %s %s", r.State, r.Reason)
	}
	if len(w.releases["data@staging"]) != 1 || len(w.builds) != 1 {
		t.Error("something was built or deployed")
	}
}

func TestOneHubAlone(t *testing.T) {
	w, e := live(t, t.TempDir())
	id := w.commit("staging", "data only", map[string]string{"data": "2"})
	push(t, e, "staging", id)
	if len(w.releases["data@staging"]) != 2 || len(w.releases["bio@staging"]) != 1 {
		t.Errorf("revisions: data %d, bio %d", len(w.releases["data@staging"]), len(w.releases["bio@staging"]))
	}
}

func TestFailedBuildHoldsBackWithoutTouchingReleases(t *testing.T) {
	w, e := live(t, t.TempDir())
	w.mu.Lock()
	w.failBuild = true
	w.mu.Unlock()
	id := w.commit("staging", "unbuildable", map[string]string{"image/requirements.txt": "nothing\n"})
	r := push(t, e, "staging", id)
	if r.State != model.FailedRun || !strings.Contains(r.Reason, "RUN pip install") {
		t.Fatalf("run: %s %s", r.State, r.Reason)
	}
	if len(w.releases["data@staging"]) != 1 {
		t.Error("a release changed")
	}
	if _, ok := w.halts["data@staging"]; !ok {
		t.Error("no halt")
	}
}

func TestFailedUpgradeHalts(t *testing.T) {
	w, e := live(t, t.TempDir())
	w.mu.Lock()
	w.failUpgrade = true
	w.mu.Unlock()
	r := push(t, e, "staging", w.commit("staging", "bad values", map[string]string{"common": "2"}))
	if r.State != model.FailedRun || r.Releases[0].RolledBackTo != 1 || r.Releases[0].Log == "" {
		t.Fatalf("run: %+v", r)
	}
	if _, err := e.Promotion(t.Context(), model.PromoteRequest{}); model.ExitCodeOf(err) != model.ExitRefused {
		t.Errorf("promote: %v", err)
	}
	w.mu.Lock()
	w.failUpgrade = false
	w.mu.Unlock()
	if err := e.Resume(t.Context(), "staging", "data", "tester"); err != nil {
		t.Fatal(err)
	}
	settle(t, e)
	if len(w.releases["data@staging"]) != 2 || len(w.releases["bio@staging"]) != 1 {
		t.Error("resume must retry the hub it names, and no other")
	}
}

func TestNewerPushSupersedesAQueuedOne(t *testing.T) {
	w, e := live(t, t.TempDir())
	w.mu.Lock()
	w.block, w.blocked = make(chan struct{}), make(chan struct{}, 8)
	w.mu.Unlock()
	var ids []string
	for _, v := range []string{"2", "3", "4"} {
		id := w.commit("staging", "common "+v, map[string]string{"common": v})
		runs, err := e.Pushed(t.Context(), []forge.RefUpdate{{Branch: "staging", New: id}}, "tester")
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, runs[0].ID)
		if v == "2" {
			<-w.blocked
		}
	}
	close(w.block)
	settle(t, e)
	want := []model.RunState{model.Done, model.Superseded, model.Done}
	for i, id := range ids {
		if r, _ := e.Run(t.Context(), id); r.State != want[i] {
			t.Errorf("run %d: %s (%s), want %s", i, r.State, r.Reason, want[i])
		}
	}
}

func TestStoppedInMidUpgradeResumes(t *testing.T) {
	dir := t.TempDir()
	w, e := live(t, dir)
	w.mu.Lock()
	w.block, w.blocked = make(chan struct{}), make(chan struct{}, 8)
	w.mu.Unlock()
	id := w.commit("staging", "resume me", map[string]string{"common": "2"})
	runs, err := e.Pushed(t.Context(), []forge.RefUpdate{{Branch: "staging", New: id}}, "tester")
	if err != nil {
		t.Fatal(err)
	}
	<-w.blocked
	if err := e.Stop(5e9); err != nil {
		t.Fatal(err)
	}
	if r, _ := e.Run(t.Context(), runs[0].ID); r.State.Final() {
		t.Fatalf("the run ended as %s when the process stopped", r.State)
	}
	w.mu.Lock()
	w.block = nil
	w.mu.Unlock()
	again := w.start(t, dir)
	settle(t, again)
	r, err := again.Run(t.Context(), runs[0].ID)
	if err != nil || r.State != model.Done {
		t.Fatalf("after the restart: %s %s %v", r.State, r.Reason, err)
	}
	if n := len(w.releases["data@staging"]); n != 2 {
		t.Errorf("%d revisions, want 2", n)
	}
}

func TestCancelHaltsAndLeavesTheGoodRevision(t *testing.T) {
	w, e := live(t, t.TempDir())
	w.mu.Lock()
	w.block, w.blocked = make(chan struct{}), make(chan struct{}, 8)
	w.mu.Unlock()
	id := w.commit("staging", "cancel me", map[string]string{"common": "2"})
	runs, err := e.Pushed(t.Context(), []forge.RefUpdate{{Branch: "staging", New: id}}, "tester")
	if err != nil {
		t.Fatal(err)
	}
	<-w.blocked
	if err := e.Cancel(t.Context(), runs[0].ID, "somebody"); err != nil {
		t.Fatal(err)
	}
	settle(t, e)
	r, _ := e.Run(t.Context(), runs[0].ID)
	if r.State != model.Cancelled || !strings.Contains(r.Reason, "cancelled by somebody") {
		t.Errorf("run: %s %s", r.State, r.Reason)
	}
	records := w.revisions("data@staging")
	if last := records[len(records)-1]; len(records) != 2 || last != records[0] {
		t.Errorf("revisions after the cancel: %v, want a rollback to the good one", records)
	}
	if err := e.Cancel(t.Context(), runs[0].ID, "somebody"); err == nil {
		t.Error("a run that ended was cancelled again")
	}
}

func TestRollbackByHandHoldsUntilANewerChange(t *testing.T) {
	w, e := live(t, t.TempDir())
	push(t, e, "staging", w.commit("staging", "two", map[string]string{"common": "2", "image/requirements.txt": "numpy==2\nemoji==2\n"}))
	run, err := e.Start(t.Context(), model.RunRequest{Kind: model.Rollback, Environment: "staging", Hubs: []string{"data"}, By: "tester"})
	if err != nil {
		t.Fatal(err)
	}
	settle(t, e)
	if r, _ := e.Run(t.Context(), run.ID); r.State != model.Done {
		t.Fatalf("rollback: %s %s", r.State, r.Reason)
	}
	last := w.verified[len(w.verified)-1]
	if len(last.Packages) != 1 || last.Packages[0].Name != "numpy" {
		t.Errorf("imported %v, want what the commit that runs again has", last.Packages)
	}
	records := w.releases["data@staging"]
	if len(records) != 3 || records[2].inputs != records[0].inputs {
		t.Fatalf("revisions: %v", records)
	}
	e.Kick()
	settle(t, e)
	if len(w.releases["data@staging"]) != 3 {
		t.Error("reconcile undid a person's rollback")
	}
	push(t, e, "staging", w.commit("staging", "three", map[string]string{"common": "3"}))
	if len(w.releases["data@staging"]) != 4 || len(w.halts) != 0 {
		t.Error("a newer change must go through and end the halt")
	}
}

func TestOlderCommitNeedsForce(t *testing.T) {
	w, e := live(t, t.TempDir())
	first := w.branches["staging"]
	push(t, e, "staging", w.commit("staging", "two", map[string]string{"common": "2"}))
	for _, c := range []struct {
		force bool
		want  model.RunState
	}{{false, model.Refused}, {true, model.Done}} {
		run, err := e.Start(t.Context(), model.RunRequest{Kind: model.Deploy, Environment: "staging", Rev: first, Force: c.force, By: "tester"})
		if err != nil {
			t.Fatal(err)
		}
		for !run.State.Final() {
			if run, err = e.Run(t.Context(), run.ID); err != nil {
				t.Fatal(err)
			}
		}
		if run.State != c.want {
			t.Errorf("force %v: %s %s", c.force, run.State, run.Reason)
		}
	}
}

func TestBadRequests(t *testing.T) {
	_, e := live(t, t.TempDir())
	for name, req := range map[string]model.RunRequest{
		"environment": {Kind: model.Deploy, Environment: "production"},
		"hub":         {Kind: model.Deploy, Environment: "staging", Hubs: []string{"nope"}},
		"revision":    {Kind: model.Deploy, Environment: "staging", Rev: "nope"},
		"kind":        {Kind: "destroy", Environment: "staging"},
		"rollback":    {Kind: model.Rollback, Environment: "staging"},
	} {
		_, err := e.Start(t.Context(), req)
		if model.ExitCodeOf(err) != model.ExitUsage || model.HintOf(err) == "" {
			t.Errorf("%s: %v (hint %q)", name, err, model.HintOf(err))
		}
	}
	if err := e.Cancel(t.Context(), "nope", "tester"); err == nil {
		t.Error("an unknown run was cancelled")
	}
	var refused *model.Error
	if err := e.Resume(t.Context(), "staging", "data", "tester"); !errors.As(err, &refused) {
		t.Errorf("resume without a halt: %v", err)
	}
}

func TestTheEndOfTheContextInterruptsAndDoesNotCancel(t *testing.T) {
	dir := t.TempDir()
	w, e := live(t, dir)
	w.mu.Lock()
	w.block, w.blocked = make(chan struct{}), make(chan struct{}, 8)
	w.mu.Unlock()
	id := w.commit("staging", "interrupt me", map[string]string{"common": "2"})
	runs, err := e.Pushed(t.Context(), []forge.RefUpdate{{Branch: "staging", New: id}}, "tester")
	if err != nil {
		t.Fatal(err)
	}
	<-w.blocked
	w.endContext()
	time.Sleep(200 * time.Millisecond) // what must not happen would happen now
	if err := e.Stop(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.block = nil
	w.mu.Unlock()
	again := w.start(t, dir)
	settle(t, again)
	if r, err := again.Run(t.Context(), runs[0].ID); err != nil || r.State != model.Done {
		t.Fatalf("after the restart: %s %s %v", r.State, r.Reason, err)
	}
}

func TestLostWorkflowsDatabaseOnlyDelays(t *testing.T) {
	dir := t.TempDir()
	w, e := live(t, dir)
	w.mu.Lock()
	w.block, w.blocked = make(chan struct{}), make(chan struct{}, 8)
	w.mu.Unlock()
	id := w.commit("staging", "lose me", map[string]string{"common": "2"})
	runs, err := e.Pushed(t.Context(), []forge.RefUpdate{{Branch: "staging", New: id}}, "tester")
	if err != nil {
		t.Fatal(err)
	}
	<-w.blocked
	if err := e.Stop(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	databases, err := filepath.Glob(filepath.Join(dir, "workflows.db*"))
	if err != nil || len(databases) == 0 {
		t.Fatalf("%v %v", databases, err)
	}
	for _, file := range databases {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	w.mu.Lock()
	w.block = nil
	w.mu.Unlock()
	again := w.start(t, dir)
	deadline := time.Now().Add(30 * time.Second)
	for len(w.revisions("data@staging")) < 2 && time.Now().Before(deadline) {
		again.Kick()
		time.Sleep(500 * time.Millisecond)
	}
	if n := len(w.revisions("data@staging")); n != 2 {
		t.Errorf("%d revisions, want 2: the change was forgotten", n)
	}
	if r, _ := again.Run(t.Context(), runs[0].ID); r.State != model.FailedRun || !strings.Contains(r.Reason, "interrupted") {
		t.Errorf("the lost run: %s %s", r.State, r.Reason)
	}
	settle(t, again)
}
