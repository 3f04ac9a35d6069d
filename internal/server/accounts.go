package server

import (
	"errors"
	"net/http"

	"github.com/hubship/hubship/internal/api"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server/access"
)

// ByHeader names the user who asks for something about an account, to whoever
// serves that.
const ByHeader = "X-Hubship-By"

// routeAccounts adds the accounts of the embedded forge, which serves them
// itself. Looking at them, too, is for processes at the Unix socket alone.
func (s *Server) routeAccounts(mux *http.ServeMux) {
	const all, one = api.Prefix + "/accounts", api.Prefix + "/accounts/{login}"
	for _, pattern := range []string{
		"GET " + all, "POST " + all, "POST " + one + "/token", "POST " + one + "/password", "POST " + one + "/role", "POST " + one + "/disabled",
	} {
		s.add(mux, pattern, access.Accounts, s.answer(s.account))
	}
}

// account passes a request on, unless people are GitHub's.
func (s *Server) account(w http.ResponseWriter, r *http.Request) error {
	if s.opts.Accounts == nil {
		return model.Usage(errors.New("the accounts are GitHub's: this installation has no embedded forge"),
			"add people to the repository on GitHub, under Settings, Collaborators and teams")
	}
	r = r.Clone(r.Context())
	r.Header.Set(ByHeader, peerName(r.Context()))
	s.opts.Accounts.ServeHTTP(w, r)
	return nil
}
