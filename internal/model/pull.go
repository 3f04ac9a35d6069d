package model

import (
	"fmt"
	"time"
)

// PullRequest is what a check needs to know of a pull request, as the forge
// told it when the check was asked for.
type PullRequest struct {
	Number int    `json:"number"`
	Title  string `json:"title"`  // as somebody wrote it: escape it where it is shown
	Author string `json:"author"` // login
	URL    string `json:"url"`    // for people

	Head       string `json:"head"`       // full commit id
	HeadOwner  string `json:"headOwner"`  // login of who has the repository of the head; empty when that is gone
	HeadBranch string `json:"headBranch"` // without refs/heads/
	Fork       bool   `json:"fork"`       // the head is in another repository than the base
	Base       string `json:"base"`       // branch that it is to be merged into
	BaseCommit string `json:"baseCommit"` // full commit id that the base is at

	// Decides says that the base is the process branch: what the change says
	// about the process holds once it is merged.
	Decides bool `json:"decides,omitempty"`
	// Trusted says that what the change brings may be rendered and executed.
	// Otherwise AwaitingApproval says what it waits for, one line.
	Trusted          bool   `json:"trusted"`
	AwaitingApproval string `json:"hold,omitempty"` // recorded by the name that it had at first
}

// PullCheck is what a run found out about a pull request.
type PullCheck struct {
	PullRequest
	// Merged is the commit that merging the head into the base makes. No
	// branch has it. Empty when the two do not go together, and until that is
	// known.
	Merged string `json:"merged,omitempty"`
	Parts  []Part `json:"parts"` // each of PartNames, in that order
	// Process is what the change proposes for the process; nil when nothing, and
	// until that is known.
	Process *Proposal    `json:"process,omitempty"`
	Tests   []TestResult `json:"tests,omitempty"`
	Images  []ImageCheck `json:"images,omitempty"`
}

// The parts of a check, each of which is a status at the forge.
const (
	PartPolicy  = "policy"  // where it may go, and that it brings no credential
	PartPlan    = "plan"    // what it does, and what is wrong with it
	PartProcess = "process" // that it leaves the process alone, or a maintainer agrees
	PartTests   = "tests"   // the repository's own
	PartImages  = "images"  // built, and tried
)

// PartNames are the parts of a check in the order that they are shown in.
var PartNames = []string{PartPolicy, PartPlan, PartProcess, PartTests, PartImages}

// PartState is where a part of a check stands.
type PartState string

// The states of a part.
const (
	PartWaiting PartState = "waiting" // its turn has not come, or a person's approval is needed
	PartRunning PartState = "running"
	PartPassed  PartState = "passed" // also when there was nothing to do
	PartFailed  PartState = "failed" // the change is at fault
	PartErrored PartState = "error"  // hubship, or what it works with, is
)

// Final says that the part will not change any more.
func (s PartState) Final() bool { return s == PartPassed || s == PartFailed || s == PartErrored }

// Part is one part of a check.
type Part struct {
	Name    string        `json:"name"`
	State   PartState     `json:"state"`
	Summary string        `json:"summary"` // one line, at most 140 characters
	Took    time.Duration `json:"took"`    // nanoseconds
	// Problems are remarks on the change that this part found itself: those
	// of the plan are in the plan.
	Problems []Remark `json:"problems,omitempty"`
}

// Remark is something wrong with a line of a change.
type Remark struct {
	Path    string `json:"path,omitempty"`
	Line    int    `json:"line,omitempty"` // from 1; 0 when it is about the file, or about all
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// String says where it is about, and what.
func (m Remark) String() string {
	switch {
	case m.Path == "":
		return m.Message
	case m.Line == 0:
		return m.Path + ": " + m.Message
	}
	return fmt.Sprintf("%s:%d: %s", m.Path, m.Line, m.Message)
}

// ImageCheck is what a check did about one image.
type ImageCheck struct {
	ID     string        `json:"id"`
	Built  Built         `json:"built"`            // zero when it failed
	Before int64         `json:"before,omitempty"` // bytes of the image that the base makes, compressed; 0 when not known
	Reason string        `json:"reason,omitempty"` // why it failed, one line
	Took   time.Duration `json:"took"`             // of the build, nanoseconds
	Smoke  *SmokeResult  `json:"smoke,omitempty"`  // nil when it was not tried
}

// Part returns the part of that name.
func (c *PullCheck) Part(name string) *Part {
	for i := range c.Parts {
		if c.Parts[i].Name == name {
			return &c.Parts[i]
		}
	}
	return nil
}

// Tried says that a check of a pull request was about the same two commits,
// and with the same trust.
func (p PullRequest) Tried(other PullRequest) bool {
	return p.Number == other.Number && p.Head == other.Head && p.Base == other.Base && p.BaseCommit == other.BaseCommit && p.Decides == other.Decides && p.Trusted == other.Trusted
}
