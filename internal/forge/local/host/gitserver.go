package host

import (
	"context"
	"errors"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/local"
	"github.com/hubship/hubship/internal/forge/local/store"
)

// Serve lets the embedded Git server ask the Host who may read and push what,
// and tell it of pushes. What opts does with pushes already comes after.
func (h *Host) Serve(opts *local.Options) {
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
	opts.Authorize = h.authorize
	opts.Protected = func(dir string) []string {
		ctx := context.Background()
		repo, err := h.Store.RepositoryByDir(ctx, dir)
		if errors.Is(err, store.ErrNotFound) {
			return []string{local.AllBranches}
		}
		if err == nil {
			var branches []string
			if branches, err = h.ForwardOnly(ctx, repo); err == nil {
				return branches
			}
		}
		h.opts.Log.Error("embedded forge: read what is protected", "repository", dir, "error", err)
		return []string{local.AllBranches}
	}
	next := opts.OnPush
	opts.OnPush = func(ctx context.Context, dir string, updates []forge.RefUpdate, by string) []string {
		if err := h.pushed(ctx, dir, updates, by); err != nil {
			h.opts.Log.Error("embedded forge: note a push; the next look at its pull requests will", "repository", dir, "error", err)
		}
		if next == nil {
			return nil
		}
		return next(ctx, dir, updates, by)
	}
}

func (h *Host) authorize(ctx context.Context, dir, login string, moves []local.Move) (map[string]string, error) {
	repo, err := h.Store.RepositoryByDir(ctx, dir)
	if err != nil {
		return nil, err
	}
	by, err := h.Store.AccountByLogin(ctx, login)
	if err != nil {
		return nil, err
	}
	list := make([]RefMove, 0, len(moves))
	for _, m := range moves {
		list = append(list, RefMove(m))
	}
	return h.AllowPush(ctx, repo, by, list)
}

// pushed is Pushed for the Git server. Who has the server's own token pushes
// in the name of the repository's owner.
func (h *Host) pushed(ctx context.Context, dir string, updates []forge.RefUpdate, login string) error {
	repo, err := h.Store.RepositoryByDir(ctx, dir)
	if err != nil {
		return err
	}
	by, err := h.Store.AccountByLogin(ctx, login)
	if errors.Is(err, store.ErrNotFound) {
		by, err = h.Store.Account(ctx, repo.Owner)
	}
	if err != nil {
		return err
	}
	return h.Pushed(ctx, repo, updates, by)
}
