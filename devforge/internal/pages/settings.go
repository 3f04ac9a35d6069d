package pages

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/hubship/hubship/devforge/internal/store"
)

// settingsData is what somebody's own page shows.
type settingsData struct {
	Account store.Account
	Tokens  []store.Token
	Secret  string // of a token that was made just now; shown once
	Scopes  []scope
	Done    string
}

type scope struct{ Name, What string }

var scopes = []scope{
	{store.ScopeRepo, "do everything that you can do, including git push, except webhooks"},
	{store.ScopeRead, "read everything"},
	{store.ScopeStatus, "read, and write statuses and check runs"},
	{store.ScopeHooks, "webhooks"},
}

func (v *visit) settings() (view, error) { return v.settingsPage("", "") }

func (v *visit) settingsPage(secret, done string) (view, error) {
	d := settingsData{Account: v.who, Scopes: scopes, Secret: secret, Done: done}
	var err error
	if d.Tokens, err = v.o.Host.Store.Tokens(v.ctx, v.who.ID); err != nil {
		return view{}, err
	}
	return view{Page: "settings", Title: "Settings for " + v.who.Login, Data: d}, nil
}

func (v *visit) changePassword() (view, error) {
	f := v.r.PostForm
	if f.Get("new") != f.Get("again") {
		return view{}, refuse(http.StatusUnprocessableEntity, "The new passwords do not match.", "type the same one twice")
	}
	if ok, err := v.o.Host.Store.BeginTry(v.ctx, v.who.Login, v.from(v.r)); err != nil {
		return view{}, err
	} else if !ok {
		return view{}, refuse(http.StatusTooManyRequests, "Too many wrong passwords: wait five minutes.", "")
	}
	if _, err := v.o.Host.Store.Login(v.ctx, v.who.Login, f.Get("old")); err != nil {
		if errors.Is(err, store.ErrDenied) {
			return view{}, refuse(http.StatusForbidden, "The current password is wrong.", "")
		}
		return view{}, err
	}
	if err := v.o.Host.Store.RightTry(v.ctx, v.who.Login, v.from(v.r)); err != nil {
		return view{}, err
	}
	// It ends every token and every session, also this one.
	if err := v.o.Host.Store.SetPassword(v.ctx, v.who.ID, f.Get("new")); err != nil {
		return view{}, err
	}
	_, secret, err := v.o.Host.Store.StartSession(v.ctx, v.who.ID, bound(v.r))
	if err != nil {
		return view{}, err
	}
	http.SetCookie(v.w, v.cookie(secret, int(store.SessionLife.Seconds())))
	return view{Goto: v.base.Path + "/-/settings"}, nil
}

func (v *visit) createToken() (view, error) {
	f := v.r.PostForm
	days, err := strconv.Atoi(f.Get("days"))
	if err != nil || days < 0 || days > 366 {
		return view{}, refuse(http.StatusUnprocessableEntity, "A token can be valid for 0 to 366 days; 0 means that it never expires.", "")
	}
	_, secret, err := v.o.Host.Store.CreateToken(v.ctx, v.who.ID, f.Get("name"), f["scope"], time.Duration(days)*24*time.Hour)
	if err != nil {
		return view{}, err
	}
	return v.settingsPage(secret, "")
}

func (v *visit) revokeToken() (view, error) {
	id, err := strconv.ParseInt(v.r.PathValue("id"), 10, 64)
	if err != nil {
		return view{}, store.ErrNotFound
	}
	if err := v.o.Host.Store.RevokeToken(v.ctx, v.who.ID, id); err != nil {
		return view{}, err
	}
	return view{Goto: v.base.Path + "/-/settings"}, nil
}
