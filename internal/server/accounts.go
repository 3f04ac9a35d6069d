package server

import (
	"context"
	"errors"
	"io/fs"
	"net/http"

	"github.com/hubship/hubship/internal/api"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server/access"
)

// AccountService keeps the accounts of the embedded forge. An account that is
// there already is fs.ErrExist, an unknown one fs.ErrNotExist. All methods are
// called concurrently.
type AccountService interface {
	// Accounts returns all of them, in the order in which they were made.
	Accounts(ctx context.Context) ([]model.Account, error)
	AddAccount(ctx context.Context, n model.NewAccount) (model.Account, error)
	// AccountToken makes a token and returns its secret, which is not kept.
	AccountToken(ctx context.Context, login string, t model.NewToken) (string, error)
	SetAccountPassword(ctx context.Context, login, password string) error
	SetAccountRole(ctx context.Context, login, role string) (model.Account, error)
	// SetAccountDisabled locks an account out at once, or lets it in again.
	SetAccountDisabled(ctx context.Context, login string, disabled bool) (model.Account, error)
}

// routeAccounts adds the accounts of the embedded forge. Looking at them, too,
// is for processes at the Unix socket alone.
func (s *Server) routeAccounts(mux *http.ServeMux) {
	add := func(pattern string, h func(w http.ResponseWriter, r *http.Request) error) {
		s.add(mux, pattern, access.Accounts, s.answer(h, s.hasAccounts))
	}
	const one = api.Prefix + "/accounts/{login}"
	add("GET "+api.Prefix+"/accounts", s.listAccounts)
	add("POST "+api.Prefix+"/accounts", s.addAccount)
	add("POST "+one+"/token", s.accountToken)
	add("POST "+one+"/password", s.setPassword)
	add("POST "+one+"/role", s.setRole)
	add("POST "+one+"/disabled", s.setDisabled)
}

// hasAccounts refuses what has no meaning where people are GitHub's.
func (s *Server) hasAccounts(*http.Request) error {
	if s.opts.Accounts != nil {
		return nil
	}
	return model.Usage(errors.New("the accounts are GitHub's: this installation has no embedded forge"),
		"add people to the repository on GitHub, under Settings, Collaborators and teams")
}

// noteAccount keeps in the server's log who changed what about an account.
func (s *Server) noteAccount(r *http.Request, what, login string, more ...any) {
	s.log.Info("account: "+what, append([]any{"login", login, "by", peerName(r.Context())}, more...)...)
}

// writeAccountError tells apart an account that is there already.
func writeAccountError(err error) error {
	if errors.Is(err, fs.ErrExist) {
		return &statusError{http.StatusConflict, err}
	}
	return err
}

func (s *Server) listAccounts(w http.ResponseWriter, r *http.Request) error {
	all, err := s.opts.Accounts.Accounts(r.Context())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, all)
	return nil
}

func (s *Server) addAccount(w http.ResponseWriter, r *http.Request) error {
	var n model.NewAccount
	if err := readBody(w, r, &n); err != nil {
		return err
	}
	a, err := s.opts.Accounts.AddAccount(r.Context(), n)
	if err != nil {
		return writeAccountError(err)
	}
	s.noteAccount(r, "added", a.Login, "role", a.Role)
	writeJSON(w, http.StatusCreated, a)
	return nil
}

func (s *Server) accountToken(w http.ResponseWriter, r *http.Request) error {
	var t model.NewToken
	if err := readBody(w, r, &t); err != nil {
		return err
	}
	login := r.PathValue("login")
	secret, err := s.opts.Accounts.AccountToken(r.Context(), login, t)
	if err != nil {
		return err
	}
	s.noteAccount(r, "token made", login, "scopes", t.Scopes, "expires", t.Expires)
	writeJSON(w, http.StatusCreated, api.TokenAnswer{Token: secret})
	return nil
}

func (s *Server) setPassword(w http.ResponseWriter, r *http.Request) error {
	var req api.PasswordRequest
	if err := readBody(w, r, &req); err != nil {
		return err
	}
	login := r.PathValue("login")
	if err := s.opts.Accounts.SetAccountPassword(r.Context(), login, req.Password); err != nil {
		return err
	}
	s.noteAccount(r, "password set", login)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) setRole(w http.ResponseWriter, r *http.Request) error {
	var req api.RoleRequest
	if err := readBody(w, r, &req); err != nil {
		return err
	}
	a, err := s.opts.Accounts.SetAccountRole(r.Context(), r.PathValue("login"), req.Role)
	if err != nil {
		return err
	}
	s.noteAccount(r, "role set", a.Login, "role", a.Role)
	writeJSON(w, http.StatusOK, a)
	return nil
}

func (s *Server) setDisabled(w http.ResponseWriter, r *http.Request) error {
	var req api.DisabledRequest
	if err := readBody(w, r, &req); err != nil {
		return err
	}
	a, err := s.opts.Accounts.SetAccountDisabled(r.Context(), r.PathValue("login"), req.Disabled)
	if err != nil {
		return err
	}
	s.noteAccount(r, "locked or let in", a.Login, "disabled", a.Disabled)
	writeJSON(w, http.StatusOK, a)
	return nil
}
