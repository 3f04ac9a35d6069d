package pages

import (
	"context"
	"errors"
	"net/http"

	"github.com/hubship/hubship/internal/forge/local/store"
)

// Visitor returns who has signed in to the pages in the browser behind a
// request, and what tells later whether that session still lasts. The error is
// store.ErrDenied for nobody.
func Visitor(s *store.Store, r *http.Request) (store.Account, func(context.Context) error, error) {
	cookie, err := r.Cookie(cookieName)
	if errors.Is(err, http.ErrNoCookie) {
		return store.Account{}, nil, store.ErrDenied
	}
	if err != nil {
		return store.Account{}, nil, err
	}
	who, _, err := s.Session(r.Context(), cookie.Value)
	if err != nil {
		return store.Account{}, nil, err
	}
	return who, func(ctx context.Context) error {
		now, _, err := s.Session(ctx, cookie.Value)
		if err == nil && now.ID != who.ID {
			err = store.ErrDenied
		}
		return err
	}, nil
}
