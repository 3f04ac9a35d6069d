package host

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hubship/hubship/devforge/internal/authority"
	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/git"
)

// RefMove is a reference that somebody wants to move. An empty or zero Old makes
// it, an empty or zero New deletes it.
type RefMove struct{ Ref, Old, New string }

// asked is how a movement was asked for.
type asked struct {
	door  authority.Door
	by    int64 // account; 0 at the door of the forge's own records
	force bool
	merge *store.Pull // that is merged
	how   MergeOptions
}

// move moves references, all or none: it is the one way in which any reference
// of any repository moves once the forge has it. It gathers the facts, asks
// authority.Decide, and moves each from where it was said to be, all under the
// lock of the repository's references. Accounts, roles and protections are read
// anew: what is decided is what holds now.
//
// Refusals are by reference; then nothing moved. The error is ErrConflict when a
// reference is elsewhere.
func (h *Host) move(ctx context.Context, repo store.Repository, q asked, moves ...RefMove) (map[string]*authority.Refusal, error) {
	defer h.lockOf(h.doors, repo.ID)()
	repo, err := h.Store.Repository(ctx, repo.ID)
	if err != nil {
		return nil, err
	}
	g, err := h.Git(repo)
	if err != nil {
		return nil, err
	}
	f := facts{Host: h, repo: repo, git: g, asked: q}
	refused := map[string]*authority.Refusal{}
	list, branches := make([]git.RefMove, 0, len(moves)), []RefMove{}
	for _, m := range moves {
		if m, err = f.place(ctx, m); err != nil {
			return nil, err
		}
		facts, err := f.gather(ctx, m)
		if err != nil {
			return nil, err
		}
		if r := authority.Decide(facts); r != nil {
			refused[m.Ref] = r
			continue
		}
		list = append(list, git.RefMove{Name: m.Ref, Old: blank(m.Old), New: blank(m.New)})
		if strings.HasPrefix(m.Ref, heads) {
			branches = append(branches, m)
		}
	}
	if len(refused) > 0 {
		return refused, nil
	}
	// Who moved a branch is written down first: of a crash between the two, what
	// is left is an approval too few.
	for _, m := range branches {
		if err := h.notePusher(ctx, repo, q, m); err != nil {
			return nil, err
		}
	}
	if err := g.MoveRefs(ctx, list...); errors.Is(err, git.ErrMoved) {
		return nil, fail(ErrConflict, "The reference has moved in the meantime: try again.")
	} else if err != nil {
		return nil, err
	}
	return nil, nil
}

const heads = "refs/heads/"

// blank is an object id, or "" for none.
func blank(id string) string {
	if id == authority.Zero {
		return ""
	}
	return id
}

// zero is an object id, or the one that stands for none.
func zero(id string) string {
	if id == "" {
		return authority.Zero
	}
	return id
}

// moveOne is move of one reference, with the refusal as an error.
func (h *Host) moveOne(ctx context.Context, repo store.Repository, q asked, m RefMove) error {
	refused, err := h.move(ctx, repo, q, m)
	if err != nil {
		return err
	}
	return refusal(refused[m.Ref])
}

// refusal is why something is refused, as an error; nil for nothing.
func refusal(r *authority.Refusal) error {
	if r == nil {
		return nil
	}
	kind := map[authority.Reason]error{authority.Forbidden: ErrForbidden, authority.Invalid: ErrInvalid, authority.NotAllowed: ErrNotMergeable}[r.Reason]
	return fail(kind, "%s", r.Text)
}

// record sets a reference of the forge's own about a pull request, or deletes it
// if id is empty, from wherever it is.
func (h *Host) record(ctx context.Context, repo store.Repository, name, id string) error {
	g, err := h.Git(repo)
	if err != nil {
		return err
	}
	old := ""
	if ref, err := g.Ref(ctx, name); err == nil {
		old = ref.ID
	} else if !errors.Is(err, git.ErrNotFound) {
		return err
	}
	if old == id {
		return nil
	}
	return h.moveOne(ctx, repo, asked{door: authority.DoorRecord}, RefMove{name, old, id})
}

