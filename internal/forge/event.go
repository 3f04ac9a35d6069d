package forge

// Event is what a forge tells through a webhook: one of the types below. An
// event may be lost, come twice, late or out of order, so it says where to
// look, and not how things are: whoever acts on it asks the Forge.
type Event interface {
	// From says which delivery the event came by.
	From() Delivery
	event()
}

// Delivery is one delivery of a webhook.
type Delivery struct {
	ID         string     // the same when it is delivered again
	Kind       string     // the forge's name for it: pull_request, push, ...
	Action     string     // what happened: opened, synchronize, ...; may be empty
	Repository Repository // zero when it is about none
	Sender     string     // login of who did it; may be empty
}

// From returns the delivery itself.
func (d Delivery) From() Delivery { return d }

func (Delivery) event() {}

// PullRequestEvent says that a pull request was opened, closed, pushed to,
// edited, labelled, or the like.
type PullRequestEvent struct {
	Delivery
	Number int
	Head   string // commit, when the event was sent
	Merged bool   // closed by being merged
}

// PushEvent says that a branch moved.
type PushEvent struct {
	Delivery
	Update RefUpdate
	Forced bool
}

// ReviewEvent says that a review was submitted, edited or dismissed.
type ReviewEvent struct {
	Delivery
	Number int
	State  string // of the review
	Author string // login of the reviewer
}

// CommentEvent says that somebody commented on a pull request.
type CommentEvent struct {
	Delivery
	Number int
	ID     int64 // of the comment
	Author string
	Body   string
}

// CheckEvent says that somebody wants a check run again.
type CheckEvent struct {
	Delivery
	ID         int64 // of the check run; 0 when all of the commit are wanted
	Commit     string
	ExternalID string
}

// PingEvent says that the webhook works.
type PingEvent struct{ Delivery }

// IgnoredEvent is a genuine delivery that hubship has no use for.
type IgnoredEvent struct {
	Delivery
	Why string
}
