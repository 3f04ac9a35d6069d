package plan

import (
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/model"
)

const (
	wanted  = "inputs-wanted"
	git     = "inputs-without-images"
	another = "inputs-other"
)

func running(status model.HelmStatus, inputs string) model.Observed {
	return model.Observed{Status: status, Revision: 7, Inputs: inputs, Commit: "0123456789abcdef"}
}

func TestDecide(t *testing.T) {
	allowed := model.HubVerdict{Allowed: true, Reasons: []string{"staging verified it"}}
	refused := model.HubVerdict{Reasons: []string{"no evidence"}}
	halt := func(inputs string) *model.Halt { return &model.Halt{Inputs: inputs, Run: "r1", Reason: "import broke"} }
	for name, tc := range map[string]struct {
		facts  Facts
		want   Action
		reason string
	}{
		"same and verified": {Facts{Observed: running(model.Deployed, wanted), Verified: true}, None, "it already runs these inputs, verified"},
		// A gate is not asked about what runs already.
		"same, verified, refused": {Facts{Observed: running(model.Deployed, wanted), Verified: true, Verdict: refused}, None, "already"},
		"same, never verified":    {Facts{Observed: running(model.Deployed, wanted)}, Test, "not yet verified"},
		"same after a revert":     {Facts{Observed: running(model.Deployed, wanted), Verified: true, Halt: halt(another)}, Test, "tested again"},
		"same and halted":         {Facts{Observed: running(model.Deployed, wanted), Halt: halt(git)}, Blocked, "these inputs failed in run r1: import broke"},
		"same but failed":         {Facts{Observed: running(model.Failed, wanted), Verified: true}, Upgrade, "its newest revision is failed"},
		"absent":                  {Facts{Observed: model.Observed{Status: model.Absent}}, Upgrade, "it is not installed yet"},
		"uninstalled":             {Facts{Observed: running(model.Uninstalled, wanted), Verified: true}, Upgrade, "it is not installed yet"},
		"pending install":         {Facts{Observed: running(model.PendingInstall, wanted), Verified: true}, Upgrade, "never finished (pending-install)"},
		"pending upgrade":         {Facts{Observed: running(model.PendingUpgrade, wanted), Verified: true}, Upgrade, "never finished (pending-upgrade)"},
		"pending rollback":        {Facts{Observed: running(model.PendingRollback, another)}, Upgrade, "never finished (pending-rollback)"},
		"pending and halted":      {Facts{Observed: running(model.PendingRollback, another), Halt: halt(git)}, Blocked, "these inputs failed"},
		"other inputs":            {Facts{Observed: running(model.Deployed, another)}, Upgrade, "its inputs differ from what it runs (0123456789ab)"},
		"by somebody else":        {Facts{Observed: running(model.Deployed, "")}, Upgrade, "revision 7 was not deployed by hubship"},
		"refused":                 {Facts{Observed: running(model.Deployed, another), Verdict: refused}, Refuse, "no evidence"},
		"refused, forced":         {Facts{Observed: running(model.Deployed, another), Verdict: refused, Force: true}, Refuse, "no evidence"},
		"gate not asked":          {Facts{Observed: running(model.Deployed, another), Verdict: model.HubVerdict{Hub: "h"}}, Refuse, "no gate allowed it in"},
		"halted on these":         {Facts{Observed: running(model.Deployed, another), Halt: halt(git)}, Blocked, "import broke"},
		"halted on these, forced": {Facts{Observed: running(model.Deployed, another), Halt: halt(git), Force: true}, Upgrade, "differ"},
		"halted on unknown":       {Facts{Observed: running(model.Deployed, another), Halt: halt("")}, Blocked, "it is unknown with which inputs"},
		"halted on others":        {Facts{Observed: running(model.Deployed, another), Halt: halt("x")}, Upgrade, "differ"},
		"halted and refused":      {Facts{Observed: running(model.Deployed, another), Halt: halt("x"), Verdict: refused}, Refuse, "no evidence"},
		"verify":                  {Facts{Kind: model.Verify, Observed: running(model.Deployed, another), Halt: halt(git), Verdict: refused}, Test, "requested"},
		"verify nothing":          {Facts{Kind: model.Verify, Observed: running(model.Absent, "")}, Refuse, "it is not installed"},
		"roll back":               {Facts{Kind: model.Rollback, Observed: running(model.Failed, another)}, Test, "requested"},
		"roll back nothing":       {Facts{Kind: model.Rollback, Observed: running(model.Uninstalled, "")}, Refuse, "it is not installed"},
	} {
		t.Run(name, func(t *testing.T) {
			f := tc.facts
			f.GitInputs, f.Inputs = git, wanted
			if f.Kind == "" {
				f.Kind = model.Deploy
			}
			if f.Verdict.Hub == "" && len(f.Verdict.Reasons) == 0 {
				f.Verdict = allowed
			}
			got, reasons := Decide(f)
			if got != tc.want || !strings.Contains(strings.Join(reasons, "; "), tc.reason) || len(reasons) == 0 {
				t.Errorf("%s (%q), want %s (%q)", got, reasons, tc.want, tc.reason)
			}
		})
	}
}

