// Package gate decides whether a hub may enter an environment. It is pure: it
// sees facts, never a cluster, and it fails closed: what is not known, or does
// not fit together, is a reason to refuse.
package gate

import (
	"fmt"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// Request is a hub that asks to enter an environment, with the facts that
// decide.
type Request struct {
	Target  model.Target
	Desired model.Desired
	After   *Proof // what the environment before knows; nil when none comes before
	// Names are the images made elsewhere that this release names; nil when that
	// is not known. They matter where an environment comes before, which has to
	// have run them: its own values are this environment's alone.
	Names   *Names
	Older   bool   // Desired.Commit is an ancestor of Running
	Running string // commit that runs now; empty when unknown
	Force   bool   // a person insists
	// Astray says why the commit is none that the environment could get: it is
	// not on the branch that the process names. Empty when it is. Nobody can
	// force it.
	Astray string
}

// Names are what a release names that was made elsewhere.
type Names struct {
	Images  []string // references, as the values have them
	Unknown string   // why they cannot be told; empty when they can
}

// Proof is what the environment before knows of the hub.
type Proof struct {
	Environment string
	Evidence    *model.Evidence // for exactly Desired.Shared; nil when none
	Latest      *model.Evidence // newest for any inputs; nil when none
	Halt        *model.Halt     // nil when none
	Unknown     string          // why nothing of this can be known; empty when it is
	Refused     []string        // records that are not believed, and why; for the wording of a refusal
	// Changed names what differs between Latest and what asks to enter. It
	// serves the wording of a refusal only.
	Changed []string
}

// Enter decides. Neither a commit astray, nor missing evidence, nor a halt in
// the environment before can be forced; going back to an older commit can.
func Enter(req Request) model.HubVerdict {
	v := model.HubVerdict{Hub: req.Target.Hub, Allowed: true}
	refuse := func(format string, args ...any) {
		v.Allowed = false
		v.Reasons = append(v.Reasons, fmt.Sprintf(format, args...))
	}
	if problem := incomplete(req); problem != "" {
		refuse("%s", problem)
		return v
	}
	if req.Astray != "" {
		refuse("%s", req.Astray)
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
			v.Reasons = append(v.Reasons, fmt.Sprintf("goes back from %.12s to the older %.12s, as requested", req.Running, req.Desired.Commit))
		} else {
			refuse("%.12s is older than %.12s, which is running; to go back, use a revert commit, `hubship rollback`, or `hubship deploy --force`", req.Desired.Commit, req.Running)
		}
	}
	if !v.Allowed {
		v.Proof = nil // what is refused has nothing to run
	}
	return v
}

// incomplete says why a request cannot be decided upon, or returns "".
func incomplete(req Request) string {
	d := req.Desired
	switch {
	case req.Target.Hub == "" || req.Target.Environment == "":
		return "the hub and environment are unknown"
	case d.Target != (model.Target{}) && d.Target != req.Target:
		return fmt.Sprintf("the desired state is for another release: %s", d.Target)
	case d.Commit == "" || d.Shared == "":
		return fmt.Sprintf("the desired state of %s is unknown", req.Target.Hub)
	case req.After != nil && (req.After.Environment == "" || req.After.Environment == req.Target.Environment):
		return fmt.Sprintf("the environment before %s is unknown", req.Target.Environment)
	}
	return ""
}

// judge looks at what the environment before knows.
func judge(req Request, refuse func(string, ...any)) {
	p := req.After
	if p.Unknown != "" {
		refuse("it is unknown what %s has verified: %s", p.Environment, p.Unknown)
		return
	}
	if p.Halt != nil {
		refuse("%s has been halted in %s since run %s: %s", req.Target.Hub, p.Environment, p.Halt.Run, p.Halt.Reason)
	}
	if p.Evidence == nil {
		refuse("%s", missing(req))
		for _, r := range p.Refused[:min(len(p.Refused), maxNamed)] {
			refuse("%s", r)
		}
		return
	}
	if problem := misfit(req); problem != "" {
		// Whoever stored or looked it up was wrong; nothing rests on it.
		refuse("the evidence of run %s in %s does not count: %s", p.Evidence.Run, p.Environment, problem)
		return
	}
	if problem := unproven(req); problem != "" {
		refuse("%s", problem)
	}
}

// maxNamed bounds the changes that a reason lists.
const maxNamed = 5

// missing words that there is no evidence, and what there is instead.
func missing(req Request) string {
	p := req.After
	if p.Latest == nil {
		return fmt.Sprintf("no evidence that %s passed in %s: it was never verified there", req.Target.Hub, p.Environment)
	}
	text := fmt.Sprintf("no evidence that %s with the inputs of %.12s passed in %s: the last verified commit there is %.12s",
		req.Target.Hub, req.Desired.Commit, p.Environment, p.Latest.Commit)
	n := len(p.Changed)
	if n == 0 {
		return text
	}
	text += ", and this one differs in " + strings.Join(p.Changed[:min(n, maxNamed)], ", ")
	if n > maxNamed {
		text += fmt.Sprintf(" and %d more", n-maxNamed)
	}
	return text
}

// misfit says why evidence does not prove what is asked for, or returns "".
func misfit(req Request) string {
	e := req.After.Evidence
	switch {
	case e.Hub != req.Target.Hub:
		return fmt.Sprintf("it is about hub %q", e.Hub)
	case e.Environment != req.After.Environment:
		return fmt.Sprintf("it is about environment %q", e.Environment)
	case e.Shared != req.Desired.Shared:
		return "it is about other inputs"
	case !e.Verified.Passed:
		return "that verification did not pass"
	}
	for _, s := range req.Desired.Images {
		if !names(e.Images, s) {
			return fmt.Sprintf("it does not name image %s as built from these inputs", s.ID)
		}
	}
	return ""
}

// unproven says which of the images that a release names the environment before
// never ran, or returns "".
func unproven(req Request) string {
	n, p := req.Names, req.After
	switch {
	case n == nil:
		return "it is unknown which images the release names"
	case n.Unknown != "":
		return "it is unknown which images the release names: " + n.Unknown
	}
	var missing []string
	for _, ref := range n.Images {
		if !resolves(p.Evidence.Resolved, ref) {
			missing = append(missing, ref)
		}
	}
	if len(missing) == 0 {
		return ""
	}
	text := strings.Join(missing[:min(len(missing), maxNamed)], ", ")
	if more := len(missing) - maxNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return fmt.Sprintf("%s's own values name %s, which %s never ran", req.Target.Environment, text, p.Environment)
}

// resolves says whether it is known what a reference stood for.
func resolves(r model.Resolved, ref string) bool {
	for _, i := range r.Images {
		if i.Ref == ref && i.Digest != "" {
			return true
		}
	}
	return false
}

// names says whether one of the images was built from the source.
func names(images []model.Built, s model.Source) bool {
	for _, b := range images {
		if b.ID == s.ID && b.Source == s.Hash && b.Digest != "" {
			return true
		}
	}
	return false
}
