package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/model"
)

// adminPrefix begins the paths of everything but health.
const adminPrefix = "/api/v1"

// byHeader names who changes something, as hubship's server found out.
const byHeader = "X-Hubship-By"

// health is the answer of /-/health: which program serves which settings.
type health struct {
	Version  string `json:"version"`
	Settings string `json:"settings"` // digest of the settings file
	PID      int    `json:"pid"`
}

// admin serves the accounts to people who may run hubship on this machine, and
// what tests need to set up repositories.
type admin struct {
	host  *host.Host
	own   string // login of hubship itself
	about health
	// public is the socket that everybody else comes by.
	public string
	log    *slog.Logger
}

func newAdmin(h *host.Host, own, public string, about health, log *slog.Logger) http.Handler {
	about.PID = os.Getpid()
	a := &admin{host: h, own: own, public: public, about: about, log: log}
	mux := http.NewServeMux()
	add := func(pattern string, h func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := h(w, r); err != nil {
				writeError(w, err)
			}
		})
	}
	const accounts, one = adminPrefix + "/accounts", adminPrefix + "/accounts/{login}"
	add("GET /-/health", a.health)
	add("GET "+accounts, a.list)
	add("POST "+accounts, a.addAccount)
	add("POST "+one+"/token", a.token)
	add("POST "+one+"/password", a.setPassword)
	add("POST "+one+"/role", a.setRole)
	add("POST "+one+"/disabled", a.setDisabled)
	add("POST "+adminPrefix+"/repositories", a.addRepository)
	add("/", func(_ http.ResponseWriter, r *http.Request) error {
		return &statusError{http.StatusNotFound, fmt.Errorf("%s %s: not found", r.Method, r.URL.Path)}
	})
	return mux
}

// health says how the forge is: whether its database and its public socket answer.
func (a *admin) health(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), healthLimit)
	defer cancel()
	if _, err := a.host.Store.AccountByLogin(ctx, a.own); err != nil {
		return &statusError{http.StatusServiceUnavailable, fmt.Errorf("the database does not answer: %w", err)}
	}
	if err := answers(ctx, a.public); err != nil {
		return &statusError{http.StatusServiceUnavailable, fmt.Errorf("the public socket does not answer: %w", err)}
	}
	return writeJSON(w, http.StatusOK, a.about)
}

// healthLimit bounds how long the forge asks itself: hubship waits 2 s.
const healthLimit = 1500 * time.Millisecond

// answers asks the API at a socket for something that takes an account.
func answers(ctx context.Context, socket string) error {
	var d net.Dialer
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", socket)
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://forge/api/v3/user", nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close() // whatever else it says
	if resp.StatusCode != http.StatusUnauthorized {
		return fmt.Errorf("unexpected answer: %s", resp.Status)
	}
	return nil
}

// note logs who changed what about an account.
func (a *admin) note(r *http.Request, what, login string, more ...any) {
	a.log.Info("account: "+what, append([]any{"login", login, "by", r.Header.Get(byHeader)}, more...)...)
}

func (a *admin) list(w http.ResponseWriter, r *http.Request) error {
	all, err := a.host.Store.Accounts(r.Context())
	if err != nil {
		return err
	}
	out := make([]model.Account, 0, len(all))
	for _, one := range all {
		out = append(out, accountOf(one))
	}
	return writeJSON(w, http.StatusOK, out)
}

func accountOf(a store.Account) model.Account {
	out := model.Account{Login: a.Login, Name: a.Name, Role: string(a.Role), Organization: a.Kind == store.Organization, Disabled: a.Disabled, Created: a.Created.Time}
	if out.Organization {
		out.Role = ""
	}
	return out
}

// newAccount is model.NewAccount with what the command line does not ask for.
type newAccount struct {
	model.NewAccount
	Email string `json:"email"` // empty for one that receives nothing
	Kind  string `json:"kind"`  // "user" or "organization"; empty for a user
}

func (a *admin) addAccount(w http.ResponseWriter, r *http.Request) error {
	var n newAccount
	if err := readBody(w, r, &n); err != nil {
		return err
	}
	kind, ok := map[string]string{"": store.User, "user": store.User, "organization": store.Organization}[n.Kind]
	if !ok {
		return model.Usage(fmt.Errorf("%q is not a kind of account", n.Kind), "use user or organization")
	}
	made, err := a.host.Store.CreateAccount(r.Context(), store.NewAccount{Login: n.Login, Name: n.Name, Email: n.Email, Kind: kind, Role: store.Role(n.Role), Password: n.Password})
	if errors.Is(err, store.ErrExists) {
		return model.WithHint(&accountError{fmt.Sprintf("account %s already exists", n.Login), fs.ErrExist},
			fmt.Sprintf("change it with `hubship account role %s ROLE` or `hubship account password %s`", n.Login, n.Login))
	}
	if err != nil {
		return err
	}
	a.note(r, "added", made.Login, "role", made.Role)
	return writeJSON(w, http.StatusCreated, accountOf(made))
}

