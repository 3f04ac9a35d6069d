package authority

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Zero is the object id that stands for "no such reference".
const Zero = "0000000000000000000000000000000000000000"

// Kind is how a reference moves.
type Kind string

// Kinds of movements. A tag that moves is rewritten, wherever it goes.
const (
	Create  Kind = "create"
	Forward Kind = "forward" // the new commit contains the old one
	Rewrite Kind = "rewrite" // it does not
	Delete  Kind = "delete"
)

// Door is how a movement was asked for. The pages have none of their own: they
// ask the API. Neither has hubship: it pushes, merges and reverts by these, as
// everybody does.
type Door string

// Doors.
const (
	DoorGit    Door = "git push"
	DoorFiles  Door = "contents of the API"
	DoorRefs   Door = "references of the API"
	DoorMerge  Door = "merge"
	DoorUpdate Door = "update branch"
	DoorSync   Door = "sync fork"
	// DoorRecord is the forge's own, for what it keeps of pull requests.
	DoorRecord Door = "record of a pull request"
)

// Doors are all of them.
var Doors = []Door{DoorGit, DoorFiles, DoorRefs, DoorMerge, DoorUpdate, DoorSync, DoorRecord}

// Who asks.
type Who struct {
	Account  int64
	Login    string
	Role     Role // in the repository whose reference moves
	Disabled bool
	Lends    bool // what they showed, a token or a session, lends the right to write
	Own      bool // hubship's account, which merges what others decided
}

// Repository is the one whose reference moves.
type Repository struct {
	ID    int64
	Owner int64
	// Ancestors are what it was forked from, the nearest first; none for a
	// repository that is no fork.
	Ancestors []int64
}

// Proposal is an open pull request whose head the branch is, in this very
// repository.
type Proposal struct {
	Base       int64 // repository that it proposes to
	Author     int64
	CanModify  bool // maintainer_can_modify
	WritesBase bool // whoever asks may write to the base
}

// Maintained are those of a branch's maintained files that a movement changes.
// It is looked for on branches of a repository that is no fork.
type Maintained struct {
	Files []string
	// Unknown is why it could not be found out; then they count as changed.
	Unknown string
}

// Merge are the facts about the pull request that is merged. Its head has been
// seen to be where it was judged.
type Merge struct {
	Method  string // merge, squash or rebase
	Head    string // branch
	Unknown bool   // it was not looked at yet
	Reasons []string
	// Final says that nobody is above the reasons: a lock, a head that the base
	// does not take, a conflict, a draft.
	Final bool
	// Checked says that statuses are required for the merge itself (see
	// RequiredChecks.Merge), and that all of them are green.
	Checked bool
	// Other says that the files which the base would get are not those of the
	// test merge, which is what checks and people have seen.
	Other bool
}

// Movement is everything that is to be known about a movement.
type Movement struct {
	Who        Who
	Repository Repository
	Ref        string // in full
	Old, New   string // object ids; Zero for none
	Kind       Kind
	Door       Door
	// Force says that commits may be lost. Git's clients ask for that
	// themselves; the API says so in the request.
	Force      bool
	Default    bool        // the branch is the repository's default
	Protection *Protection // of the branch; nil for none
	Proposals  []Proposal
	// Alike is a reference that could be taken for one that is made: a tag of a
	// branch's name, a branch that differs in its case alone. Empty for none.
	Alike      string
	Maintained Maintained
	Merge      *Merge // at DoorMerge
}

// Reason is of which kind a refusal is.
type Reason int

// Kinds of refusals.
const (
	Forbidden  Reason = iota // they may not
	Invalid                  // it makes no sense as it is
	NotAllowed               // a rule about merging is in the way
)

// Refusal is why a movement is refused, for people.
type Refusal struct {
	Reason Reason
	Text   string
}

func refuse(format string, args ...any) *Refusal {
	return &Refusal{Forbidden, fmt.Sprintf(format, args...)}
}

// Decide says why a reference may not move, nil when it may. It is the only
// place that does: every door asks it, under a lock, and moves what it was asked
// about by comparing with the old value.
//
// In this order: names; whose token; who may write there at all, or is let in
// by a pull request; what no movement may be; the branch's protection, or for a
// merge its rules; the files that are left to maintainers.
func Decide(m Movement) *Refusal {
	branch, isBranch := strings.CutPrefix(m.Ref, "refs/heads/")
	tag, isTag := strings.CutPrefix(m.Ref, "refs/tags/")
	name := branch
	if isTag {
		name = tag
	}
	if m.Door == DoorRecord {
		if !record.MatchString(m.Ref) {
			return refuse("%s is not a reference that the forge keeps", m.Ref)
		}
		return nil
	}
	switch {
	case !isBranch && !isTag:
		return refuse("only branches and tags can be pushed")
	case m.Who.Disabled || m.Who.Account == 0 || !m.Who.Role.Includes(Contributor):
		return refuse("the account has no access to this repository")
	case !m.Who.Lends:
		return refuse("the token does not allow writing")
	case m.Kind == Create && misleading(name):
		return &Refusal{Invalid, fmt.Sprintf("%s would be mistaken for something else: choose another name", m.Ref)}
	case m.Kind == Create && m.Alike != "":
		return &Refusal{Invalid, fmt.Sprintf("%s could be mistaken for %s: choose another name", m.Ref, m.Alike)}
	}
	if !m.Who.Role.Writes() && !(isBranch && invited(m)) {
		return refuse("you cannot push to this repository: push to your fork and open a pull request")
	}
	if (m.Kind == Rewrite) && !m.Force {
		return &Refusal{Invalid, "Update is not a fast forward"}
	}
	if !isBranch {
		return nil
	}
	if m.Kind == Delete && m.Default {
		return refuse("this is the repository's default branch: it cannot be deleted")
	}
	if r := protected(m, branch); r != nil {
		return r
	}
	return maintained(m)
}