// TestDecideImageToBuild has no inputs yet: an image has to be built first.
func TestDecideImageToBuild(t *testing.T) {
	f := Facts{Kind: model.Deploy, Observed: running(model.Deployed, ""), GitInputs: git, Verified: true, Verdict: model.HubVerdict{Allowed: true}}
	if got, reasons := Decide(f); got != Upgrade || reasons[0] != "its images change" {
		t.Errorf("%s (%q)", got, reasons)
	}
}

// TestDecideEveryCombination looks at every combination: whatever else is true, a
// refused release is never upgraded, and one that failed with these inputs is
// not tried again by itself.
func TestDecideEveryCombination(t *testing.T) {
	statuses := []model.HelmStatus{model.Absent, model.Deployed, model.Failed, model.PendingInstall, model.PendingUpgrade, model.PendingRollback, model.Uninstalled, "uninstalling", ""}
	bools := []bool{false, true}
	count := 0
	for _, status := range statuses {
		for _, inputs := range []string{"", wanted, another} {
			for _, want := range []string{"", wanted} {
				for _, haltInputs := range []string{"none", "", git, another} {
					for _, verified := range bools {
						for _, allowed := range bools {
							for _, force := range bools {
								f := Facts{Kind: model.Deploy, Force: force, Observed: running(status, inputs), GitInputs: git, Inputs: want, Verified: verified, Verdict: model.HubVerdict{Allowed: allowed}}
								if haltInputs != "none" {
									f.Halt = &model.Halt{Inputs: haltInputs}
								}
								check(t, f)
								count++
							}
						}
					}
				}
			}
		}
	}
	if count != 9*3*2*4*2*2*2 {
		t.Errorf("%d combinations", count)
	}
}

func check(t *testing.T, f Facts) {
	t.Helper()
	got, reasons := Decide(f)
	if len(reasons) == 0 || reasons[0] == "" {
		t.Errorf("%+v: %s without a reason", f, got)
	}
	same := f.Inputs != "" && f.Observed.Status == model.Deployed && f.Observed.Inputs == f.Inputs
	heldBack := f.Halt != nil && (f.Halt.Inputs == git || f.Halt.Inputs == "") && !f.Force
	switch {
	case got == Upgrade && (!f.Verdict.Allowed || heldBack || same):
		t.Errorf("%+v: upgraded", f)
	case got == None && (!same || !f.Verified || f.Halt != nil):
		t.Errorf("%+v: left alone", f)
	case got == Test && (!same || heldBack || !f.Verdict.Allowed):
		t.Errorf("%+v: tested", f)
	case got == Blocked && !heldBack:
		t.Errorf("%+v: held", f)
	case got == Refuse && f.Verdict.Allowed:
		t.Errorf("%+v: refused", f)
	}
}
