package host

import (
	"context"
	"errors"

	"github.com/hubship/hubship/devforge/internal/gitserver"
	"github.com/hubship/hubship/devforge/internal/refs"
	"github.com/hubship/hubship/devforge/internal/store"
)

// Serve lets the embedded Git server ask the Host who may read and push what,
// and tell it of pushes. What opts does with pushes already comes after.
func (h *Host) Serve(opts *gitserver.Options) {
	opts.Root = h.opts.Root
	opts.Authenticate = func(ctx context.Context, secret string, write bool) (string, bool) {
		a, token, err := h.Store.Bearer(ctx, secret)
		if err != nil && !errors.Is(err, store.ErrDenied) {
			h.opts.Log.Error("embedded forge: check a token", "error", err)
		}
		return a.Login, err == nil && (!write || token.Allows(store.ScopeRepo))
	}
	opts.Find = func(ctx context.Context, owner, name string) (string, bool) {
		repo, err := h.Find(ctx, owner, name)
		return repo.Dir, err == nil
	}
	opts.Foresee, opts.Move = h.pushBy(h.Foresee), h.pushBy(h.Push)
	next := opts.OnPush
	opts.OnPush = func(ctx context.Context, dir string, updates []refs.Update, by string) []string {
		if err := h.pushed(ctx, dir, updates, by); err != nil {
			h.opts.Log.Error("embedded forge: record a push; it will be recorded the next time its pull requests are read", "repository", dir, "error", err)
		}
		if next == nil {
			return nil
		}
		return next(ctx, dir, updates, by)
	}
}

// pushBy asks about a push for the Git server.
func (h *Host) pushBy(ask func(context.Context, store.Repository, store.Account, []RefMove) (map[string]string, error)) func(ctx context.Context, dir, login string, moves []gitserver.Move) (map[string]string, error) {
	return func(ctx context.Context, dir, login string, moves []gitserver.Move) (map[string]string, error) {
		repo, by, err := h.pusher(ctx, dir, login)
		if err != nil {
			return nil, err
		}
		list := make([]RefMove, 0, len(moves))
		for _, m := range moves {
			list = append(list, RefMove(m))
		}
		return ask(ctx, repo, by, list)
	}
}

func (h *Host) pusher(ctx context.Context, dir, login string) (store.Repository, store.Account, error) {
	repo, err := h.Store.RepositoryByDir(ctx, dir)
	if err != nil {
		return repo, store.Account{}, err
	}
	by, err := h.Store.AccountByLogin(ctx, login)
	return repo, by, err
}

// pushed is Pushed for the Git server.
func (h *Host) pushed(ctx context.Context, dir string, updates []refs.Update, login string) error {
	repo, by, err := h.pusher(ctx, dir, login)
	if err != nil {
		return err
	}
	return h.Pushed(ctx, repo, updates, by)
}
