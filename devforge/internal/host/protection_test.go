package host

import (
	"errors"
	"strings"
	"testing"

	"github.com/hubship/hubship/devforge/internal/refs"
	"github.com/hubship/hubship/devforge/internal/store"
)

const someCommit = "1111111111111111111111111111111111111111"

func (b *bench) account(t *testing.T, login string, role store.Role) store.Account {
	t.Helper()
	a, err := b.Store.CreateAccount(t.Context(), store.NewAccount{Login: login, Role: role})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// protect replaces what holds for a branch of the organization's repository.
func (b *bench) protect(t *testing.T, branch string, p Protection) {
	t.Helper()
	if err := b.SetProtection(t.Context(), b.repo, branch, &p); err != nil {
		t.Fatal(err)
	}
}

func TestDirectPushes(t *testing.T) {
	b := newBench(t)
	mia := b.account(t, "mia", store.Maintainer)
	checks := Protection{Checks: &RequiredChecks{Contexts: []string{"ci"}}}
	pushable := checks
	pushable.AllowPush = true
	restricted := Protection{Restrictions: &Restrictions{Users: []string{"Ben"}}}
	enforced := restricted
	enforced.EnforceAdmins = true
	for name, c := range map[string]struct {
		rules    Protection
		by       store.Account
		old, new string
		says     string // empty for a push that is taken
	}{
		"checks":                           {checks, b.ben, someCommit, someCommit, "open a pull request"},
		"checks, a maintainer":             {checks, mia, someCommit, someCommit, "open a pull request"},
		"reviews, a maintainer":            {Protection{Reviews: &RequiredReviews{}}, mia, someCommit, someCommit, "open a pull request"},
		"heads, a maintainer":              {Protection{Heads: []string{"staging"}}, mia, someCommit, someCommit, "open a pull request"},
		"the first, by a maintainer":       {checks, mia, refs.ZeroID, someCommit, ""},
		"the first, by a reviewer":         {checks, b.ben, refs.ZeroID, someCommit, "open a pull request"},
		"pushes are allowed":               {pushable, b.ben, someCommit, someCommit, ""},
		"allowed, but no contributor":      {pushable, b.ada, someCommit, someCommit, "push to your fork"},
		"deleted, though pushable":         {pushable, mia, someCommit, refs.ZeroID, "cannot be deleted"},
		"may be deleted":                   {Protection{AllowDeletions: true, Reviews: &RequiredReviews{}}, mia, someCommit, refs.ZeroID, ""},
		"locked":                           {Protection{Lock: true, AllowPush: true}, mia, someCommit, someCommit, "locked"},
		"locked, the first":                {Protection{Lock: true}, mia, refs.ZeroID, someCommit, "locked"},
		"no rule about pushes":             {Protection{}, b.ben, someCommit, someCommit, ""},
		"among those who may":              {restricted, b.ben, someCommit, someCommit, ""},
		"a maintainer above":               {restricted, mia, someCommit, someCommit, ""},
		"a maintainer who is held to them": {enforced, mia, someCommit, someCommit, "not allowed to push"},
	} {
		b.protect(t, "prod", c.rules)
		refused, err := b.Foresee(t.Context(), b.repo, c.by, []RefMove{{Ref: "refs/heads/prod", Old: c.old, New: c.new}})
		if err != nil {
			t.Fatal(err)
		}
		if got := refused["refs/heads/prod"]; (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
			t.Errorf("%s: %q, want %q", name, got, c.says)
		}
	}
}

// What a rule asks for and whom it holds for.
func TestMergeRules(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	mia := b.account(t, "mia", store.Maintainer)
	bot := b.account(t, "bot", store.Reviewer)
	b.put(t, b.repo, "prod", "first", "1") // parts from staging
	b.put(t, b.repo, "staging", "second", "2")
	b.put(t, b.repo, "other", "third", "3")
	open := func(by store.Account, base, head string) store.Pull {
		t.Helper()
		p, err := b.OpenPull(ctx, b.repo, by, NewPull{Title: head + " to " + base, Base: base, Head: head})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	promotion, sideways := open(b.ben, "prod", "staging"), open(b.ben, "prod", "other")
	b.put(t, b.fork, "staging", "forked", "x") // a branch of that name, and of another repository
	stranger, err := b.OpenPull(ctx, b.repo, b.ada, NewPull{Title: "x", Base: "prod", Head: "ada:staging"})
	if err != nil {
		t.Fatal(err)
	}
	b.put(t, b.repo, "clash", "first", "clash")
	clash := open(b.ben, "prod", "clash")
	rules := Protection{Heads: []string{"staging", "clash"}, Bypass: []string{"Bot"}, EnforceAdmins: true, Checks: &RequiredChecks{Contexts: []string{"ci", "plan"}}, Reviews: &RequiredReviews{Count: 2}}
	lax, locked := rules, rules
	lax.EnforceAdmins, locked.Lock = false, true
	for name, c := range map[string]struct {
		rules Protection
		pull  store.Pull
		by    store.Account
		says  []string
	}{
		"all that is missing":         {rules, promotion, b.ben, []string{`"ci" is expected`, `"plan" is expected`, "At least 2 approving reviews are required"}},
		"a maintainer too":            {rules, promotion, mia, []string{`"ci" is expected`}},
		"another head":                {rules, sideways, bot, []string{"accepts pull requests only from staging or clash in this repository", "open the pull request into staging"}},
		"another head, a maintainer":  {lax, sideways, mia, []string{"accepts pull requests only from staging"}},
		"a fork's branch of the name": {lax, stranger, mia, []string{"accepts pull requests only from staging"}},
		"a conflict":                  {lax, clash, bot, []string{"merge conflicts", `"ci" is expected`}},
		"a lock":                      {locked, promotion, bot, []string{"is locked"}},
		"a lock, a maintainer":        {locked, promotion, mia, []string{"is locked"}},
		"no writer at all":            {lax, promotion, b.ada, []string{"Must have the role"}},
	} {
		b.protect(t, "prod", c.rules)
		_, err := b.Merge(ctx, b.repo, c.pull.Number, c.by, MergeOptions{})
		if err == nil || (!errors.Is(err, ErrNotMergeable) && !errors.Is(err, ErrForbidden)) {
			t.Errorf("%s: merged, or failed otherwise: %v", name, err)
			continue
		}
		for _, say := range c.says {
			if !strings.Contains(err.Error(), say) {
				t.Errorf("%s: %v, want %q", name, err, say)
			}
		}
	}
	b.protect(t, "prod", rules)
	if v, err := b.Judge(ctx, b.repo, promotion); err != nil || v.State != "blocked" || v.Barred || len(v.Reasons) != 3 {
		t.Errorf("the promotion: %+v, %v", v, err)
	}
	for _, method := range []string{"squash", "rebase"} {
		if _, err := b.Merge(ctx, b.repo, promotion.Number, bot, MergeOptions{Method: method}); !errors.Is(err, ErrNotMergeable) || !strings.Contains(err.Error(), "diverge permanently") {
			t.Errorf("%s of a promotion: %v", method, err)
		}
	}
	if p, err := b.Merge(ctx, b.repo, promotion.Number, bot, MergeOptions{}); err != nil || p.Merged.IsZero() {
		t.Errorf("a login that is above checks and reviews: %v", err)
	}
	b.protect(t, "prod", Protection{Checks: &RequiredChecks{Contexts: []string{"ci"}}})
	if p, err := b.Merge(ctx, b.repo, sideways.Number, mia, MergeOptions{}); err != nil || p.Merged.IsZero() {
		t.Errorf("a maintainer whom the rules do not hold for: %v", err)
	}
}

// A fork that its owner deletes takes its own with it, and closes what it sent.
func TestDeleteFork(t *testing.T) {
	b := newBench(t)
	ctx := t.Context()
	p := b.propose(t, "x")
	kept := b.propose(t, "y")
	if _, err := b.Merge(ctx, b.repo, kept.Number, b.ben, MergeOptions{}); err != nil {
		t.Fatal(err)
	}
	grandchild, err := b.Fork(ctx, b.fork, b.ben, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		repo store.Repository
		by   store.Account
		kind error
	}{
		"somebody else's": {b.fork, b.ben, ErrForbidden},
		"no fork":         {b.repo, b.ben, ErrForbidden},
		"with forks":      {b.fork, b.ada, ErrConflict},
	} {
		if err := b.DeleteRepository(ctx, c.repo, c.by); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, f := range []struct {
		repo store.Repository
		by   store.Account
	}{{grandchild, b.ben}, {b.fork, b.ada}} {
		if err := b.DeleteRepository(ctx, f.repo, f.by); err != nil {
			t.Fatal(err)
		}
	}
	if p, err = b.Look(ctx, b.repo, p.Number); err != nil || p.Open() || !p.Merged.IsZero() || p.HeadRepo != nil {
		t.Errorf("what it sent: %+v, %v", p, err)
	}
	if _, err := b.ReopenPull(ctx, b.repo, p.Number, b.ada); !errors.Is(err, ErrInvalid) {
		t.Errorf("opened again: %v", err)
	}
	g, err := b.Git(b.repo)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := g.Resolve(ctx, p.HeadSHA); err != nil || id != p.HeadSHA {
		t.Errorf("its commits are gone: %v", err)
	}
	if again, err := b.Fork(ctx, b.repo, b.ada, ""); err != nil || again.ID == b.fork.ID {
		t.Errorf("forked anew: %d, %v", again.ID, err)
	}
}

func TestOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"Add numpy": "Add numpy", " a\nb\x1b[31m\x00c\u2028d\t": "a b [31m c d", "<b>ünï🎉\u202e": "<b>ünï🎉\u202e", "\n\n": "",
	} {
		if got := OneLine(in); got != want {
			t.Errorf("OneLine(%q) = %q, want %q", in, got, want)
		}
	}
}

// What a check says counts when it comes from the account that is to say it:
// others may write statuses, as those may who push.
func TestChecksOfOneAccount(t *testing.T) {
	b, ctx := newBench(t), t.Context()
	bot := b.account(t, "bot", store.Reviewer)
	b.put(t, b.repo, "prod", "first", "1")
	b.put(t, b.repo, "topic", "second", "2")
	p, err := b.OpenPull(ctx, b.repo, b.ben, NewPull{Title: "x", Base: "prod", Head: "topic"})
	if err != nil {
		t.Fatal(err)
	}
	b.protect(t, "prod", Protection{EnforceAdmins: true, Checks: &RequiredChecks{Contexts: []string{"plan"}, By: "Bot"}})
	say := func(by store.Account, state string) {
		t.Helper()
		if _, err := b.Store.AddStatus(ctx, &store.Status{Repository: b.repo.ID, SHA: p.HeadSHA, Context: "plan", State: state, Creator: by.ID}, false); err != nil {
			t.Fatal(err)
		}
	}
	reasons := func() string {
		t.Helper()
		v, err := b.Judge(ctx, b.repo, p)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(v.Reasons, "; ")
	}
	mergeable := func() bool { t.Helper(); return reasons() == "" }
	for state, want := range map[string]string{"pending": `Required status check "plan" is expected`, "error": `Required status check "plan" is failing`, "failure": `Required status check "plan" is failing`} {
		say(bot, state)
		if got := reasons(); got != want {
			t.Errorf("%s: %q, want %q", state, got, want)
		}
	}
	say(b.ben, "success")
	if mergeable() {
		t.Error("somebody else's status counts")
	}
	if err := b.Store.AddCheck(ctx, &store.Check{Repository: b.repo.ID, SHA: p.HeadSHA, Name: "plan", Status: "completed", Conclusion: "success", Creator: b.ben.ID}); err != nil {
		t.Fatal(err)
	}
	if mergeable() {
		t.Error("somebody else's check run counts")
	}
	say(bot, "success")
	if !mergeable() {
		t.Error("the account's own status does not count")
	}
	say(b.ben, "failure")
	if !mergeable() {
		t.Error("somebody else's newer status hides it")
	}
	say(bot, "failure")
	say(b.ben, "success")
	if mergeable() {
		t.Error("somebody else's newer status mends it")
	}
	b.protect(t, "prod", Protection{EnforceAdmins: true, Checks: &RequiredChecks{Contexts: []string{"plan"}, By: "nobody"}})
	if mergeable() {
		t.Error("an account that is not there lets everything through")
	}
}