// Foresee says why references will not move whatever a push brings: what is
// pushed is not there yet, and is taken for something that adds to what is there
// and alters nothing else. Push decides.
func (h *Host) Foresee(ctx context.Context, repo store.Repository, by store.Account, moves []RefMove) (map[string]string, error) {
	reasons := map[string]string{}
	for _, m := range moves {
		switch r, err := h.foresee(ctx, repo, asked{door: authority.DoorGit, by: by.ID, force: true}, m); {
		case err != nil:
			return nil, err
		case r != nil:
			reasons[m.Ref] = r.Text
		}
	}
	return reasons, nil
}

// foresee says early why a reference will not move, before there is a commit
// that it would move to.
func (h *Host) foresee(ctx context.Context, repo store.Repository, q asked, m RefMove) (*authority.Refusal, error) {
	g, err := h.Git(repo)
	if err != nil {
		return nil, err
	}
	f := facts{Host: h, repo: repo, git: g, asked: q, unseen: true}
	m.Old, m.New = zero(m.Old), zero(m.New)
	facts, err := f.gather(ctx, m)
	if err != nil {
		return nil, err
	}
	return authority.Decide(facts), nil
}

// mayMove is foresee of a branch to which something is to be added.
func (h *Host) mayMove(ctx context.Context, repo store.Repository, q asked, branch, old string) error {
	r, err := h.foresee(ctx, repo, q, RefMove{heads + branch, old, unknown})
	if err != nil {
		return err
	}
	return refusal(r)
}

// unknown stands for a commit that is not made yet.
const unknown = "1111111111111111111111111111111111111111"

// Push moves what a push by an account brought: reasons are by reference, and
// then nothing moved.
func (h *Host) Push(ctx context.Context, repo store.Repository, by store.Account, moves []RefMove) (map[string]string, error) {
	refused, err := h.move(ctx, repo, asked{door: authority.DoorGit, by: by.ID, force: true}, moves...)
	reasons := map[string]string{}
	for ref, r := range refused {
		reasons[ref] = r.Text
	}
	for _, kind := range []error{ErrConflict, ErrInvalid} {
		if errors.Is(err, kind) {
			for _, m := range moves {
				reasons[m.Ref] = err.Error()
			}
			return reasons, nil
		}
	}
	return reasons, err
}

// MakeRef makes a branch or a tag of a commit by the rules of a push. The error
// is ErrConflict when it is there already.
func (h *Host) MakeRef(ctx context.Context, repo store.Repository, by store.Account, name, commit string) error {
	m := RefMove{Ref: name, New: commit}
	if err := h.moveOne(ctx, repo, asked{door: authority.DoorRefs, by: by.ID}, m); err != nil {
		return err
	}
	if branch, ok := strings.CutPrefix(name, heads); ok {
		h.pushedHere(ctx, repo, by, updateOf(branch, m))
	}
	return nil
}

// notePusher writes down who moved a branch. A merge is not counted where the
// branch takes changes by pull request alone: what it brings was approved.
func (h *Host) notePusher(ctx context.Context, repo store.Repository, q asked, m RefMove) error {
	branch := strings.TrimPrefix(m.Ref, heads)
	accounts := []int64{q.by}
	if q.merge != nil {
		p, err := h.Protection(ctx, repo, branch)
		if err != nil {
			return err
		}
		if p != nil && p.Reviews != nil && p.Reviews.Count > 0 {
			return nil
		}
		others, err := h.Store.Pushers(ctx, q.merge.ID)
		if err != nil {
			return err
		}
		accounts = append(append(accounts, q.merge.Author), others...)
	}
	if err := h.Store.AddPushers(ctx, repo.ID, branch, blank(m.Old) == "", accounts...); err != nil {
		return fmt.Errorf("record who pushed: %w", err)
	}
	return nil
}
