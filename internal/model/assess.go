package model

// AssessRequest is what a check has planned: what merging a change into its base
// does.
type AssessRequest struct {
	Run        string
	Base, Head string // full commit ids
	Branch     string // that the change goes to
	// Environments whose releases are looked at; nil means all.
	Environments []string
}

// Assessment is the part of a plan that a check decides by.
type Assessment struct {
	Merged   string    // commit that the merge makes; empty when the two conflict
	Process  *Proposal // what the change proposes for the process; nil when nothing
	Errors   int       // problems that the change brings and that forbid to deploy it
	Warnings int       // that the change brings
	Conflict bool      // the two do not go together
	Summary  string    // one line, at most 140 characters
	Changed  []string  // paths that differ between base and Merged
	Lines    []string  // the plan in words, for the run's log
	// Packages are the distributions of Python that the change adds or alters
	// in an image, by the image's ID.
	Packages map[string][]Package
}

// PreviewRequest is what a run is about to do.
type PreviewRequest struct {
	Run         string
	Base, Head  string // commits
	Environment string
	Hubs        []string
}
