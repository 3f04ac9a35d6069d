package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hubship/hubship/devforge/internal/authority"
	"github.com/hubship/hubship/devforge/internal/store"
)

// Verdict is whether a pull request can be merged.
type Verdict struct {
	// Mergeable says whether base and head go together; nil if that is not
	// known.
	Mergeable *bool
	// State is clean, dirty, blocked, behind, unstable, draft or unknown, as
	// in GitHub's mergeable_state.
	State string
	// Reasons say all that is in the way.
	Reasons []string
	// Barred says that nobody is above one of the reasons: a lock, or a head
	// that the base does not take.
	Barred bool
}

// block notes a reason. The state stays that of the gravest.
func (v *Verdict) block(state, format string, args ...any) {
	order := []string{"clean", "behind", "blocked", "draft", "dirty"}
	if slices.Index(order, state) > slices.Index(order, v.State) {
		v.State = state
	}
	v.Reasons = append(v.Reasons, fmt.Sprintf(format, args...))
}

// checkState is how a status or check run of a name stands; the worse is the
// greater.
type checkState int

const (
	passing checkState = iota
	pending
	failing
)

// checkStates returns how what is said of a commit stands, by its name, as those
// accounts say that count. With a pull request only statuses of its merge count,
// as it would be merged now: check runs are a commit's alone.
func (h *Host) checkStates(ctx context.Context, repo store.Repository, sha string, counts func(creator int64) bool, merge *store.Pull) (map[string]checkState, error) {
	statuses, err := h.Store.Statuses(ctx, repo.ID, sha)
	if err != nil {
		return nil, err
	}
	runs, err := h.Store.Checks(ctx, repo.ID, sha)
	if err != nil {
		return nil, err
	}
	statuses = slices.DeleteFunc(statuses, func(s store.Status) bool { return !counts(s.Creator) })
	runs = slices.DeleteFunc(runs, func(c store.Check) bool { return !counts(c.Creator) || merge != nil })
	if merge != nil {
		statuses = slices.DeleteFunc(statuses, func(s store.Status) bool { return s.BaseRef != merge.BaseRef || s.BaseSHA != merge.TestBase })
	}
	states := map[string]checkState{}
	for _, s := range statuses { // newest first
		if _, ok := states[s.Context]; ok {
			continue
		}
		switch s.State {
		case "success":
			states[s.Context] = passing
		case "pending":
			states[s.Context] = pending
		default:
			states[s.Context] = failing
		}
	}
	seen := map[string]bool{}
	for _, c := range runs {
		if seen[c.Name] {
			continue
		}
		seen[c.Name] = true
		state := failing
		switch {
		case c.Status != "completed":
			state = pending
		case slices.Contains([]string{"success", "neutral", "skipped"}, c.Conclusion):
			state = passing
		}
		states[c.Name] = max(state, states[c.Name]) // a status and a check run of one name: both count
	}
	return states, nil
}

// missingChecks says, in GitHub's words, which required checks keep a pull request
// from being merged.
func (h *Host) missingChecks(ctx context.Context, repo store.Repository, rules *Protection, p store.Pull) ([]string, error) {
	counts := func(int64) bool { return true }
	if rules.Checks.By != "" {
		by, err := h.Store.AccountByLogin(ctx, rules.Checks.By)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, err
		}
		counts = func(creator int64) bool { return err == nil && creator == by.ID }
	}
	var merge *store.Pull
	if rules.Checks.Merge {
		merge = &p
	}
	states, err := h.checkStates(ctx, repo, p.HeadSHA, counts, merge)
	if err != nil {
		return nil, err
	}
	var missing []string
	stale := false
	for _, c := range rules.Checks.Contexts {
		switch state, there := states[c]; {
		case there && state == failing:
			missing = append(missing, fmt.Sprintf("Required status check %q is failing", c))
		case !there || state != passing:
			missing = append(missing, fmt.Sprintf("Required status check %q is expected", c))
			stale = stale || !there && merge != nil
		}
	}
	if stale {
		missing = append(missing, fmt.Sprintf("The merge of %.12s into %s at %.12s has not been checked yet", p.HeadSHA, p.BaseRef, p.TestBase))
	}
	return missing, nil
}

