package deploy

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship/planning"
	"github.com/hubship/hubship/internal/ship/runs"
)

// Runs that an older process left unfinished are read from what it recorded. A
// change of these names asks for a new version of the workflows.
func TestRecordedNames(t *testing.T) {
	for names, v := range map[string]any{
		"At Reason State":          runs.Beginning{},
		"By Packages Revision Run": runInput{},
		"By Images Inputs Plan Resolved Revision Run Settings":                               releaseInput{},
		"Deploy Result Verify":                                                               released{},
		"Cancelled Err Superseded Took Value":                                                runs.Outcome[model.Built]{},
		"Build Process Releases Verify":                                                      planning.Plan{},
		"Action Before Cluster Desired First Halted Images Packages Passed Reasons Resolved": planning.Release{},
		"Log Observed Refused RolledBackTo":                                                  upgraded{},
		"Resolved Unknown":                                                                   resolution{},
	} {
		if got := strings.Join(namesOf(t, v), " "); got != names {
			t.Errorf("%T is recorded as %s, want %s", v, got, names)
		}
	}
}

// What the run has made of the plan stands beside the plan, and does not hide it.
func TestRecordedInputOfARelease(t *testing.T) {
	in := releaseInput{
		Release: planning.Release{Images: []model.Built{{ID: "planned"}}, Passed: "abc"},
		Images:  []model.Built{{ID: "planned"}, {ID: "built"}},
	}
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var out releaseInput
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	if len(out.Images) != 2 || len(out.Release.Images) != 1 || out.Passed != "abc" {
		t.Errorf("%+v", out)
	}
}

func namesOf(t *testing.T, v any) []string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(fields))
}
