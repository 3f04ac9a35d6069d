package authority

import (
	"strings"
	"testing"
)

const (
	one = "1111111111111111111111111111111111111111"
	two = "2222222222222222222222222222222222222222"
)

// push is a movement of the branch x of a repository that is no fork.
func push(role Role, change func(*Movement)) Movement {
	m := Movement{Who: Who{Account: 7, Login: "ben", Role: role, Lends: true}, Repository: Repository{ID: 1, Owner: 2},
		Ref: "refs/heads/x", Old: one, New: two, Kind: Forward, Door: DoorGit, Force: true}
	if change != nil {
		change(&m)
	}
	return m
}

// fork makes the repository a fork of 1, owned by 5, whose branch is proposed.
func fork(p Proposal) func(*Movement) {
	return func(m *Movement) {
		m.Repository = Repository{ID: 3, Owner: 5, Ancestors: []int64{1}}
		m.Proposals = []Proposal{p}
	}
}

func TestDecide(t *testing.T) {
	invitation := Proposal{Base: 1, Author: 5, CanModify: true, WritesBase: true}
	for name, c := range map[string]struct {
		m    Movement
		says string // empty for allowed
	}{
		"a reviewer":                     {push(Reviewer, nil), ""},
		"a contributor":                  {push(Contributor, nil), "push to your fork"},
		"nobody":                         {push(Nobody, nil), "no access"},
		"disabled":                       {push(Maintainer, func(m *Movement) { m.Who.Disabled = true }), "no access"},
		"a token that reads":             {push(Maintainer, func(m *Movement) { m.Who.Lends = false }), "token"},
		"a pull request's record":        {push(Maintainer, func(m *Movement) { m.Ref = "refs/pull/1/head" }), "only branches and tags"},
		"notes":                          {push(Maintainer, func(m *Movement) { m.Ref = "refs/notes/commits" }), "only branches and tags"},
		"a replacement":                  {push(Maintainer, func(m *Movement) { m.Ref = "refs/replace/" + one }), "only branches and tags"},
		"HEAD":                           {push(Maintainer, func(m *Movement) { m.Ref = "HEAD" }), "only branches and tags"},
		"refs within heads":              {push(Maintainer, func(m *Movement) { m.Ref, m.Kind = "refs/heads/refs/heads/x", Create }), "taken for something else"},
		"a commit's id as a name":        {push(Maintainer, func(m *Movement) { m.Ref, m.Kind = "refs/heads/"+one, Create }), "taken for something else"},
		"a tag of a commit's id":         {push(Maintainer, func(m *Movement) { m.Ref, m.Kind = "refs/tags/"+one, Create }), "taken for something else"},
		"Git's own":                      {push(Maintainer, func(m *Movement) { m.Ref, m.Kind = "refs/tags/FETCH_HEAD", Create }), "taken for something else"},
		"a tag":                          {push(Reviewer, func(m *Movement) { m.Ref, m.Kind = "refs/tags/v1", Create }), ""},
		"one that shadows":               {push(Maintainer, func(m *Movement) { m.Ref, m.Kind, m.Alike = "refs/tags/prod", Create, "refs/heads/prod" }), "could be mistaken for"},
		"the default branch deleted":     {push(Maintainer, func(m *Movement) { m.Kind, m.New, m.Default = Delete, Zero, true }), "default"},
		"rewritten without force":        {push(Reviewer, func(m *Movement) { m.Kind, m.Force = Rewrite, false }), "fast forward"},
		"the forge's record":             {Movement{Door: DoorRecord, Ref: "refs/pull/12/merge"}, ""},
		"a branch as a record":           {Movement{Door: DoorRecord, Ref: "refs/heads/prod"}, "not a reference that the forge keeps"},
		"invited":                        {push(Contributor, fork(invitation)), ""},
		"invited to rewrite":             {push(Contributor, func(m *Movement) { fork(invitation)(m); m.Kind = Rewrite }), ""},
		"invited, to delete":             {push(Contributor, func(m *Movement) { fork(invitation)(m); m.Kind, m.New = Delete, Zero }), "cannot push"},
		"invited, to make":               {push(Contributor, func(m *Movement) { fork(invitation)(m); m.Kind, m.Old = Create, Zero }), "cannot push"},
		"invited, to sync":               {push(Contributor, func(m *Movement) { fork(invitation)(m); m.Door = DoorSync }), "cannot push"},
		"invited into what is protected": {push(Contributor, func(m *Movement) { fork(invitation)(m); m.Protection = &Protection{AllowPush: true} }), "cannot push"},
		"not invited by the author":      {push(Contributor, fork(Proposal{Base: 1, Author: 5, WritesBase: true})), "cannot push"},
		"invited, no writer":             {push(Contributor, fork(Proposal{Base: 1, Author: 5, CanModify: true})), "cannot push"},
		"invited by somebody else":       {push(Contributor, fork(Proposal{Base: 1, Author: 6, CanModify: true, WritesBase: true})), "cannot push"},
		"invited from downstream":        {push(Contributor, fork(Proposal{Base: 9, Author: 5, CanModify: true, WritesBase: true})), "cannot push"},
		// The way by which a contributor got into the deployment repository: a
		// pull request of theirs, within their fork, from the parent's branch.
		"the parent as a head": {push(Contributor, func(m *Movement) {
			m.Proposals = []Proposal{{Base: 3, Author: 7, CanModify: true, WritesBase: true}}
		}), "cannot push"},
		"maintained files":                  {push(Reviewer, func(m *Movement) { m.Maintained.Files = []string{"process.yaml"} }), "process.yaml"},
		"maintained files, unknown":         {push(Reviewer, func(m *Movement) { m.Maintained.Unknown = "git is gone" }), "git is gone"},
		"maintained files, by a maintainer": {push(Maintainer, func(m *Movement) { m.Maintained.Files = []string{"process.yaml"} }), ""},
		"maintained files, merged and checked": {push(Reviewer, func(m *Movement) {
			m.Maintained.Files, m.Door, m.Merge = []string{"process.yaml"}, DoorMerge, &Merge{Checked: true}
		}), ""},
		"maintained files, pushed though checked": {push(Reviewer, func(m *Movement) {
			m.Maintained.Files, m.Merge = []string{"process.yaml"}, &Merge{Checked: true}
		}), "only maintainers"},
		"maintained files, merged unchecked": {push(Reviewer, func(m *Movement) {
			m.Maintained.Files, m.Door, m.Merge = []string{"process.yaml"}, DoorMerge, &Merge{}
		}), "only maintainers"},
		"maintained files, merged by hubship": {push(Maintainer, func(m *Movement) {
			m.Who.Own, m.Maintained.Files, m.Door, m.Merge = true, []string{"process.yaml"}, DoorMerge, &Merge{}
		}), "only maintainers"},
		"maintained files, merged by a maintainer": {push(Maintainer, func(m *Movement) {
			m.Maintained.Files, m.Door, m.Merge = []string{"process.yaml"}, DoorMerge, &Merge{}
		}), ""},
		"a merge to different files": {push(Maintainer, func(m *Movement) {
			m.Door, m.Merge = DoorMerge, &Merge{Checked: true, Other: true}
		}), "different files"},
		"a merge by a contributor": {push(Contributor, func(m *Movement) { m.Door, m.Merge = DoorMerge, &Merge{Checked: true} }), "cannot push"},
		"a merge with a reason": {push(Reviewer, func(m *Movement) {
			m.Door, m.Merge = DoorMerge, &Merge{Reasons: []string{"Draft"}}
		}), "Draft"},
	} {
		r := Decide(c.m)
		switch {
		case c.says == "" && r != nil:
			t.Errorf("%s: refused: %s", name, r.Text)
		case c.says != "" && (r == nil || !strings.Contains(r.Text, c.says)):
			t.Errorf("%s: %+v, want %q", name, r, c.says)
		}
	}
}
