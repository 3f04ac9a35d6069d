package server

import (
	"errors"
	"net/http"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server/access"
	"github.com/hubship/hubship/internal/server/signin"
	"github.com/hubship/hubship/internal/server/web"
)

// routeSignIn adds the pages of signing in and out.
func (s *Server) routeSignIn(mux *http.ServeMux) {
	s.add(mux, "GET "+signin.PagePath, access.Enter, http.HandlerFunc(s.signInPage))
	s.add(mux, "GET "+signin.StartPath, access.Enter, s.entering(func(w http.ResponseWriter, r *http.Request) error {
		return s.opts.SignIn.Start(w, r)
	}))
	s.add(mux, "GET "+signin.CallbackPath, access.Enter, s.entering(func(w http.ResponseWriter, r *http.Request) error {
		return s.opts.SignIn.Callback(w, r)
	}))
	s.add(mux, "POST "+signin.OutPath, access.Enter, s.entering(func(w http.ResponseWriter, r *http.Request) error {
		// The guard has looked at the form of who has a session.
		if err := s.opts.SignIn.Out(w, r); err != nil {
			return err
		}
		http.Redirect(w, r, signin.PagePath, http.StatusSeeOther)
		return nil
	}))
}

// entering answers with a page when something is in the way.
func (s *Server) entering(h func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.opts.SignIn == nil {
			s.signInPage(w, r)
			return
		}
		err := h(w, r)
		if err == nil {
			return
		}
		var refused *signin.Refusal
		if errors.As(err, &refused) {
			s.site.Message(w, r, refused.Status, model.WithHint(refused, refused.Hint))
			return
		}
		s.log.Error("signing in or out failed", "path", r.URL.Path, "error", err)
		s.site.Message(w, r, http.StatusServiceUnavailable, errors.New("the forge or hubship's database does not answer; try again later"))
	})
}

// signInPage is the door. It tells nothing of what is behind it.
func (s *Server) signInPage(w http.ResponseWriter, r *http.Request) {
	next := signin.Next(r.URL.Query().Get("next"))
	if visitorOf(r.Context()).who.SignedIn {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return
	}
	data := web.SignIn{Start: signin.StartPath, Next: next, SetUp: "restart the server with hubship up"}
	if s.opts.SignIn != nil {
		data.Title = s.opts.SignIn.Title()
		var ok bool
		if data.SetUp, ok = s.opts.SignIn.SetUp(); ok {
			data.SetUp = ""
		}
	}
	s.site.SignIn(w, r, data)
}
