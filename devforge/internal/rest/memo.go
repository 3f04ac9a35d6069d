package rest

import (
	"context"

	"github.com/hubship/hubship/devforge/internal/store"
)

// memo remembers what the rows of one list share: their repositories, and the
// accounts of commits. It is for one goroutine.
type memo struct {
	accounts     map[int64]store.Account
	repositories map[int64]obj
	authors      map[string]any // by address
}

type memoKey struct{}

// shared lets what is rendered with ctx be looked up once. Nothing that is
// rendered may change meanwhile.
func shared(ctx context.Context) context.Context {
	return context.WithValue(ctx, memoKey{}, &memo{accounts: map[int64]store.Account{}, repositories: map[int64]obj{}, authors: map[string]any{}})
}

// once returns what a memo has, or else what find finds.
func once[K comparable, V any](ctx context.Context, in func(*memo) map[K]V, key K, find func() (V, error)) (V, error) {
	m, ok := ctx.Value(memoKey{}).(*memo)
	if !ok {
		return find()
	}
	if v, ok := in(m)[key]; ok {
		return v, nil
	}
	v, err := find()
	if err == nil {
		in(m)[key] = v
	}
	return v, err
}

// account returns an account by its id.
func (a *API) account(ctx context.Context, id int64) (store.Account, error) {
	return once(ctx, func(m *memo) map[int64]store.Account { return m.accounts }, id, func() (store.Account, error) { return a.store.Account(ctx, id) })
}
