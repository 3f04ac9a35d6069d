package pages

import (
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/expirable"

	"github.com/hubship/hubship/internal/forge/local/store"
)

const cookieName = "hubship_session"

func same(a, b string) bool {
	return b != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// tries counts passwords that were tried, by account and by where from, so that
// nobody can go on guessing. One that was right takes its count back.
type tries struct {
	mu   sync.Mutex
	seen *expirable.LRU[string, int]
}

// Bounds of passwords within the time: of one account from one address, and of
// one account from everywhere, so that who guesses from afar does not lock
// those out at once whom they are after.
const (
	triesTime  = 5 * time.Minute
	triesHere  = 10
	triesInAll = 100
)

func newTries() *tries {
	return &tries{seen: expirable.NewLRU[string, int](10_000, nil, triesTime)}
}

// begin counts a try, before the password is looked at; false when there were
// too many lately.
func (t *tries) begin(login, address string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	all, here := keys(login, address)
	n, _ := t.seen.Get(all)
	m, _ := t.seen.Get(here)
	if n >= triesInAll || m >= triesHere {
		return false
	}
	t.seen.Add(all, n+1)
	t.seen.Add(here, m+1)
	return true
}

// right takes back what a right password counted from an address.
func (t *tries) right(login, address string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all, here := keys(login, address)
	t.seen.Remove(here)
	if n, ok := t.seen.Get(all); ok {
		t.seen.Add(all, max(n-1, 0))
	}
}

func keys(login, address string) (all, here string) {
	login = strings.ToLower(login)
	return "account " + login, "account " + login + " from " + address
}

// from is the address that a request came from; behind a proxy the proxy's.
func from(r *http.Request) string {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return address
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
	if !p.tries.begin(login, from(r)) {
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
	p.tries.right(login, from(r))
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
