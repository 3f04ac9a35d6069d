package pages

import (
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/hubship/hubship/internal/clientaddr"
	"github.com/hubship/hubship/internal/forge/local/store"
)

const cookieName = "hubship_session"

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
		p.show(w, r, nil, view{}, refuse(http.StatusBadRequest, "The form is broken.", ""))
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
		again(http.StatusForbidden, "There is no such account, or the password is another one.")
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
	_, secret, err := p.o.Host.Store.StartSession(r.Context(), who.ID)
	if err != nil {
		p.show(w, r, nil, view{}, err)
		return
	}
	http.SetCookie(w, p.cookie(secret, int(store.SessionLife.Seconds())))
	p.show(w, r, nil, view{Goto: next}, nil)
}

// cookie opens the session. It goes to this host alone, not to the hubs, which
// have names of their own.
func (p *pages) cookie(secret string, age int) *http.Cookie {
	return &http.Cookie{
		Name: cookieName, Value: secret, Path: p.base.Path, MaxAge: age,
		HttpOnly: true, Secure: p.base.Scheme == "https", SameSite: http.SameSiteLaxMode,
	}
}

func (v *visit) signOut() (view, error) {
	cookie, err := v.r.Cookie(cookieName)
	if err != nil {
		return view{}, err
	}
	if err := v.o.Host.Store.EndSession(v.ctx, cookie.Value); err != nil {
		return view{}, err
	}
	http.SetCookie(v.w, v.cookie("", -1))
	return view{Goto: v.base.Path + "/-/signin"}, nil
}