// record are the references that the forge keeps of pull requests.
var record = regexp.MustCompile(`^refs/pull/[1-9][0-9]*/(head|merge)$`)

// special are Git's own, such as FETCH_HEAD.
var special = regexp.MustCompile(`^[A-Z_]+_HEAD$`)

var objectID = regexp.MustCompile(`^([0-9a-fA-F]{40}|[0-9a-fA-F]{64})$`)

// misleading says whether a name reads as something other than a branch or a
// tag: a commit id, a reference in full, or one of Git's own.
func misleading(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return objectID.MatchString(name) || strings.EqualFold(first, "refs") || strings.EqualFold(first, "HEAD") || special.MatchString(name)
}

// invited says whether somebody who may not write to a fork may move one of its
// branches all the same: the fork's owner proposes it to a repository that the
// fork comes from, and lets those work on it who may write there. It never leads
// into a protected branch, never from a fork to what it was forked from, and
// neither makes branches nor deletes them. Syncing the fork is its owner's.
func invited(m Movement) bool {
	if m.Protection != nil || m.Door == DoorSync || m.Door == DoorMerge || (m.Kind != Forward && m.Kind != Rewrite) {
		return false
	}
	return slices.ContainsFunc(m.Proposals, func(p Proposal) bool {
		return p.CanModify && p.WritesBase && p.Author == m.Repository.Owner && slices.Contains(m.Repository.Ancestors, p.Base)
	})
}

// protected is what the protection of a branch says.
func protected(m Movement, branch string) *Refusal {
	if m.Door == DoorMerge {
		return m.mergeRefusal(branch)
	}
	p := m.Protection
	switch {
	case p == nil:
		return nil
	case p.Lock:
		return refuse("the branch is locked")
	case m.Kind == Delete && !p.AllowDeletions:
		return refuse("the branch is protected: it cannot be deleted")
	case m.Kind == Rewrite && !p.AllowForce:
		return refuse("the branch is protected: its history cannot be rewritten")
	case m.Who.Role == Maintainer && (m.Kind == Create || m.Kind == Delete):
		return nil // nothing can be proposed to a branch before it is there
	case p.Restrictions != nil && !named(p.Restrictions.Users, m.Who.Login) && (m.Who.Role != Maintainer || p.EnforceAdmins):
		return refuse("the branch is protected: you are not allowed to push to it")
	case m.Kind == Delete:
		return nil
	case p.ByPullRequest():
		return refuse("the branch is protected: push to another branch or to your fork and open a pull request")
	}
	return nil
}

// mergeRefusal is why a pull request may not be merged.
func (m Movement) mergeRefusal(base string) *Refusal {
	not := func(format string, args ...any) *Refusal {
		return &Refusal{NotAllowed, fmt.Sprintf(format, args...)}
	}
	p, above := m.Protection, m.Protection.Above(m.Who)
	switch {
	case m.Merge == nil || m.Merge.Unknown:
		return not("Pull Request is not mergeable")
	case !m.Who.Role.Writes():
		return refuse("Must have the role %s in this repository.", Reviewer)
	case m.Kind != Forward:
		return not("A merge can only add commits to its base.")
	case len(m.Merge.Reasons) > 0 && (!above || m.Merge.Final):
		return not("%s.", strings.Join(m.Merge.Reasons, ". "))
	case m.Merge.Other:
		// A rebase leaves merges out, with what they themselves change.
		return not("This merge method leads to different files than the merge that was checked: choose another method.")
	case p != nil && len(p.Heads) > 0 && m.Merge.Method != "merge":
		// The branch that it comes from goes on: with other commits on this
		// side the two would differ for ever.
		return not("%s can only be merged into %s with a merge commit: a squash or rebase would make the two branches diverge permanently.", m.Merge.Head, base)
	case p == nil || above:
		return nil
	case p.LinearHistory && m.Merge.Method == "merge":
		return not("Merge commits are not allowed on this branch: use squash or rebase.")
	case p.Restrictions != nil && !named(p.Restrictions.Users, m.Who.Login):
		return refuse("You are not allowed to merge into %s.", base)
	}
	return nil
}

// maintained lets maintainers alone change the files that the protection of a
// branch leaves to them, but for a merge that was checked: it is for the checks
// to find out what a change of such a file means, and to wait for a maintainer.
// hubship's account merges by itself what follows from rules, so that its role
// says nothing there.
func maintained(m Movement) *Refusal {
	what := strings.Join(m.Maintained.Files, ", ")
	switch {
	case m.Maintained.Unknown != "":
		what = "unknown: " + m.Maintained.Unknown
	case len(m.Maintained.Files) == 0:
		return nil
	}
	byItself := m.Door == DoorMerge && m.Who.Own
	if m.Who.Role == Maintainer && !byItself || m.Door == DoorMerge && m.Merge != nil && m.Merge.Checked {
		return nil
	}
	return refuse("this changes what only maintainers decide about (%s): open a pull request, and have it checked", what)
}
