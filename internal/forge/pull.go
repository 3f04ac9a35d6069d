package forge

import "time"

// Limits that every forge keeps, in characters (not bytes) or items.
const (
	MaxBody        = 65536 // of a pull request, a comment or a review
	MaxTitle       = 256   // of a pull request
	MaxDescription = 140   // of a status or a deployment's status; what is longer is shortened
	MaxCommits     = 250   // that Commits lists
	MaxFiles       = 3000  // that Files lists
)

// Repository names a repository at a forge.
type Repository struct {
	Owner string `json:"owner"`
	Name  string `json:"name"`
}

// String is owner/name, or "" when there is none.
func (r Repository) String() string {
	if r == (Repository{}) {
		return ""
	}
	return r.Owner + "/" + r.Name
}

// States of a pull request, and what Filter.State may be besides.
const (
	Open   = "open"
	Closed = "closed"
	All    = "all"
)

// Ref is one side of a pull request.
type Ref struct {
	Repository Repository `json:"repository"` // zero when it is gone: a fork that was deleted
	Branch     string     `json:"branch"`     // without refs/heads/
	Commit     string     `json:"commit"`     // full commit id
}

// PullRequest is a pull request as it was when it was asked for.
type PullRequest struct {
	Number int    `json:"number"`
	Title  string `json:"title"`
	Body   string `json:"body"`
	Author string `json:"author"` // login; "ghost" when the account is gone
	// AuthorID is the number of the author's account at the forge, which stays
	// when the login changes and is never given twice; 0 when it is gone.
	AuthorID int64    `json:"authorID,omitempty"`
	State    string   `json:"state"` // Open or Closed
	Draft    bool     `json:"draft"`
	Labels   []string `json:"labels,omitempty"`
	URL      string   `json:"url"` // for people

	Head Ref `json:"head"`
	Base Ref `json:"base"` // Commit is where the branch was when the pull request was last updated, or merged

	// Mergeable is nil while the forge has not found out, and in lists.
	Mergeable *bool `json:"mergeable,omitempty"`
	// Files counts the changed files; 0 in lists.
	Files int `json:"files,omitempty"`

	Merged bool `json:"merged"`
	// MergeCommit is the commit that the merge put on the base branch; empty
	// until then.
	MergeCommit string    `json:"mergeCommit,omitempty"`
	MergedAt    time.Time `json:"mergedAt,omitzero"`
	MergedBy    string    `json:"mergedBy,omitempty"` // login; empty in lists

	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// FromFork says that the head is, or was, in another repository than the base.
func (p PullRequest) FromFork() bool { return p.Head.Repository != p.Base.Repository }

// Filter narrows PullRequests. Its zero value matches all that are open.
type Filter struct {
	State        string    // Open, Closed or All; empty means Open
	Base         string    // branch
	Head         string    // owner:branch
	UpdatedSince time.Time // updated at that time or later
}

// NewPullRequest is what Open needs.
type NewPullRequest struct {
	Title string
	Body  string
	Head  string // branch, or owner:branch of a fork
	Base  string // branch
	Draft bool
}

// Change is what Update changes; nil leaves as it is.
type Change struct {
	Title *string
	Body  *string
	State *string // Open or Closed
}

// Methods of Merge.
const (
	MergeCommit = "merge"
	Squash      = "squash"
	Rebase      = "rebase"
)

// Merge is how a pull request is merged.
type Merge struct {
	Method  string // MergeCommit, Squash or Rebase; empty means MergeCommit
	Head    string // commit that its head must be at; required, so that nothing unseen is merged
	Title   string // first line of the merge's message; empty means the forge's
	Message string // the rest of it; empty means the forge's
}

// Commit is a commit of a pull request.
type Commit struct {
	ID      string    `json:"id"`
	Message string    `json:"message"`
	Author  string    `json:"author"`          // name within the commit
	Login   string    `json:"login,omitempty"` // its account at the forge, if any
	Date    time.Time `json:"date"`            // of the author
	Parents []string  `json:"parents"`
}

// What happened to a File.
const (
	FileAdded    = "added"
	FileRemoved  = "removed"
	FileModified = "modified"
	FileRenamed  = "renamed"
	FileCopied   = "copied"
	FileChanged  = "changed" // its mode alone
)

// File is a file that a pull request changes.
type File struct {
	Path      string `json:"path"`
	Previous  string `json:"previous,omitempty"` // path before, when renamed
	Status    string `json:"status"`
	Additions int    `json:"additions"` // lines
	Deletions int    `json:"deletions"` // lines
	Patch     string `json:"patch,omitempty"`
}

// States of a Status.
const (
	Pending = "pending"
	Success = "success"
	Failure = "failure"
	Errored = "error"
)

// Status is what a context says about a commit.
type Status struct {
	State       string    `json:"state"`
	Context     string    `json:"context"`
	Description string    `json:"description,omitempty"`
	URL         string    `json:"url,omitempty"`
	Updated     time.Time `json:"updated,omitzero"` // ignored by SetStatus
	// Base says which merge of the commit the status is about: into which branch,
	// and where that was. Forges that know nothing of it ignore it: there a status
	// is the commit's alone.
	Base StatusBase `json:"base,omitzero"`
}

// StatusBase is a branch and where it was.
type StatusBase struct {
	Branch string `json:"branch"`
	Commit string `json:"commit"`
}

// Comment is a comment in the conversation of a pull request.
type Comment struct {
	ID       int64     `json:"id"`
	Author   string    `json:"author"`             // login
	AuthorID int64     `json:"authorID,omitempty"` // as in PullRequest
	Body     string    `json:"body"`
	URL      string    `json:"url"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
}

// States of a Review.
const (
	Approved         = "APPROVED"
	ChangesRequested = "CHANGES_REQUESTED"
	Commented        = "COMMENTED"
	Dismissed        = "DISMISSED"
)

// Review is one person's review of a pull request at one commit.
type Review struct {
	ID        int64     `json:"id"`
	Author    string    `json:"author"`             // login
	AuthorID  int64     `json:"authorID,omitempty"` // as in PullRequest
	State     string    `json:"state"`
	Commit    string    `json:"commit"` // that was looked at
	Body      string    `json:"body"`
	Submitted time.Time `json:"submitted"`
}

// NewReview is what Review submits.
type NewReview struct {
	State  string // Approved, ChangesRequested or Commented; the latter two need a Body
	Commit string // that was looked at; empty means the head
	Body   string
}

// Verdicts are the reviews that count: the last one of each person that
// approves, requests changes or was dismissed, in the order of reviews. A
// comment leaves an earlier verdict standing.
func Verdicts(reviews []Review) []Review {
	last := map[string]int{}
	for i, r := range reviews {
		if r.State != Commented {
			last[r.Author] = i
		}
	}
	var out []Review
	for i, r := range reviews {
		if at, ok := last[r.Author]; ok && at == i {
			out = append(out, r)
		}
	}
	return out
}

// Permission is what somebody may do in a repository.
type Permission string

// Permissions, the greatest first.
const (
	Admin    Permission = "admin"
	Maintain Permission = "maintain"
	Write    Permission = "write"
	Triage   Permission = "triage"
	Read     Permission = "read"
	None     Permission = "none"
)

var ranks = map[Permission]int{Admin: 5, Maintain: 4, Write: 3, Triage: 2, Read: 1}

// Includes says that who has p may do all that needs other. An unknown
// permission includes nothing, and nothing but itself is unknown.
func (p Permission) Includes(other Permission) bool {
	need, known := ranks[other]
	return known && ranks[p] >= need || other == None
}
