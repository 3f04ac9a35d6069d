package model

import "time"

// Status is the whole installation at one moment, as `hubship status -o json`
// prints it.
type Status struct {
	Version       string              `json:"version"`
	Started       time.Time           `json:"started"`
	Repository    string              `json:"repository"`              // clone URL without credentials
	Dashboard     string              `json:"dashboard"`               // URL
	Process       string              `json:"process,omitempty"`       // the process branch; empty when no process holds
	ProcessCommit string              `json:"processCommit,omitempty"` // full commit id of its tip
	Environments  []EnvironmentStatus `json:"environments"`
	Problems      []string            `json:"problems,omitempty"` // what keeps the status from being complete
	Forge         *ForgeStatus        `json:"forge,omitempty"`    // nil when no forge carries the process
}

// ForgeStatus is how hubship stands with the forge.
type ForgeStatus struct {
	Repository string    `json:"repository"`        // owner/name
	URL        string    `json:"url"`               // of the repository, for people
	Open       int       `json:"open"`              // pull requests
	Waiting    int       `json:"waiting"`           // things that are to be looked at or reported
	Polled     time.Time `json:"polled,omitzero"`   // last time that the forge was read to the end
	Trouble    string    `json:"trouble,omitempty"` // why the last look failed, one line
}

// EnvironmentStatus is one environment and its releases.
type EnvironmentStatus struct {
	Name     string          `json:"name"`
	Branch   string          `json:"branch"`
	Commit   string          `json:"commit"` // head of the branch; empty if there is no branch yet
	Subject  string          `json:"subject"`
	After    string          `json:"after,omitempty"`
	Releases []ReleaseStatus `json:"releases"`
	Active   *Run            `json:"active,omitempty"` // the run under way, if any
}

// ReleaseStatus is one release in a Status.
type ReleaseStatus struct {
	Observed Observed  `json:"observed"`
	URL      string    `json:"url"`    // where the hub answers
	InSync   bool      `json:"inSync"` // runs what the branch wants
	Evidence *Evidence `json:"evidence,omitempty"`
	Refused  []string  `json:"refused,omitempty"` // records that are not believed, and why
	Halt     *Halt     `json:"halt,omitempty"`
	Error    string    `json:"error,omitempty"` // why it could not be observed
}

// RunRequest asks for a run.
type RunRequest struct {
	Kind        RunKind  `json:"kind"`
	Environment string   `json:"environment"`
	Hubs        []string `json:"hubs,omitempty"`
	Rev         string   `json:"rev,omitempty"`      // deploy: revision; empty means the head of the environment's branch
	Force       bool     `json:"force,omitempty"`    // deploy: also an older commit, a halted hub, or inputs that failed before; never past missing evidence
	Revision    int      `json:"revision,omitempty"` // rollback: Helm revision; 0 means the last good one
	Packages    []string `json:"packages,omitempty"` // verify: what to import instead of what the repository lists
	By          string   `json:"by,omitempty"`
	Cause       string   `json:"cause,omitempty"`
}

// PromoteRequest asks for what is verified in one environment to be merged
// into the next.
type PromoteRequest struct {
	Environment string   `json:"environment,omitempty"` // to promote into; empty means the only one that comes after another
	Hubs        []string `json:"hubs,omitempty"`        // whose evidence is required; empty means every affected hub
	By          string   `json:"by,omitempty"`
	DryRun      bool     `json:"dryRun,omitempty"` // only say what would happen
}

// Promotion is the answer to a PromoteRequest.
type Promotion struct {
	From    string       `json:"from"` // environment
	Into    string       `json:"into"`
	Head    string       `json:"head"`              // commit of the source branch
	Merge   string       `json:"merge,omitempty"`   // merge commit; empty when refused, nothing to do or dry run
	Pull    int          `json:"pull,omitempty"`    // number of the pull request that was merged
	Run     *Run         `json:"run,omitempty"`     // the run that ships it
	Commits []string     `json:"commits"`           // "abc1234 subject (author)", newest first
	Hubs    []HubVerdict `json:"hubs"`              // every hub that the promotion changes
	Refused string       `json:"refused,omitempty"` // why not, one line
}

// Reversion is the pull request that takes another one back.
type Reversion struct {
	Pull   int    `json:"pull"`   // number of the one that is taken back
	Number int    `json:"number"` // of the one that does
	URL    string `json:"url"`    // of that, for people
}

// HubVerdict is a gate's decision about one hub.
type HubVerdict struct {
	Hub     string    `json:"hub"`
	Allowed bool      `json:"allowed"`
	Reasons []string  `json:"reasons,omitempty"` // why not, or why although
	Proof   *Evidence `json:"proof,omitempty"`
}
