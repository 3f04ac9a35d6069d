package model

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Process is how changes reach the hubs: which branches drive which
// environments, in which order, on which clusters, behind which gates, and what
// a change needs on its way. It is read from the tip of one branch, the process
// branch, and from nowhere else.
type Process struct {
	Branch       string         `json:"branch,omitempty"` // the process branch; empty in a proposal
	Commit       string         `json:"commit"`           // full commit id that it was read from
	Layout       string         `json:"layout"`           // LayoutHubship or LayoutHubploy
	Environments []Environment  `json:"environments"`     // in promotion order
	Review       ReviewSettings `json:"review"`
	Revert       string         `json:"revert"` // RevertPropose or RevertAuto
	Verify       VerifySettings `json:"verify"`
	// Places are the clusters of hubs, by the hub's name, where the layout has
	// each hub say so. A hub that is not in it is on no known cluster.
	Places map[string]string `json:"places,omitempty"`
	// Clusters are the names of those that the hubs of Commit are on, sorted.
	// It follows from Commit and is no decision of its own.
	Clusters []string `json:"clusters,omitempty"`
}

// ProcessChange is one thing that differs between two processes.
type ProcessChange struct {
	Path string `json:"path"` // "environments.prod.after"
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
	// Loosens says that something which protects is taken away: fewer
	// approvals, a gate dropped, another place.
	Loosens bool   `json:"loosens,omitempty"`
	Words   string `json:"words"` // one line
}

// Proposal is what a change proposes for the process.
type Proposal struct {
	// Decides says that the change goes to the process branch, so that what it
	// proposes holds once it is merged.
	Decides bool            `json:"decides"`
	Branch  string          `json:"branch,omitempty"` // the process branch, where that is known
	Changes []ProcessChange `json:"changes,omitempty"`
	// Broken says why what it proposes cannot be read, one line: merged, it
	// would stop all deployments.
	Broken string `json:"broken,omitempty"`
	// Tests are checks of the repository that the change removes or weakens.
	Tests []ProcessChange `json:"tests,omitempty"`
}

// Altered says that merging the change would alter the process.
func (p Proposal) Altered() bool { return p.Decides && (len(p.Changes) > 0 || p.Broken != "") }

// Summary says in a few words what the proposal alters.
func (p Proposal) Summary() string {
	if len(p.Changes) == 0 {
		return "it leaves the process alone"
	}
	loosened := 0
	text := p.Changes[0].Words
	for _, c := range p.Changes {
		if c.Loosens {
			if loosened++; loosened == 1 {
				text = c.Words
			}
		}
	}
	what := "alters"
	if loosened > 0 {
		what = "loosens"
	}
	if n := len(p.Changes) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return "it " + what + " the process: " + text
}

// Environment returns the environment of that name.
func (p Process) Environment(name string) (Environment, bool) {
	for _, e := range p.Environments {
		if e.Name == name {
			return e, true
		}
	}
	return Environment{}, false
}

// EnvironmentOfBranch returns the environment that the branch drives.
func (p Process) EnvironmentOfBranch(branch string) (Environment, bool) {
	for _, e := range p.Environments {
		if e.Branch == branch {
			return e, true
		}
	}
	return Environment{}, false
}

// Next returns the environments that require evidence from env.
func (p Process) Next(env string) []Environment {
	var out []Environment
	for _, e := range p.Environments {
		if e.After == env {
			out = append(out, e)
		}
	}
	return out
}

// Cluster returns the name of the cluster that the hub is on in the
// environment; "" when the process does not say.
func (p Process) Cluster(e Environment, hub string) string { return clusterOf(e, p.Places, hub) }

// Names says that the process names a cluster: one that a hub of its commit is
// on, or that an environment names for all of its hubs.
func (p Process) Names(cluster string) bool {
	return slices.Contains(p.Clusters, cluster)
}

// Equal says that two processes decide the same, wherever they were read.
func (p Process) Equal(q Process) bool {
	return slices.Equal(p.Environments, q.Environments) && p.Review == q.Review && p.Revert == q.Revert &&
		p.Verify == q.Verify && maps.Equal(p.Places, q.Places)
}

// Under puts the content of a fleet under the process.
func (f *Fleet) Under(p Process) {
	f.Process, f.Environments, f.Verify, f.Review, f.Revert, f.Places = p.Commit, p.Environments, p.Verify, p.Review, p.Revert, p.Places
}

func clusterOf(e Environment, places map[string]string, hub string) string {
	return cmp.Or(places[hub], Expand(e.Cluster, hub, e.Name))
}