// Opinions returns the newest review of each reviewer that approves, asks for
// changes or was dismissed, by author, of those whose reviews count.
func (h *Host) Opinions(ctx context.Context, repo store.Repository, p store.Pull) (map[int64]store.Review, error) {
	list, err := h.Store.Reviews(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	opinions := map[int64]store.Review{}
	for _, r := range list {
		if r.State == store.Commented || r.Author == p.Author {
			continue
		}
		a, err := h.Store.Account(ctx, r.Author)
		if err != nil {
			return nil, err
		}
		if role, err := h.Role(a, repo); err != nil {
			return nil, err
		} else if !role.Writes() {
			continue
		}
		// An older forge kept drafts: these count from when they were submitted.
		if old, ok := opinions[r.Author]; !ok || !r.Submitted.Before(old.Submitted.Time) {
			opinions[r.Author] = r
		}
	}
	return opinions, nil
}

// Counts says why a review counts for nothing as an approval of where a pull
// request is, or "" when it counts.
func (h *Host) Counts(ctx context.Context, repo store.Repository, p store.Pull, r store.Review) (string, error) {
	if r.State != store.Approved {
		return "it does not approve", nil
	}
	a, err := h.Store.Account(ctx, r.Author)
	if err != nil {
		return "", err
	}
	role, err := h.Role(a, repo)
	if err != nil {
		return "", err
	}
	pushers, err := h.Store.Pushers(ctx, p.ID)
	if err != nil {
		return "", err
	}
	return authority.Approval{
		Reviewer: a.ID, Role: role, Disabled: a.Disabled, Commit: r.SHA, Author: p.Author, Head: p.HeadSHA, Pushed: slices.Contains(pushers, a.ID),
	}.Counts(), nil
}

// notePushersBefore takes over who moved the head's branch before the pull
// request was opened.
func (h *Host) notePushersBefore(ctx context.Context, p store.Pull) error {
	return h.Store.TakeOverPushers(ctx, p.ID, *p.HeadRepo, p.HeadRef)
}

// Judge says whether an open pull request can be merged, as it was last looked
// at (see Refresh).
func (h *Host) Judge(ctx context.Context, repo store.Repository, p store.Pull) (Verdict, error) {
	if !p.Open() || p.TestBase == "" {
		return Verdict{State: "unknown"}, nil
	}
	ok := p.TestSHA != ""
	v := Verdict{Mergeable: &ok, State: "clean"}
	if !ok {
		v.block("dirty", "Pull Request has merge conflicts")
	}
	if p.Draft {
		v.block("draft", "Pull Request is still a draft")
	}
	rules, err := h.Protection(ctx, repo, p.BaseRef)
	if err != nil {
		return v, err
	}
	if err := h.judgeRules(ctx, repo, p, rules, &v); err != nil {
		return v, err
	}
	if v.State != "clean" {
		return v, nil
	}
	states, err := h.checkStates(ctx, repo, p.HeadSHA, func(int64) bool { return true }, nil)
	if err != nil {
		return v, err
	}
	for _, s := range states {
		if s != passing {
			v.State = "unstable"
		}
	}
	return v, nil
}

func (h *Host) judgeRules(ctx context.Context, repo store.Repository, p store.Pull, rules *Protection, v *Verdict) error {
	if rules == nil {
		return nil
	}
	block := func(format string, args ...any) { v.block("blocked", format, args...) }
	if rules.Lock {
		block("The branch %s is locked", p.BaseRef)
		v.Barred = true
	}
	if len(rules.Heads) > 0 && (p.HeadRepo == nil || *p.HeadRepo != repo.ID || !slices.Contains(rules.Heads, p.HeadRef)) {
		heads := strings.Join(rules.Heads, " or ")
		block("The branch %s accepts pull requests only from %s in this repository: open the pull request into %s instead, from where the change is promoted", p.BaseRef, heads, heads)
		v.Barred = true
	}
	if rules.Reviews != nil {
		opinions, err := h.Opinions(ctx, repo, p)
		if err != nil {
			return err
		}
		approvals, against := 0, 0
		for _, r := range opinions {
			counts, err := h.Counts(ctx, repo, p, r)
			switch {
			case err != nil:
				return err
			case r.State == store.ChangesRequested:
				against++
			case counts == "":
				approvals++
			}
		}
		if against > 0 {
			block("Changes have been requested")
		}
		if need := rules.Reviews.Count; approvals < need {
			block("At least %d approving %s required by reviewers with write access", need, map[bool]string{true: "review is", false: "reviews are"}[need == 1])
		}
	}
	if rules.Checks == nil {
		return nil
	}
	missing, err := h.missingChecks(ctx, repo, rules, p)
	if err != nil {
		return err
	}
	for _, why := range missing {
		block("%s", why)
	}
	if !rules.Checks.Strict {
		return nil
	}
	g, err := h.Git(repo)
	if err != nil {
		return err
	}
	upToDate, err := g.IsAncestor(ctx, p.TestBase, p.HeadSHA)
	if err != nil {
		return err
	}
	if !upToDate {
		v.block("behind", "Head branch is out of date with the base branch")
	}
	return nil
}

// IsNotFound says that an error is about something that does not exist.
func IsNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }
