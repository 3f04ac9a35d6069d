package ship_test

import (
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/model"
)

// ran is with what a release was upgraded last.
func (w *world) ran(key string) model.Resolved {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := len(w.upgraded) - 1; i >= 0; i-- {
		if w.upgraded[i].Desired.Target.Key() == key {
			return w.upgraded[i].Resolved
		}
	}
	return model.Resolved{}
}

// arrived says that a commit runs: by this run, or by a reconcile pass that saw
// it first.
func arrived(r model.Run) bool { return r.State == model.Done || r.State == model.Unchanged }

// A tag is resolved once, in the first environment; prod runs that digest, also
// when the tag has moved in between, and a revert runs what was proven.
func TestAnImageMadeElsewhereIsResolvedOnce(t *testing.T) {
	w, e := live(t, t.TempDir())
	w.set(func() { w.elsewhere = map[string]string{"quay.io/x:1": "sha256:one", "quay.io/y:1": "sha256:y"} })
	id := w.commit("staging", "name x", map[string]string{"names/all": "quay.io/x:1"})
	if r := push(t, e, "staging", id); !arrived(r) {
		t.Fatalf("%s: %s", r.State, r.Reason)
	}
	ev := w.evidence["data@staging"]
	if got := ev[len(ev)-1].Resolved.Digest("quay.io/x:1"); got != "sha256:one" {
		t.Fatalf("evidence has %q", got)
	}
	w.set(func() { w.elsewhere["quay.io/x:1"] = "sha256:moved" })
	if r := push(t, e, "prod", w.merge("prod", "staging")); !arrived(r) {
		t.Fatalf("prod: %s: %s", r.State, r.Reason)
	}
	if got := w.ran("data@prod").Digest("quay.io/x:1"); got != "sha256:one" {
		t.Errorf("prod runs %q", got)
	}
	for _, u := range w.upgraded {
		if u.Proven != (u.Desired.Target.Environment == "prod") {
			t.Errorf("%s: held to what is proven: %v", u.Desired.Target, u.Proven)
		}
	}
	// A tag that moves changes nothing by itself.
	before := len(settle(t, e))
	e.Kick()
	if after := len(settle(t, e)); after != before {
		t.Errorf("%d runs because a tag moved", after-before)
	}
	push(t, e, "staging", w.commit("staging", "name y", map[string]string{"names/all": "quay.io/y:1"}))
	push(t, e, "staging", w.commit("staging", "revert", map[string]string{"names/all": "quay.io/x:1"}))
	if got := w.ran("data@staging").Digest("quay.io/x:1"); got != "sha256:one" {
		t.Errorf("after the revert staging runs %q, want what was proven", got)
	}
}

// An image that only prod's own values name is refused: staging never ran it.
func TestProdsOwnValuesNameNothingOfTheirOwn(t *testing.T) {
	w, e := live(t, t.TempDir())
	w.set(func() { w.elsewhere = map[string]string{"quay.io/x:2": "sha256:two"} })
	releases := len(w.releases["data@prod"])
	id := w.commit("prod", "another image for prod", map[string]string{"names/prod": "quay.io/x:2"})
	r := push(t, e, "prod", id)
	if r.State != model.Refused || !strings.Contains(r.Reason, "prod's own values name quay.io/x:2, which staging never ran") {
		t.Fatalf("%s: %s", r.State, r.Reason)
	}
	if len(w.releases["data@prod"]) != releases {
		t.Error("prod was upgraded")
	}
	// Once staging has run it, it may.
	w.merge("staging", "prod")
	id = w.commit("staging", "staging too", map[string]string{"names/staging": "quay.io/x:2"})
	if r := push(t, e, "staging", id); !arrived(r) {
		t.Fatalf("staging: %s: %s", r.State, r.Reason)
	}
	r = push(t, e, "prod", w.merge("prod", "staging"))
	if got := w.ran("data@prod").Digest("quay.io/x:2"); got != "sha256:two" {
		t.Errorf("prod: %s: %s, runs %q", r.State, r.Reason, got)
	}
}

// A registry that does not answer has neither lost what was proven, which would
// be refused or built anew, nor is the change at fault.
func TestASilentRegistryLosesNothing(t *testing.T) {
	w, e := live(t, t.TempDir())
	push(t, e, "staging", w.commit("staging", "next", map[string]string{"common": "2"}))
	w.set(func() { w.silent = true })
	r := push(t, e, "prod", w.merge("prod", "staging"))
	if r.State != model.FailedRun || !strings.Contains(r.Reason, "the registry") || strings.Contains(r.Reason, "no longer") {
		t.Errorf("%s: %s", r.State, r.Reason)
	}
	if len(w.halts) > 0 {
		t.Errorf("the change was blamed: %v", w.halts)
	}
	w.set(func() { w.silent = false })
	e.Reconcile(t.Context())
	settle(t, e)
	if n := len(w.revisions("data@prod")); n != 2 || len(w.builds) != 1 {
		t.Errorf("once it answers: %d revisions of prod, %d builds", n, len(w.builds))
	}
}

// A registry that has no such image convicts the change; one that does not
// answer convicts nobody.
func TestAbsentAndUnknownImages(t *testing.T) {
	w, e := live(t, t.TempDir())
	w.set(func() { w.elsewhere = map[string]string{"quay.io/away:1": "?"} })
	r := push(t, e, "staging", w.commit("staging", "away", map[string]string{"names/all": "quay.io/away:1"}))
	if r.State != model.FailedRun || !strings.Contains(r.Reason, model.ErrUnknown.Error()) || len(w.halts) != 0 {
		t.Fatalf("%s: %s, halts %v", r.State, r.Reason, w.halts)
	}
	if n := len(w.releases["data@staging"]); n != 1 {
		t.Errorf("%d revisions", n)
	}
	w.set(func() { w.elsewhere["quay.io/away:1"] = "sha256:back" })
	if runs := len(settle(t, e)); runs > 6 {
		t.Errorf("%d runs: what nobody answers is asked for without a pause", runs)
	}
	if _, err := e.Start(t.Context(), model.RunRequest{Kind: model.Deploy, Environment: "staging", Cause: "test"}); err != nil {
		t.Fatal(err)
	}
	settle(t, e)
	if got := w.ran("data@staging").Digest("quay.io/away:1"); got != "sha256:back" {
		t.Errorf("it was not tried again: %q", got)
	}
	r = push(t, e, "staging", w.commit("staging", "none", map[string]string{"names/all": "quay.io/none:1"}))
	// Where a reconcile pass was first, this run is held back by what that found.
	if _, halted := w.halts["data@staging"]; (r.State != model.FailedRun && r.State != model.Refused) || !strings.Contains(r.Reason, "names/all:1: image: image quay.io/none:1: quay.io does not have it") || !halted {
		t.Errorf("%s: %s, halts %v", r.State, r.Reason, w.halts)
	}
}
