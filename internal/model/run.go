package model

import "time"

// RunState is where a run stands.
type RunState string

// The states of a run. Done, Unchanged, Failed, Refused, Superseded and
// Cancelled are final.
const (
	Queued     RunState = "queued"
	Running    RunState = "running"
	Done       RunState = "done"
	Unchanged  RunState = "unchanged"  // everything already was as wanted
	FailedRun  RunState = "failed"     // a build, an upgrade or a verification failed
	Refused    RunState = "refused"    // a gate did not let it in
	Superseded RunState = "superseded" // a newer run covers it
	Cancelled  RunState = "cancelled"
)

// Final says that the run will not change any more.
func (s RunState) Final() bool { return s != Queued && s != Running }

// RunKind is what a run does.
type RunKind string

// The kinds of run.
const (
	Deploy    RunKind = "deploy"
	Verify    RunKind = "verify"
	Rollback  RunKind = "rollback"
	CheckPull RunKind = "check" // of a pull request; it has no environment
)

// Run is one durable execution of a workflow.
type Run struct {
	ID          string          `json:"id"` // sortable by time
	Kind        RunKind         `json:"kind"`
	Environment string          `json:"environment"`    // empty for a check of a pull request
	Hubs        []string        `json:"hubs,omitempty"` // restricted to these; empty means all
	Commit      string          `json:"commit"`
	Subject     string          `json:"subject"` // first line of the commit message
	Cause       string          `json:"cause"`   // "push by admin", "reconcile", "hubship deploy", "promotion"
	Force       bool            `json:"force,omitempty"`
	State       RunState        `json:"state"`
	Reason      string          `json:"reason,omitempty"` // one line, when it did not end well
	Created     time.Time       `json:"created"`
	Started     time.Time       `json:"started,omitzero"`
	Finished    time.Time       `json:"finished,omitzero"`
	Images      []Built         `json:"images,omitempty"`
	Releases    []ReleaseResult `json:"releases,omitempty"`
	Durations   Durations       `json:"durations"`
	// Pull is what a run of kind CheckPull found out; nil for other kinds.
	Pull *PullCheck `json:"pull,omitempty"`
	// Process is the commit of the process branch that the run is judged by.
	Process string `json:"process,omitempty"`
}

// Durations say where a run's time went. All are wall-clock, in nanoseconds.
type Durations struct {
	Plan   time.Duration `json:"plan"`
	Build  time.Duration `json:"build"`
	Deploy time.Duration `json:"deploy"`
	Verify time.Duration `json:"verify"`
}

// ReleaseResult is what a run did to one release.
type ReleaseResult struct {
	Target       Target        `json:"target"`
	State        RunState      `json:"state"`
	Reason       string        `json:"reason,omitempty"`
	Revision     int           `json:"revision,omitempty"` // Helm revision that runs now
	RolledBackTo int           `json:"rolledBackTo,omitempty"`
	Verification *Verification `json:"verification,omitempty"`
	// Log explains a failure: events and last log lines of what was not
	// ready.
	Log string `json:"log,omitempty"`
}

// Level grades a line of a run's log.
type Level string

// The levels of a line.
const (
	LevelInfo  Level = "info"
	LevelWarn  Level = "warn"
	LevelError Level = "error"
	LevelDebug Level = "debug" // output of builds and the like
)

// Line is one line of a run's log.
type Line struct {
	Seq   int64     `json:"seq"` // grows by one within a run
	Time  time.Time `json:"time"`
	Level Level     `json:"level"`
	Scope string    `json:"scope,omitempty"` // "plan", "image datahub/user", "datahub@staging"
	Text  string    `json:"text"`
}

// RunFilter selects runs.
type RunFilter struct {
	Environment string
	Hub         string
	Kind        RunKind
	Pull        int  // number of a pull request
	Active      bool // queued or running only
	Limit       int  // 0 means 50
}
