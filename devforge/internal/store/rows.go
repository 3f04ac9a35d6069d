package store

import (
	"database/sql/driver"
	"fmt"
	"time"

	"github.com/hubship/hubship/devforge/internal/authority"
)

// Time is a point in time as the database has it.
type Time struct{ time.Time }

// Now is the present, to the second: GitHub's dialect has nothing finer, and
// what is stored should be what is shown.
func Now() Time { return Time{time.Now().UTC().Truncate(time.Second)} }

// Value implements driver.Valuer.
func (t Time) Value() (driver.Value, error) {
	if t.IsZero() {
		return int64(0), nil
	}
	return t.UnixNano(), nil
}

// Scan implements sql.Scanner.
func (t *Time) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("a time is stored as %T", v)
	}
	t.Time = time.Time{}
	if n != 0 {
		t.Time = time.Unix(0, n).UTC()
	}
	return nil
}

// Role is what an account may do in the repositories of organizations. In its
// own repositories every account is a maintainer.
type Role = authority.Role

// Roles that accounts have.
const (
	Contributor = authority.Contributor
	Reviewer    = authority.Reviewer
	Maintainer  = authority.Maintainer
)

// Kinds of accounts.
const (
	User         = "User"
	Organization = "Organization" // owns repositories, nobody logs in as one
)

// Account is somebody who takes part, or an organization.
type Account struct {
	ID       int64
	Login    string
	Name     string
	Email    string
	Kind     string
	Role     Role
	password string
	Disabled bool
	Created  Time
}

// Token is a secret that stands for an account; the secret itself is not kept.
type Token struct {
	ID      int64
	Account int64
	Name    string
	hash    string
	Scopes  string // separated by commas
	Created Time
	Expires Time // zero for never
}

// Repository is a bare Git repository.
type Repository struct {
	ID            int64
	Owner         int64
	Name          string
	Dir           string // below the root, without .git
	Parent        *int64 // of a fork
	DefaultBranch string
	Description   string
	Created       Time
	Pushed        Time
	LastNumber    int64 // of its pull requests
}

// Pull is a pull request.
type Pull struct {
	ID         int64
	Repository int64
	Number     int64
	Title      string
	Body       string
	Author     int64
	Draft      bool
	Closed     Time // also of a merged one; zero while it is open
	Merged     Time
	MergedBy   *int64
	MergeSHA   string // commit of the merge, known just before it happens
	BaseRef    string // branch
	BaseSHA    string
	HeadRepo   *int64 // nil when it was deleted
	HeadOwner  int64
	HeadRef    string
	HeadSHA    string
	TestBase   string // what the test merge was made of
	TestHead   string
	TestSHA    string // the test merge; empty if the two do not go together
	CanModify  bool
	Created    Time
	Updated    Time
}

// Open says that the pull request is neither closed nor merged.
func (p *Pull) Open() bool { return p.Closed.IsZero() }

// Review states, as GitHub's REST API has them.
const (
	Approved         = "APPROVED"
	ChangesRequested = "CHANGES_REQUESTED"
	Commented        = "COMMENTED"
	Dismissed        = "DISMISSED"
)

// Review is somebody's judgement of a pull request at a commit.
type Review struct {
	ID        int64
	Pull      int64
	Author    int64
	State     string
	Body      string
	SHA       string
	Submitted Time
}

// Sides of a diff, as GitHub's REST API has them.
const (
	Left  = "LEFT" // before the change
	Right = "RIGHT"
)

// LineComment is one on a line of a change. It is part of a review.
type LineComment struct {
	ID        int64
	Pull      int64
	Review    int64
	ReplyTo   int64 // the comment that began the thread; 0 for that one
	Author    int64
	SHA       string // of the head that it was written about
	Path      string
	Side      string
	Line      int
	StartLine int    // of several lines the first; 0 for one alone
	Position  int    // lines below the first @@ of the file's diff
	Hunk      string // of the diff, up to the line
	Blob      string // the file's id, by which it is known whether it changed since
	Body      string
	Created   Time
	Updated   Time
}

// Comment is one in the conversation of a pull request.
type Comment struct {
	ID         int64
	Repository int64
	Number     int64
	Author     int64
	Body       string
	Created    Time
	Updated    Time
}

// Status is what some system says of a commit.
type Status struct {
	ID          int64
	Repository  int64
	SHA         string
	Context     string
	State       string // error, failure, pending or success
	Description string
	Target      string // URL
	Creator     int64
	Created     Time
	// BaseRef and BaseSHA say which merge of the commit the status is about: into
	// which branch, and where that was. Both are empty for the commit alone.
	BaseRef, BaseSHA string
}

// Check is a check run.
type Check struct {
	ID          int64
	Repository  int64
	SHA         string
	Name        string
	External    string
	Details     string // URL
	Status      string
	Conclusion  string // empty while it runs
	Started     Time
	Completed   Time
	Title       string
	Summary     string
	Text        string
	Annotations string // a JSON list
	Creator     int64
}

// Deployment is a record that a commit is brought to an environment.
type Deployment struct {
	ID          int64
	Repository  int64
	SHA         string
	Ref         string // what was asked for: a branch, a tag or the commit
	Task        string
	Environment string
	Description string
	Payload     string // JSON: an object or a text
	Transient   bool
	Production  bool
	Creator     int64
	Created     Time
	Updated     Time
}

// DeploymentStatus is how a deployment goes.
type DeploymentStatus struct {
	ID             int64
	Deployment     int64
	State          string // error, failure, inactive, in_progress, queued, pending or success
	Description    string
	Log            string // URL
	Environment    string
	EnvironmentURL string // of what was deployed
	Creator        int64
	Created        Time
}

// Protection is what holds for a branch.
type Protection struct {
	ID         int64
	Repository int64
	Branch     string
	Body       string // JSON
}

// Hook is a URL that hears of events.
type Hook struct {
	ID          int64
	Repository  int64
	URL         string
	ContentType string // json or form
	Secret      string
	Insecure    bool   // certificates are not checked
	Events      string // separated by commas; * for all
	Active      bool
	Created     Time
	Updated     Time
}

// Delivery is one event on its way to one hook.
type Delivery struct {
	ID         int64
	Hook       int64
	GUID       string
	Event      string
	Action     string
	Payload    string
	Redelivery bool
	Attempts   int64
	Due        Time // of the next attempt; zero when there is none
	Delivered  Time // when the last attempt was
	Duration   time.Duration
	Code       int64 // status of the answer; 0 without one
	Status     string
	ReqHeaders string // JSON
	ResHeaders string // JSON
	ResBody    string
}

// Label is a word that pull requests carry.
type Label struct {
	ID          int64
	Repository  int64
	Name        string
	Color       string
	Description string
}
