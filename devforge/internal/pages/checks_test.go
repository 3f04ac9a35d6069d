package pages

import (
	"testing"

	gh "github.com/google/go-github/v89/github"
)

func TestSummed(t *testing.T) {
	status := func(states ...string) (rows []statusRow) {
		for _, s := range states {
			rows = append(rows, statusRow{State: s})
		}
		return rows
	}
	ended := func(conclusion string) []*gh.CheckRun {
		return []*gh.CheckRun{{Status: new("completed"), Conclusion: &conclusion}}
	}
	for _, tt := range []struct {
		name     string
		statuses []statusRow
		checks   []*gh.CheckRun
		state    string
		busy     bool
	}{
		{"nothing", nil, nil, "", false},
		{"all well", status("success", "success"), ended("success"), "success", false},
		{"left out", nil, ended("skipped"), "success", false},
		{"one status under way", status("success", "pending"), nil, "pending", true},
		{"one failed, one under way", status("failure", "pending"), nil, "failure", true},
		{"an error", status("success", "error"), ended("success"), "failure", false},
		{"the check run is under way", status("success"), []*gh.CheckRun{{Status: new("in_progress")}}, "pending", true},
		{"the check run was cancelled", status("success"), ended("cancelled"), "failure", false},
		{"it took too long", status("success"), ended("timed_out"), "failure", false},
		{"a person has to act", status("success", "pending"), ended("action_required"), "action required", false},
		{"of several check runs", nil, append(ended("action_required"), &gh.CheckRun{Status: new("queued")}), "action required", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if state, busy := summed(tt.statuses, tt.checks); state != tt.state || busy != tt.busy {
				t.Errorf("%q, busy %v; want %q, %v", state, busy, tt.state, tt.busy)
			}
		})
	}
}
