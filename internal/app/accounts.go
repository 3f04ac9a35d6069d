package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/hubship/hubship/internal/forge/local/host"
	"github.com/hubship/hubship/internal/forge/local/store"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server"
)

// tokenMadeHere is what tokens made at the command line are called.
const tokenMadeHere = "hubship account token"

// accounts are those of the embedded forge, as the server hands them out.
type accounts struct {
	store *store.Store
	own   string // login of hubship itself
}

// NewAccounts returns the accounts of an embedded forge. own is the login that
// hubship itself uses, which nobody may change.
func NewAccounts(h *host.Host, own string) server.AccountService {
	return &accounts{store: h.Store, own: own}
}

// accountError is an error about an account that says what kind it is.
type accountError struct {
	text string
	kind error
}

func (e *accountError) Error() string { return e.text }

func (e *accountError) Unwrap() error { return e.kind }

// Accounts implements server.AccountService.
func (s *accounts) Accounts(ctx context.Context) ([]model.Account, error) {
	all, err := s.store.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]model.Account, 0, len(all))
	for _, a := range all {
		out = append(out, accountOf(a))
	}
	return out, nil
}

func accountOf(a store.Account) model.Account {
	out := model.Account{Login: a.Login, Name: a.Name, Role: string(a.Role), Organization: a.Kind == store.Organization, Disabled: a.Disabled, Created: a.Created.Time}
	if out.Organization {
		out.Role = ""
	}
	return out
}

// AddAccount implements server.AccountService.
func (s *accounts) AddAccount(ctx context.Context, n model.NewAccount) (model.Account, error) {
	a, err := s.store.CreateAccount(ctx, store.NewAccount{Login: n.Login, Name: n.Name, Role: store.Role(n.Role), Password: n.Password})
	if errors.Is(err, store.ErrExists) {
		return model.Account{}, model.WithHint(&accountError{fmt.Sprintf("account %s already exists", n.Login), fs.ErrExist},
			fmt.Sprintf("change it with `hubship account role %s ROLE` or `hubship account password %s`", n.Login, n.Login))
	}
	if err != nil {
		return model.Account{}, err
	}
	return accountOf(a), nil
}

// AccountToken implements server.AccountService.
func (s *accounts) AccountToken(ctx context.Context, login string, t model.NewToken) (string, error) {
	if t.Expires < 0 {
		return "", model.Usage(fmt.Errorf("a token cannot have expired %s ago", -t.Expires), "give a time in the future, or never")
	}
	a, err := s.person(ctx, login)
	if err != nil {
		return "", err
	}
	if a.Disabled {
		return "", model.WithHint(fmt.Errorf("account %s is disabled: its tokens do not work", a.Login), fmt.Sprintf("enable it with `hubship account enable %s`", a.Login))
	}
	_, secret, err := s.store.CreateToken(ctx, a.ID, tokenMadeHere, t.Scopes, t.Expires)
	return secret, err
}

// SetAccountPassword implements server.AccountService.
func (s *accounts) SetAccountPassword(ctx context.Context, login, password string) error {
	a, err := s.person(ctx, login)
	if err != nil {
		return err
	}
	return s.store.SetPassword(ctx, a.ID, password)
}

// SetAccountRole implements server.AccountService.
func (s *accounts) SetAccountRole(ctx context.Context, login, role string) (model.Account, error) {
	a, err := s.person(ctx, login)
	if err != nil {
		return model.Account{}, err
	}
	if err := s.store.SetRole(ctx, a.ID, store.Role(role)); err != nil {
		return model.Account{}, err
	}
	return s.again(ctx, a)
}

// SetAccountDisabled implements server.AccountService.
func (s *accounts) SetAccountDisabled(ctx context.Context, login string, disabled bool) (model.Account, error) {
	a, err := s.person(ctx, login)
	if err != nil {
		return model.Account{}, err
	}
	if err := s.store.SetDisabled(ctx, a.ID, disabled); err != nil {
		return model.Account{}, err
	}
	return s.again(ctx, a)
}

func (s *accounts) again(ctx context.Context, a store.Account) (model.Account, error) {
	a, err := s.store.Account(ctx, a.ID)
	return accountOf(a), err
}

// person returns an account that somebody may change: a user's other than
// hubship's own.
func (s *accounts) person(ctx context.Context, login string) (store.Account, error) {
	a, err := s.store.AccountByLogin(ctx, login)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return a, model.WithHint(&accountError{fmt.Sprintf("account %q does not exist", login), fs.ErrNotExist}, "`hubship account list` lists all accounts")
	case err != nil:
		return a, err
	case a.Kind == store.Organization:
		return a, model.Usage(fmt.Errorf("%s is an organization: nobody logs in as it", a.Login), "name a person's account")
	case strings.EqualFold(a.Login, s.own):
		return a, model.Usage(fmt.Errorf("account %s is hubship's own", a.Login), "name a person's account; `hubship account add` creates one")
	}
	return a, nil
}
