package gate

import (
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/model"
)

// TestIncidentOldChart replays 2017-03-06: a stale submodule took the chart two
// weeks back while the image moved on. Chart and image come from one commit
// here, so the mix is one more set of inputs that nobody verified; and as an
// older commit it is refused even where nothing has to be proved.
func TestIncidentOldChart(t *testing.T) {
	mixed := request(&Proof{
		Environment: "staging",
		Latest:      evidence(), // what staging verified: new chart, new image
		Changed:     []string{"hub"},
	})
	mixed.Desired.Shared = "old chart, new image"
	mixed.Force = true
	if v := Enter(mixed); v.Allowed || !strings.Contains(v.Reasons[0], "differs in hub") {
		t.Errorf("the mix of old chart and new image was let in: %+v", v)
	}
	back := request(nil)
	back.Older = true
	if v := Enter(back); v.Allowed || !strings.Contains(v.Reasons[0], "is older than") {
		t.Errorf("a commit of two weeks ago was let in: %+v", v)
	}
	back.Force = true // a named way back is something else
	if v := Enter(back); !v.Allowed {
		t.Errorf("a forced way back was refused: %+v", v)
	}
}

// TestIncidentErrorInDev replays 2017-03-12: a failed deployment of the first
// environment halts everything after it until it is resolved, whatever was
// proved before and whoever insists.
func TestIncidentErrorInDev(t *testing.T) {
	r := request(proof())
	r.After.Halt = &model.Halt{Hub: "datahub", Environment: "staging", Run: "run-9", Reason: "hub crashed"}
	for _, force := range []bool{false, true} {
		r.Force = force
		if v := Enter(r); v.Allowed || !strings.Contains(v.Reasons[0], "halted in staging") {
			t.Errorf("force %v: prod went on while staging was broken: %+v", force, v)
		}
	}
	r.After.Halt, r.Force = nil, false // resolved
	if v := Enter(r); !v.Allowed {
		t.Errorf("prod is held although staging was resolved: %+v", v)
	}
}

// TestIncidentUntestedMerge replays 2018-01-25: staging was upgraded but never
// tested, and an accidental merge carried it to prod during labs.
func TestIncidentUntestedMerge(t *testing.T) {
	last := evidence()
	last.Shared = "what was tested weeks ago"
	merged := request(&Proof{Environment: "staging", Latest: last})
	for _, force := range []bool{false, true} {
		merged.Force = force
		v := Enter(merged)
		if v.Allowed || v.Proof != nil || !strings.HasPrefix(v.Reasons[0], "no evidence that datahub") {
			t.Errorf("force %v: an untested merge reached prod: %+v", force, v)
		}
	}
}
