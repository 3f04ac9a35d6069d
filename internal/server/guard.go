package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hubship/hubship/internal/api"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server/access"
	"github.com/hubship/hubship/internal/server/signin"
	"github.com/hubship/hubship/internal/server/web"
)

// registered is a route with the action that it is. There is no other way to
// add one, so none is open by oversight.
type registered struct {
	pattern string
	action  access.Action
}

// add registers a route of hubship's own, behind the guard.
func (s *Server) add(mux *http.ServeMux, pattern string, action access.Action, h http.Handler) {
	s.registered = append(s.registered, registered{pattern, action})
	if action != access.Foreign {
		h = s.guard(action, h)
	}
	mux.Handle(pattern, h)
}

// FormHeader carries the token of a form where a request has none.
const FormHeader = "X-Hubship-Form"

// maxForm bounds the body of a form, in bytes.
const maxForm = 64 << 10

type whoKey struct{}

// visitor is who is behind a request, as the guard found out.
type visitor struct {
	who     access.Who
	session signin.Session
}

func visitorOf(ctx context.Context) visitor {
	v, _ := ctx.Value(whoKey{}).(visitor)
	return v
}

// may says whether somebody may do something besides what the route is.
func may(ctx context.Context, a access.Action) bool {
	return access.Decide(visitorOf(ctx).who, a) == access.Allowed
}

// guard lets a request through to a handler if the rule allows its action. What
// comes over the Unix socket is from the operator of this machine; everything
// else is from a browser, and held to what one can be made to send.
func (s *Server) guard(action access.Action, next http.Handler) http.Handler {
	guarded := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := visitor{}
		if _, local := peerOf(r.Context()); local {
			v.who.Local = true
		} else {
			shield(w.Header())
			if !s.sameSite(r) {
				s.refuse(w, r, http.StatusForbidden, model.WithHint(errors.New("this request was sent from another site"), "open the page itself"))
				return
			}
			session, err := signin.Session{}, error(nil)
			if action != access.Public {
				session, err = s.find(r)
			}
			if err != nil && access.Decide(access.Who{}, action) == access.SignFirst {
				s.refuseSession(w, r, err)
				return
			}
			if v.session = session; session.Person.ID != 0 {
				v.who = session.Who()
			}
			if !safe(r.Method) && v.who.SignedIn && !s.sameForm(w, r, session) {
				s.refuse(w, r, http.StatusForbidden, model.WithHint(errors.New("this form is out of date"), "reload the page and send it again"))
				return
			}
		}
		if verdict := access.Decide(v.who, action); verdict != access.Allowed {
			s.refuseVerdict(w, r, v, action, verdict)
			return
		}
		ctx := context.WithValue(r.Context(), whoKey{}, v)
		ctx = web.WithViewer(ctx, viewerOf(v))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
	return s.originChecked(guarded)
}

// originChecked refuses what another origin makes a browser send, by what
// browsers say of themselves.
func (s *Server) originChecked(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	if u, err := url.Parse(s.opts.PublicURL); err == nil && u.Host != "" {
		_ = cross.AddTrustedOrigin(u.Scheme + "://" + u.Host) // a scheme and a host, so it is none that fails
	}
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shield(w.Header())
		s.refuse(w, r, http.StatusForbidden, model.WithHint(errors.New("this request was sent from another site"), "open the page itself"))
	}))
	checked := cross.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, local := peerOf(r.Context()); local {
			next.ServeHTTP(w, r)
			return
		}
		checked.ServeHTTP(w, r)
	})
}

// shield sets what every answer of hubship's own has. Pages that show something
// widen the policy by what they need.
func shield(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	// Hubs, where anybody's code runs, may be other origins of the same site.
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Cookie")
}

func safe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// sameSite says whether a request that carries a cookie may come from where it
// does: from hubship's own pages, or as somebody's way to a page. Other sites,
// hubs of the same domain among them, neither load nor embed anything of
// hubship's. See https://web.dev/articles/fetch-metadata
func (s *Server) sameSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin": // "" is no browser of today; a cookie is then all there is
		return true
	}
	return safe(r.Method) && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}

// sameForm looks for the token of the session's forms.
func (s *Server) sameForm(w http.ResponseWriter, r *http.Request, session signin.Session) bool {
	if given := r.Header.Get(FormHeader); given != "" {
		return signin.SameForm(session, given)
	}
	if kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(kind) != "application/x-www-form-urlencoded" {
		return false
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(requestLimit))
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	return r.ParseForm() == nil && signin.SameForm(session, r.PostForm.Get("form"))
}

