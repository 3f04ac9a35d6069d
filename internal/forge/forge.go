// Package forge is what hubship asks of the places that hold the deployment
// repository and carry its process by pull requests. The words are GitHub's.
// Adapters live in packages of their own below it; forgetest is the suite that
// each of them passes.
package forge

import (
	"context"
	"time"
)

// ZeroID is the object id that stands for "no such branch" in a RefUpdate.
const ZeroID = "0000000000000000000000000000000000000000"

// RefUpdate is one branch that a push moved.
type RefUpdate struct {
	Branch string `json:"branch"` // without refs/heads/
	Old    string `json:"old"`    // full commit id; ZeroID when the branch is new
	New    string `json:"new"`    // full commit id; ZeroID when the branch was deleted
}

// Created says that the branch did not exist before.
func (u RefUpdate) Created() bool { return u.Old == ZeroID }

// Deleted says that the branch does not exist any more.
func (u RefUpdate) Deleted() bool { return u.New == ZeroID }

// Forge is one repository at a forge, as one account sees it. It is safe for
// concurrent use.
//
// Every method waits for the network and ends with its context. Errors name
// the operation and its object, carry a hint (model.HintOf), and match one of
// this package's: ErrNotFound, ErrForbidden, ErrInvalid, ErrConflict,
// ErrUnavailable or *RateLimited. Reading is tried again within bounds after
// failures that pass. Of writing only what does no harm when it happens twice
// is: after ErrUnavailable from Open, Merge, Comment or a Participant's Review the
// caller looks whether it happened before it asks again.
//
// What people wrote (titles, bodies, names of branches) arrives as it is:
// whoever shows it escapes it.
type Forge interface {
	// Repository is the repository that everything is about.
	Repository() Repository
	// Login is the account's own name, as in PullRequest.Author.
	Login(ctx context.Context) (string, error)
	// Remote says how git reaches the repository now. It may end: ask again
	// for each fetch.
	Remote(ctx context.Context) (Remote, error)

	// PullRequest returns one pull request, with everything that is known.
	PullRequest(ctx context.Context, number int) (PullRequest, error)
	// PullRequests lists those that match, the last updated first, without
	// Mergeable, MergedBy and Files.
	PullRequests(ctx context.Context, filter Filter) ([]PullRequest, error)
	// Commits lists the commits of a pull request, oldest first: at most
	// MaxCommits of them. Git knows all.
	Commits(ctx context.Context, number int) ([]Commit, error)
	// Open opens a pull request. ErrConflict when one is open for the same
	// head and base; ErrInvalid when head has nothing that base has not.
	Open(ctx context.Context, request NewPullRequest) (PullRequest, error)
	// Update changes title, body or state, and returns what it is now. A
	// merged pull request cannot be opened again: ErrInvalid.
	Update(ctx context.Context, number int, change Change) (PullRequest, error)
	// Merge merges a pull request and returns the commit that its base branch
	// then is at. ErrConflict when it cannot be merged, or its head is not
	// merge.Head any more.
	Merge(ctx context.Context, number int, merge Merge) (string, error)

	// SetStatus sets the status of a commit in a context. Setting it again
	// replaces it.
	SetStatus(ctx context.Context, commit string, status Status) error

	// Comments lists the comments of the conversation, oldest first: those
	// on lines of the change are not among them.
	Comments(ctx context.Context, number int) ([]Comment, error)
	// Comment adds a comment of at most MaxBody characters.
	Comment(ctx context.Context, number int, body string) (Comment, error)
	// EditComment replaces the body of a comment.
	EditComment(ctx context.Context, id int64, body string) (Comment, error)

	// Reviews lists the submitted reviews, oldest first: several by one
	// person, of which the last with a verdict counts (see Verdicts).
	Reviews(ctx context.Context, number int) ([]Review, error)

	// Permission says what somebody may do in the repository. ErrNotFound
	// when there is nobody of this name.
	Permission(ctx context.Context, login string) (Permission, error)
	// Branch returns the commit that a branch is at.
	Branch(ctx context.Context, name string) (string, error)
	// Poll finds what changed since a moment, for the webhooks that were
	// lost. What it found before may be among it. The zero time finds every
	// open pull request.
	Poll(ctx context.Context, since time.Time) (Changes, error)
}

// Changes is what Poll found.
type Changes struct {
	PullRequests []PullRequest     // updated at or after the moment, the last updated first, as PullRequests lists them
	Branches     map[string]string // every branch there is now, and its commit
	Default      string            // the repository's default branch
	Next         time.Time         // the moment to go on from, by the forge's clock
}
