package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// PasswordRequest replaces an account's password.
type PasswordRequest struct {
	Password string `json:"password"`
}

// RoleRequest replaces an account's role.
type RoleRequest struct {
	Role string `json:"role"`
}

// DisabledRequest locks an account out, or lets it in again.
type DisabledRequest struct {
	Disabled bool `json:"disabled"`
}

// TokenAnswer is a new token, which cannot be had again.
type TokenAnswer struct {
	Token string `json:"token"`
}

// Accounts returns the accounts of the embedded forge, in the order in which
// they were made.
func (c *Client) Accounts(ctx context.Context) ([]model.Account, error) {
	var all []model.Account
	return all, c.get(ctx, "list accounts", "/accounts", nil, &all)
}

// AddAccount makes an account. The error is fs.ErrExist when there is one of
// that login already.
func (c *Client) AddAccount(ctx context.Context, n model.NewAccount) (model.Account, error) {
	var a model.Account
	return a, c.post(ctx, "add account "+n.Login, "/accounts", n, &a)
}

// AccountToken makes a token and returns its secret, which is not kept and
// cannot be had again. It ends after expires; 0 means never. The error is
// fs.ErrNotExist when there is no such account, as it is of the methods below.
func (c *Client) AccountToken(ctx context.Context, login string, scopes []string, expires time.Duration) (string, error) {
	var t TokenAnswer
	err := c.account(ctx, "make a token of account ", login, "token", model.NewToken{Scopes: scopes, Expires: expires}, &t)
	return t.Token, err
}

// SetAccountPassword replaces an account's password.
func (c *Client) SetAccountPassword(ctx context.Context, login, password string) error {
	return c.account(ctx, "set the password of account ", login, "password", PasswordRequest{Password: password}, nil)
}

// SetAccountRole replaces an account's role: one of model.AccountRoles.
func (c *Client) SetAccountRole(ctx context.Context, login, role string) (model.Account, error) {
	var a model.Account
	return a, c.account(ctx, "set the role of account ", login, "role", RoleRequest{Role: role}, &a)
}

// SetAccountDisabled locks an account out at once, or lets it in again.
func (c *Client) SetAccountDisabled(ctx context.Context, login string, disabled bool) (model.Account, error) {
	var a model.Account
	return a, c.account(ctx, "lock or let in account ", login, "disabled", DisabledRequest{Disabled: disabled}, &a)
}

func (c *Client) account(ctx context.Context, op, login, part string, body, into any) error {
	return c.do(ctx, op+login, http.MethodPost, "/accounts/"+url.PathEscape(login)+"/"+part, nil, body, into)
}
