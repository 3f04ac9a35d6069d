package forge

import (
	"context"
	"time"
)

// The interfaces below are capabilities that a Forge may have besides. A
// caller asserts the type, and does without when the assertion fails, or when
// the first call returns ErrForbidden: a forge may have what this account may
// not use, as check runs at GitHub, which only Apps may write.

// Participant is the capability of what people do at a forge and hubship does not: the
// demo plays two of them.
type Participant interface {
	Forge
	// Files lists what a pull request changes, at most MaxFiles. When
	// PullRequest.Files is greater, the rest is known to Git only.
	Files(ctx context.Context, number int) ([]File, error)
	// Statuses lists the latest status of each context, ordered by context.
	Statuses(ctx context.Context, commit string) ([]Status, error)
	// Review submits a review. ErrInvalid when an author approves their own.
	Review(ctx context.Context, number int, review NewReview) (Review, error)
	// RequestReview asks people for theirs.
	RequestReview(ctx context.Context, number int, logins ...string) error
}

// Checks is the capability of check runs: a status with a report and with
// annotations on lines of the change.
type Checks interface {
	// SetCheck creates a check run when its ID is 0 and replaces it otherwise,
	// except for its annotations, which are added. The check returned has its
	// ID, and no annotations. Any number of annotations is sent, in several
	// requests; after an error some may have arrived.
	SetCheck(ctx context.Context, check Check) (Check, error)
	// CheckRuns lists the latest check run of each name for a commit, without
	// annotations.
	CheckRuns(ctx context.Context, commit string) ([]Check, error)
	// Annotations lists those of a check run.
	Annotations(ctx context.Context, id int64) ([]Annotation, error)
}

// States of a Check, and its conclusions.
const (
	CheckQueued     = "queued"
	CheckInProgress = "in_progress"
	CheckCompleted  = "completed"

	CheckSuccess        = "success"
	CheckFailure        = "failure"
	CheckNeutral        = "neutral"
	CheckCancelled      = "cancelled"
	CheckSkipped        = "skipped"
	CheckTimedOut       = "timed_out"
	CheckActionRequired = "action_required"
)

// Limits of a Check.
const (
	MaxCheckText   = 65535 // characters of Summary, and of Text
	MaxAnnotations = 50    // in one request
)

// Check is a check run.
type Check struct {
	ID          int64  // 0 for a new one
	Name        string // what the run is known by
	Commit      string
	ExternalID  string // the caller's own name of it, by which it is found again
	URL         string // of the details, for people
	State       string
	Conclusion  string // required when completed, empty otherwise
	Title       string // required with Summary, Text or Annotations
	Summary     string // Markdown; required with Title
	Text        string // Markdown
	Annotations []Annotation
	Started     time.Time
	Completed   time.Time
}

// Levels of an Annotation.
const (
	Notice  = "notice"
	Warning = "warning"
	Problem = "failure"
)

// Annotation is a remark on lines of a file.
type Annotation struct {
	Path    string
	Start   int // line, from 1
	End     int // line, inclusive; 0 means Start
	Level   string
	Title   string
	Message string
}

// Protections is the capability of protecting branches.
type Protections interface {
	// Protection returns a branch's. ErrNotFound when it is not protected.
	Protection(ctx context.Context, branch string) (Protection, error)
	// Protect protects a branch, replacing its protection. ErrConflict when
	// that has settings that Protection cannot say and that would be lost.
	Protect(ctx context.Context, branch string, protection Protection) error
}

// Protection is what a branch is protected by. Commits come through pull
// requests only, and nobody rewrites or deletes the branch.
type Protection struct {
	Statuses     []string // contexts that must be successful
	UpToDate     bool     // the head must contain the base
	Approvals    int      // reviews needed, 0 to 6
	DismissStale bool     // approvals end with a push
	Admins       bool     // holds for administrators too
	// Beyond is what the embedded forge knows beside: nil leaves it as it is.
	// Other forges refuse it: ErrInvalid.
	Beyond *ProtectionBeyond
}

// ProtectionBeyond are settings of a branch's protection that GitHub does not
// have.
type ProtectionBeyond struct {
	// Heads are the branches of the same repository that pull requests may come
	// from; none for any.
	Heads []string `json:"heads"`
	// AllowPush lets those push who write to the repository.
	AllowPush bool `json:"allow_push"`
	// Maintained are patterns (path.Match) of files that only maintainers change,
	// except by a merge whose required statuses are all successful.
	Maintained []string `json:"maintained"`
	// Bypass are logins that merge past missing statuses and reviews.
	Bypass []string `json:"bypass"`
	// ChecksBy is the login whose statuses alone count, and ChecksOfMerge says
	// that they count only for the merge that they name: see Status.Base.
	ChecksBy      string `json:"checks_by"`
	ChecksOfMerge bool   `json:"checks_of_merge"`
}

// Deployments is the capability of showing deployments.
type Deployments interface {
	// StartDeployment records that a commit is deployed to an environment,
	// and returns the record's id.
	StartDeployment(ctx context.Context, deployment Deployment) (int64, error)
	// SetDeployment adds a status to it.
	SetDeployment(ctx context.Context, id int64, status DeploymentStatus) error
}

// Deployment is what StartDeployment records.
type Deployment struct {
	Commit      string
	Environment string
	Description string
	Production  bool
}

// States of a DeploymentStatus besides Pending, Success, Failure and Errored.
const (
	InProgress = "in_progress"
	Inactive   = "inactive"
)

// DeploymentStatus is how a deployment goes.
type DeploymentStatus struct {
	State       string
	Description string
	URL         string // of the log
	Site        string // URL of what was deployed
}

// Labels is the capability of labelling pull requests.
type Labels interface {
	// AddLabels adds labels, making those that the repository does not have.
	AddLabels(ctx context.Context, number int, labels ...string) error
	// RemoveLabel takes a label away. No error when it is not there.
	RemoveLabel(ctx context.Context, number int, label string) error
}

// Forks is the capability of making forks.
type Forks interface {
	// Fork makes a fork of the repository in the account's name, or finds the
	// one that is there, and brings it up to date with a branch. ErrConflict
	// when the fork's branch has commits of its own.
	Fork(ctx context.Context, branch string) (Repository, error)
}
