package pages

import (
	"context"
	"net/http"

	"github.com/hubship/hubship/devforge/internal/store"
)

// Visitor returns who has signed in to the pages in the browser behind a
// request, and what tells later whether that session still lasts. The error is
// store.ErrDenied for nobody.
func Visitor(s *store.Store, secure bool, r *http.Request) (store.Account, func(context.Context) error, error) {
	secret := secretOf(r, secure)
	if secret == "" {
		return store.Account{}, nil, store.ErrDenied
	}
	who, _, err := s.Session(r.Context(), secret)
	if err != nil {
		return store.Account{}, nil, err
	}
	return who, func(ctx context.Context) error {
		now, _, err := s.Session(ctx, secret)
		if err == nil && now.ID != who.ID {
			err = store.ErrDenied
		}
		return err
	}, nil
}
