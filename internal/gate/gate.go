// Package gate decides whether a hub may enter an environment. It is pure: it
// sees facts, never a cluster, and it fails closed.
package gate

import (
	"fmt"

	"github.com/hubship/hubship/internal/model"
)

// Request is a hub that asks to enter an environment, with the facts that
// decide.
type Request struct {
	Target  model.Target
	Desired model.Desired
	After   *Proof // what the environment before knows; nil when none comes before
	Older   bool   // Desired.Commit is an ancestor of Running
	Running string // commit that runs now; empty when unknown
	Force   bool   // a person insists
}

// Proof is what the environment before knows of the hub.
type Proof struct {
	Environment string
	Evidence    *model.Evidence // for exactly Desired.Shared; nil when none
	Latest      *model.Evidence // newest for any inputs; nil when none
	Halt        *model.Halt     // nil when none
}

// Enter decides. Neither missing evidence nor a halt in the environment
// before can be forced; going back to an older commit can.
func Enter(req Request) model.HubVerdict {
	v := model.HubVerdict{Hub: req.Target.Hub, Allowed: true}
	refuse := func(format string, args ...any) {
		v.Allowed = false
		v.Reasons = append(v.Reasons, fmt.Sprintf(format, args...))
	}
	if req.After != nil {
		judge(req, refuse)
		if v.Allowed {
			v.Proof = req.After.Evidence
			v.Reasons = append(v.Reasons, fmt.Sprintf("%s verified these inputs at %.12s in run %s", req.After.Environment, v.Proof.Commit, v.Proof.Run))
		}
	}
	if req.Older {
		if req.Force {
			v.Reasons = append(v.Reasons, fmt.Sprintf("goes back from %.12s to the older %.12s, as asked", req.Running, req.Desired.Commit))
		} else {
			refuse("%.12s is older than %.12s, which runs; a way back is a revert commit, `hubship rollback`, or `hubship deploy --force`", req.Desired.Commit, req.Running)
		}
	}
	return v
}

// judge looks at what the environment before knows.
func judge(req Request, refuse func(string, ...any)) {
	p := req.After
	if p.Halt != nil {
		refuse("%s is halted in %s since run %s: %s", req.Target.Hub, p.Environment, p.Halt.Run, p.Halt.Reason)
	}
	switch {
	case p.Evidence == nil && p.Latest == nil:
		refuse("nothing of %s was ever verified in %s", req.Target.Hub, p.Environment)
	case p.Evidence == nil:
		refuse("there is no evidence that %s with the inputs of %.12s passed in %s; the last that passed there is %.12s", req.Target.Hub, req.Desired.Commit, p.Environment, p.Latest.Commit)
	case !p.Evidence.Verified.Passed, p.Evidence.Shared != req.Desired.Shared,
		p.Evidence.Hub != req.Target.Hub, p.Evidence.Environment != p.Environment:
		// Whoever stored or looked it up was wrong; nothing rests on it.
		refuse("the evidence of run %s in %s is not about these inputs", p.Evidence.Run, p.Environment)
	}
}
