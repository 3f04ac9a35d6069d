package cli

import (
	"time"

	"github.com/hubship/hubship/internal/node"
	"github.com/hubship/hubship/internal/term"
)

// showSteps returns a function that shows a node's steps as phases, given one
// status after another. A node that was ready from the start shows one line.
func (a *command) showSteps() func(node.Status) {
	phases := map[string]*term.Phase{}
	ended := map[string]bool{}
	first := true
	return func(s node.Status) {
		if first && s.Ready {
			a.term.Phase("embedded node").Done("already running, Kubernetes " + s.Version)
			first = false
			return
		}
		first = false
		for _, step := range s.Steps {
			if ended[step.Name] || step.State == "pending" {
				continue
			}
			p, ok := phases[step.Name]
			if !ok {
				p = a.term.PhaseSince("node: "+step.Name, step.StartedAt)
				phases[step.Name] = p
			}
			if step.Detail != "" {
				p.Detail("%s", step.Detail)
			}
			took := time.Duration(step.DurationMs) * time.Millisecond
			switch step.State {
			case "done":
				p.DoneIn(took, step.Detail)
				ended[step.Name] = true
			case "failed":
				p.Fail(step.Detail)
				ended[step.Name] = true
			}
		}
		if s.Ready {
			for name, p := range phases {
				if !ended[name] {
					p.Done("")
				}
			}
		}
	}
}
