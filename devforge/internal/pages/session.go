package pages

import (
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/clientaddr"
	"github.com/hubship/hubship/internal/loopback"
)

// cookieName is the one cookie's. Where people come over HTTPS the browser holds
// by the prefix that it was set here, over HTTPS, for this host alone: a hub of
// the same domain can set none of that name.
func cookieName(secure bool) string {
	if secure {
		return "__Host-hubship_forge"
	}
	return "hubship_forge"
}

// secretOf is what opens the session of a request, "" for none: what its browser
// has, for programs of the same user of this machine. When it has several, one was
// put there by another host of the same domain: which one is not to be told, so
// none of them counts.
func secretOf(r *http.Request, secure bool) string {
	found := r.CookiesNamed(cookieName(secure))
	if len(found) != 1 {
		return ""
	}
	return bound(r)(found[0].Value)
}

// bound binds a session to who begins it.
func bound(r *http.Request) func(secret string) string {
	return func(secret string) string { return loopback.Bind(secret, loopback.Whose(r.Context())) }
}

func same(a, b string) bool {
	return b != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// from is the address that a request came from, behind trusted proxies the
// client's.
func (p *pages) from(r *http.Request) string {
	return clientaddr.Of(r, p.o.TrustedProxies).String()
}

// signInData is what the page to sign in shows.
type signInData struct{ Login, Next, Failed string }

func (p *pages) signInPage(w http.ResponseWriter, r *http.Request) {
	p.show(w, r, nil, view{Page: "signin", Title: "Sign in", Data: signInData{Next: p.next(r.URL.Query().Get("next"))}}, nil)
}

// next is where to go after signing in: a page of the forge, never another
// site.
func (p *pages) next(to string) string {
	u, err := url.Parse(to)
	if err == nil && u.Scheme == "" && u.Host == "" && strings.HasPrefix(path.Clean(u.Path)+"/", p.base.Path+"/") &&
		strings.HasPrefix(u.Path, p.base.Path+"/") && !strings.Contains(to, "\\") {
		return to
	}
	return p.base.Path + "/"
}

func (p *pages) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		p.show(w, r, nil, view{}, refuse(http.StatusBadRequest, "The form is malformed.", ""))
		return
	}
	login, next := strings.TrimSpace(r.PostForm.Get("login")), p.next(r.PostForm.Get("next"))
	again := func(status int, failed string) {
		p.show(w, r, nil, view{Page: "signin", Title: "Sign in", Status: status, Data: signInData{login, next, failed}}, nil)
	}
	if ok, err := p.o.Host.Store.BeginTry(r.Context(), login, p.from(r)); err != nil {
		p.show(w, r, nil, view{}, err)
		return
	} else if !ok {
		again(http.StatusTooManyRequests, "Too many wrong passwords: wait five minutes.")
		return
	}
	who, err := p.o.Host.Store.Login(r.Context(), login, r.PostForm.Get("password"))
	if errors.Is(err, store.ErrDenied) {
		again(http.StatusForbidden, "Wrong account name or password.")
		return
	}
	if err != nil {
		p.show(w, r, nil, view{}, err)
		return
	}
	if err := p.o.Host.Store.RightTry(r.Context(), login, p.from(r)); err != nil {
		p.show(w, r, nil, view{}, err)
		return
	}
	// Who was here before has gone.
	if before := secretOf(r, p.o.Secure); before != "" {
		if err := p.o.Host.Store.EndSession(r.Context(), before); err != nil {
			p.show(w, r, nil, view{}, err)
			return
		}
	}
	_, secret, err := p.o.Host.Store.StartSession(r.Context(), who.ID, bound(r))
	if err != nil {
		p.show(w, r, nil, view{}, err)
		return
	}
	http.SetCookie(w, p.cookie(secret, int(store.SessionLife.Seconds())))
	p.show(w, r, nil, view{Goto: next}, nil)
}

// cookie has no Domain: hubs are other hosts. The prefix of its name wants the
// path of the whole host.
func (p *pages) cookie(secret string, age int) *http.Cookie {
	c := &http.Cookie{Name: cookieName(p.o.Secure), Value: secret, Path: p.base.Path, MaxAge: age, HttpOnly: true, Secure: p.o.Secure, SameSite: http.SameSiteLaxMode}
	if p.o.Secure {
		c.Path = "/"
	}
	return c
}

func (v *visit) signOut() (view, error) {
	if err := v.o.Host.Store.EndSession(v.ctx, secretOf(v.r, v.o.Secure)); err != nil {
		return view{}, err
	}
	http.SetCookie(v.w, v.cookie("", -1))
	return view{Goto: v.base.Path + "/-/signin"}, nil
}
