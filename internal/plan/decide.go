package plan

import (
	"fmt"

	"github.com/hubship/hubship/internal/model"
)

// Action is what a run does to a release.
type Action string

// The actions.
const (
	None    Action = "unchanged" // it runs what is wanted, and that was verified
	Upgrade Action = "upgrade"
	Test    Action = "verify" // it runs what is wanted; only the verification is due
	Blocked Action = "hold"   // it failed with these inputs before; recorded by the word that it had at first
	Refuse  Action = "refuse" // a gate does not let it in
)

// Facts are what Decide judges a release by.
type Facts struct {
	Kind      model.RunKind
	Force     bool
	Observed  model.Observed
	GitInputs string           // Inputs without images: what Git alone says
	Inputs    string           // Inputs with images; empty while an image has to be built
	Verified  bool             // evidence of this environment exists for Inputs
	Halt      *model.Halt      // of this release; nil when none
	Verdict   model.HubVerdict // of the environment's gate
}

// Decide chooses what a run does to a release, with reasons in words. An
// upgrade recovers a release whose last operation was cut off, first.
//
// internal/ship/planning calls this for every release of a run and of a reconcile
// pass.
func Decide(f Facts) (Action, []string) {
	if f.Kind == model.Verify || f.Kind == model.Rollback {
		if f.Observed.Status == model.Absent || f.Observed.Status == model.Uninstalled {
			return Refuse, []string{"it is not installed"}
		}
		return Test, []string{"requested"}
	}
	same := f.Inputs != "" && f.Observed.Status == model.Deployed && f.Observed.Inputs == f.Inputs
	if same && f.Verified && f.Halt == nil {
		return None, []string{"it already runs these inputs, verified"}
	}
	if f.Halt != nil && !f.Force {
		switch f.Halt.Inputs {
		case f.GitInputs:
			return Blocked, []string{fmt.Sprintf("these inputs failed in run %s: %s", f.Halt.Run, f.Halt.Reason)}
		case "":
			// They may be the ones that are wanted: only a person can tell.
			return Blocked, []string{fmt.Sprintf("run %s failed, and it is unknown with which inputs: %s", f.Halt.Run, f.Halt.Reason)}
		}
	}
	if !f.Verdict.Allowed {
		if len(f.Verdict.Reasons) == 0 {
			return Refuse, []string{"no gate allowed it in"}
		}
		return Refuse, f.Verdict.Reasons
	}
	switch {
	case same && f.Halt != nil:
		return Test, append([]string{"it already runs these inputs; it is halted, so they are tested again"}, f.Verdict.Reasons...)
	case same:
		return Test, append([]string{"it already runs these inputs, not yet verified"}, f.Verdict.Reasons...)
	}
	return Upgrade, append([]string{upgradeReason(f)}, f.Verdict.Reasons...)
}

func upgradeReason(f Facts) string {
	switch {
	case f.Observed.Status == model.Absent || f.Observed.Status == model.Uninstalled:
		return "it is not installed yet"
	case f.Observed.Status.Pending():
		return fmt.Sprintf("its last operation never finished (%s)", f.Observed.Status)
	case f.Observed.Status != model.Deployed:
		return fmt.Sprintf("its newest revision is %s", f.Observed.Status)
	case f.Inputs == "":
		return "its images change"
	case f.Observed.Inputs == "":
		return fmt.Sprintf("revision %d was not deployed by hubship", f.Observed.Revision)
	default:
		return fmt.Sprintf("its inputs differ from what it runs (%.12s)", f.Observed.Commit)
	}
}