// findSession finds who has signed in. Without a way to sign in nobody has.
func (s *Server) findSession(r *http.Request) (signin.Session, error) {
	if s.opts.SignIn == nil {
		return signin.Session{}, signin.ErrNone
	}
	return s.opts.SignIn.Find(r)
}

// viewerOf is what pages show of who looks at them.
func viewerOf(v visitor) web.Viewer {
	out := web.Viewer{Login: v.session.Person.Login, Form: v.session.Form}
	if v.session.Age > access.Fresh+time.Minute {
		out.Note = fmt.Sprintf("The forge does not answer. Your permissions were last checked %d minutes ago; after %d minutes they no longer count.",
			int(v.session.Age.Minutes()), int(access.Patience.Minutes()))
	}
	return out
}

// refuseSession answers somebody whose session does not let them in.
func (s *Server) refuseSession(w http.ResponseWriter, r *http.Request, err error) {
	var none *signin.NoPermission
	switch {
	case errors.As(err, &none):
		s.opts.SignIn.Clear(w)
		s.refuse(w, r, http.StatusForbidden, model.WithHint(none, "ask the repository's maintainers for one, then sign in again"))
	case errors.Is(err, signin.ErrNone):
		s.refuseVerdict(w, r, visitor{}, access.SeeStatus, access.SignFirst)
	default:
		// What is wrong is for the log: who asks is not known.
		s.log.Warn("it is not known who asks", "path", r.URL.Path, "error", err)
		s.refuseVerdict(w, r, visitor{}, access.SeeStatus, access.NotKnown)
	}
}

// refuseVerdict says why not, and where to go.
func (s *Server) refuseVerdict(w http.ResponseWriter, r *http.Request, v visitor, action access.Action, verdict access.Verdict) {
	switch verdict {
	case access.SignFirst:
		if s.wantsPage(r) && web.Embedded(r) {
			// Pages for signing in show themselves in no frame.
			s.site.SignFirst(w, r, signin.StartPath+"?"+url.Values{"next": {s.around(r)}}.Encode())
			return
		}
		if s.wantsPage(r) {
			http.Redirect(w, r, signin.PagePath+"?"+url.Values{"next": {signin.Next(r.URL.RequestURI())}}.Encode(), http.StatusSeeOther)
			return
		}
		s.refuse(w, r, http.StatusUnauthorized, model.WithHint(errors.New("sign in first"), "open hubship in a browser, or use the command line on its machine"))
	case access.HereOnly:
		s.refuse(w, r, http.StatusForbidden, model.WithHint(errors.New("this is accepted only over the Unix socket"), "use the command line on hubship's machine: hubship --help"))
	case access.NotKnown:
		w.Header().Set("Retry-After", "30")
		s.refuse(w, r, http.StatusServiceUnavailable, model.WithHint(errors.New("the forge does not say what your account may do"), "try again when it answers"))
	default:
		row, _ := access.Find(action)
		s.refuse(w, r, http.StatusForbidden, model.WithHint(fmt.Errorf("your account may not %s", action), fmt.Sprintf("it needs the permission %s on the deployment repository, but has %s", row.Least, v.who.Permission)))
	}
}

// around is the page that embeds the one that is asked for, or else the latter
// by itself, for who goes away to sign in.
func (s *Server) around(r *http.Request) string {
	from, err := url.Parse(r.Referer())
	if err != nil || from.Path == "" || from.Path == r.URL.Path || !s.isOwnName(hostName(from.Host)) {
		return signin.Next(r.URL.Path)
	}
	return signin.Next(from.RequestURI())
}

// refuse answers with a page, JSON or a line, as what was asked for is one.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, err error) {
	switch {
	case strings.HasPrefix(r.URL.Path, api.Prefix+"/"):
		writeError(w, &statusError{status, err}, nil)
	case s.wantsPage(r):
		s.site.Message(w, r, status, err)
	default:
		text := "hubship: " + err.Error()
		if hint := model.HintOf(err); hint != "" {
			text += ": " + hint
		}
		http.Error(w, text, status)
	}
}

// alive says whether who began a stream may go on: the session lasts, and the
// permission is still enough.
func (s *Server) alive(ctx context.Context, action access.Action) bool {
	v := visitorOf(ctx)
	if v.who.Local {
		return true
	}
	if s.opts.SignIn == nil || !v.who.SignedIn {
		return false
	}
	now, err := s.opts.SignIn.Again(ctx, v.session)
	return err == nil && access.Decide(now.Who(), action) == access.Allowed
}