// madeByAdmin is what tokens made here are called.
const madeByAdmin = "hubship account token"

func (a *admin) token(w http.ResponseWriter, r *http.Request) error {
	var t model.NewToken
	if err := readBody(w, r, &t); err != nil {
		return err
	}
	if t.Expires < 0 {
		return model.Usage(fmt.Errorf("a token cannot have expired %s ago", -t.Expires), "give a time in the future, or never")
	}
	who, err := a.person(r)
	if err != nil {
		return err
	}
	if who.Disabled {
		return model.WithHint(fmt.Errorf("account %s is disabled: its tokens do not work", who.Login), fmt.Sprintf("enable it with `hubship account enable %s`", who.Login))
	}
	_, secret, err := a.host.Store.CreateToken(r.Context(), who.ID, madeByAdmin, t.Scopes, t.Expires)
	if err != nil {
		return err
	}
	a.note(r, "token made", who.Login, "scopes", t.Scopes, "expires", t.Expires)
	return writeJSON(w, http.StatusCreated, struct {
		Token string `json:"token"`
	}{secret})
}

func (a *admin) setPassword(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Password string `json:"password"`
	}
	who, err := a.personFor(w, r, &req)
	if err != nil {
		return err
	}
	if err := a.host.Store.SetPassword(r.Context(), who.ID, req.Password); err != nil {
		return err
	}
	a.note(r, "password set", who.Login)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *admin) setRole(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Role string `json:"role"`
	}
	who, err := a.personFor(w, r, &req)
	if err != nil {
		return err
	}
	if err := a.host.Store.SetRole(r.Context(), who.ID, store.Role(req.Role)); err != nil {
		return err
	}
	a.note(r, "role set", who.Login, "role", req.Role)
	return a.answerAgain(r.Context(), w, who)
}

func (a *admin) setDisabled(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Disabled bool `json:"disabled"`
	}
	who, err := a.personFor(w, r, &req)
	if err != nil {
		return err
	}
	if err := a.host.Store.SetDisabled(r.Context(), who.ID, req.Disabled); err != nil {
		return err
	}
	a.note(r, "locked or let in", who.Login, "disabled", req.Disabled)
	return a.answerAgain(r.Context(), w, who)
}

// answerAgain answers with an account as it is now.
func (a *admin) answerAgain(ctx context.Context, w http.ResponseWriter, who store.Account) error {
	now, err := a.host.Store.Account(ctx, who.ID)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, accountOf(now))
}

// personFor is person for a request with a body.
func (a *admin) personFor(w http.ResponseWriter, r *http.Request, body any) (store.Account, error) {
	if err := readBody(w, r, body); err != nil {
		return store.Account{}, err
	}
	return a.person(r)
}

// person returns the account of the path, if it is one that somebody may change:
// a user's other than hubship's own.
func (a *admin) person(r *http.Request) (store.Account, error) {
	login := r.PathValue("login")
	who, err := a.host.Store.AccountByLogin(r.Context(), login)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return who, model.WithHint(&accountError{fmt.Sprintf("account %q does not exist", login), fs.ErrNotExist}, "`hubship account list` lists all accounts")
	case err != nil:
		return who, err
	case who.Kind == store.Organization:
		return who, model.Usage(fmt.Errorf("%s is an organization: nobody logs in as it", who.Login), "name a person's account")
	case strings.EqualFold(who.Login, a.own):
		return who, model.Usage(fmt.Errorf("account %s is hubship's own", who.Login), "name a person's account; `hubship account add` creates one")
	}
	return who, nil
}

// newRepository is a repository that is made empty.
type newRepository struct {
	Owner         string `json:"owner"`
	Name          string `json:"name"`
	DefaultBranch string `json:"defaultBranch"` // empty for "main"
}

func (a *admin) addRepository(w http.ResponseWriter, r *http.Request) error {
	var n newRepository
	if err := readBody(w, r, &n); err != nil {
		return err
	}
	owner, err := a.host.Store.AccountByLogin(r.Context(), n.Owner)
	if errors.Is(err, store.ErrNotFound) {
		return &accountError{fmt.Sprintf("account %q does not exist", n.Owner), fs.ErrNotExist}
	}
	if err != nil {
		return err
	}
	if n.DefaultBranch == "" {
		n.DefaultBranch = defaultBranch
	}
	made, err := a.host.CreateRepository(r.Context(), owner, host.NewRepository{Name: n.Name, DefaultBranch: n.DefaultBranch})
	switch {
	case errors.Is(err, store.ErrExists):
		return &accountError{fmt.Sprintf("repository %s/%s already exists", n.Owner, n.Name), fs.ErrExist}
	case errors.Is(err, host.ErrInvalid):
		return model.Usage(err, "use lower-case letters, digits and hyphens")
	case err != nil:
		return err
	}
	a.log.Info("repository made", "owner", owner.Login, "name", made.Name, "by", r.Header.Get(byHeader))
	return writeJSON(w, http.StatusCreated, newRepository{owner.Login, made.Name, made.DefaultBranch})
}
