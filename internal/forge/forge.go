// Package forge names what hubship shares with the places that hold the
// deployment repository. Adapters live in packages of their own below it.
package forge

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
