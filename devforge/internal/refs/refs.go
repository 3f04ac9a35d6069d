// Package refs has the words about branches that move.
package refs

// ZeroID is the object id that stands for "no such branch".
const ZeroID = "0000000000000000000000000000000000000000"

// Update is one branch that moved.
type Update struct {
	Branch string // without refs/heads/
	Old    string // full commit id; ZeroID when the branch is new
	New    string // full commit id; ZeroID when the branch was deleted
}

// Created says that the branch did not exist before.
func (u Update) Created() bool { return u.Old == ZeroID }

// Deleted says that the branch does not exist any more.
func (u Update) Deleted() bool { return u.New == ZeroID }
