// Package rest serves the embedded forge in the dialect of GitHub's REST API,
// as far as hubship and its neighbours need it: what is served is answered as
// GitHub describes it, what is not is a 404.
package rest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/hubship/hubship/devforge/internal/authority"
	"github.com/hubship/hubship/devforge/internal/hooks"
	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/git"
)

// maxRequest bounds the body of a request, in bytes.
const maxRequest = 4 << 20

// Options are the settings of an API.
type Options struct {
	Host   *host.Host
	Sender *hooks.Sender
	// URL is what the API is reached at, such as http://localhost:8080/api/v3;
	// GitURL that of the repositories, to which OWNER/NAME.git is added; WebURL
	// that of the pages. None ends in a slash.
	URL, GitURL, WebURL string
	// Limit is how many requests an account has in an hour; 0 for 15,000.
	Limit int
	Log   *slog.Logger // nil for slog.Default
}

// API answers requests whose paths begin with the path of its URL.
type API struct {
	host  *host.Host
	store *store.Store
	opts  Options
	mux   *http.ServeMux
	limit *limiter
	cross *http.CrossOriginProtection
	// patterns are the routes; unruled those that have no rule.
	patterns, unruled []string
	sizes             *lru.Cache[between, size]
}

// New returns an API.
func New(opts Options) (*API, error) {
	for _, s := range []string{opts.URL, opts.GitURL, opts.WebURL} {
		if u, err := url.Parse(s); err != nil || u.Host == "" || strings.HasSuffix(s, "/") {
			return nil, fmt.Errorf("embedded forge: %q must be a URL without a trailing slash", s)
		}
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.Limit == 0 {
		opts.Limit = 15_000
	}
	sizes, err := lru.New[between, size](maxSizes)
	if err != nil {
		return nil, fmt.Errorf("embedded forge: %w", err)
	}
	a := &API{sizes: sizes, host: opts.Host, store: opts.Host.Store, opts: opts, mux: http.NewServeMux(), cross: http.NewCrossOriginProtection(), limit: newLimiter(opts.Limit)}
	a.repositoryRoutes()
	a.gitRoutes()
	a.pullRoutes()
	a.reviewRoutes()
	a.lineRoutes()
	a.commentRoutes()
	a.statusRoutes()
	a.deploymentRoutes()
	a.hookRoutes()
	if len(a.unruled) > 0 {
		return nil, fmt.Errorf("embedded forge: no rule says who may %s", strings.Join(a.unruled, ", "))
	}
	a.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, a.authenticateOnly(w, r, notFound()))
	})
	return a, nil
}

// ServeHTTP answers a request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "private, max-age=60, s-maxage=60")
	h.Set("Vary", "Accept, Authorization")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-GitHub-Media-Type", "github.v3; format=json")
	h.Set("X-GitHub-Api-Version-Selected", "2022-11-28")
	// A cookie opens nothing here, but browsers keep passwords of Basic too: what
	// another site has one send changes nothing.
	if err := a.cross.Check(r); err != nil {
		a.fail(w, r, &httpError{status: http.StatusForbidden, message: "This request was sent from another site."})
		return
	}
	u, _ := url.Parse(a.opts.URL) // New has tried it
	if !strings.HasPrefix(r.URL.Path, u.Path+"/") && r.URL.Path != u.Path {
		a.fail(w, r, notFound())
		return
	}
	http.StripPrefix(u.Path, a.mux).ServeHTTP(w, r)
}

// call is one request of somebody who is known.
type call struct {
	*API
	w     http.ResponseWriter
	r     *http.Request
	ctx   context.Context
	who   store.Account
	token store.Token
	repo  store.Repository // of a path below /repos/{owner}/{repo}
}

// handle serves a route to those whom its rule in authority.Routes lets in. A
// route without one is never served: New fails.
func (a *API) handle(pattern string, fn func(*call) error) {
	rule, ok := authority.Routes[pattern]
	if !ok {
		a.unruled = append(a.unruled, pattern)
		return
	}
	a.patterns = append(a.patterns, pattern)
	a.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		c := &call{API: a, w: w, r: r, ctx: r.Context()}
		err := c.begin(rule)
		if err == nil {
			err = fn(c)
		}
		if err != nil {
			a.fail(w, r, err)
		}
	})
}

// begin finds out who asks, of which repository, and whether they may.
func (c *call) begin(rule authority.Rule) error {
	who, token, err := c.authenticate(c.r)
	if err != nil {
		return err
	}
	c.who, c.token = who, token
	c.w.Header().Set("X-OAuth-Scopes", strings.ReplaceAll(token.Scopes, ",", ", "))
	c.w.Header().Set("X-Accepted-OAuth-Scopes", rule.Scope)
	// hubship's own account has none: what it asks follows from what others do, and
	// nobody may keep it from its work.
	if _, visits := c.ctx.Value(visitorKey{}).(store.Account); !visits && !c.host.IsOwn(who) && !c.limit.take(c.w.Header(), who.ID) {
		return &httpError{status: http.StatusForbidden, message: "API rate limit exceeded for user ID " + strconv.FormatInt(who.ID, 10) + "."}
	}
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, maxRequest)
	if owner := c.r.PathValue("owner"); owner != "" {
		if c.repo, err = c.host.Find(c.ctx, owner, c.r.PathValue("repo")); err != nil {
			return err
		}
	}
	return c.ask(rule, 0)
}

// may says whether who asks may do something to what is somebody's; nobody's is
// 0.
func (c *call) may(a authority.Action, owner int64) error { return c.ask(authority.Actions[a], owner) }

// ask asks a rule.
func (c *call) ask(rule authority.Rule, owner int64) error {
	ask := authority.Asker{Scopes: strings.Split(c.token.Scopes, ","), Own: c.host.IsOwn(c.who), Fork: c.repo.Parent != nil, Theirs: owner != 0 && owner == c.who.ID}
	switch {
	case c.who.Disabled:
	case c.repo.ID == 0:
		ask.Role = authority.Contributor
	default:
		var err error
		if ask.Role, err = c.host.Role(c.who, c.repo); err != nil {
			return err
		}
	}
	why := rule.Refuses(ask)
	if why == "" {
		return nil
	}
	if rule.Hidden {
		return notFound() // whoever may not change them does not learn that there are any
	}
	return &httpError{status: http.StatusForbidden, message: why}
}

// mayName says whether who asks may speak under a name: a status's context, a
// check run's name.
func (c *call) mayName(name string) error {
	if why := authority.Speaks(name, c.host.IsOwn(c.who)); why != "" {
		return &httpError{status: http.StatusForbidden, message: why}
	}
	return nil
}

// authenticate takes "Authorization: token X", "Bearer X", and Basic with the
// token as the password.
func (a *API) authenticate(r *http.Request) (store.Account, store.Token, error) {
	if who, ok := r.Context().Value(visitorKey{}).(store.Account); ok {
		return who, store.Token{Account: who.ID, Scopes: strings.Join([]string{store.ScopeRepo, store.ScopeHooks}, ",")}, nil
	}
	secret := ""
	if kind, value, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && (strings.EqualFold(kind, "token") || strings.EqualFold(kind, "bearer")) {
		secret = strings.TrimSpace(value)
	} else if _, password, ok := r.BasicAuth(); ok {
		secret = password
	}
	if secret == "" {
		return store.Account{}, store.Token{}, &httpError{status: http.StatusUnauthorized, message: "Requires authentication"}
	}
	who, token, err := a.store.Bearer(r.Context(), secret)
	if errors.Is(err, store.ErrDenied) {
		err = &httpError{status: http.StatusUnauthorized, message: "Bad credentials"}
	}
	return who, token, err
}

// authenticateOnly returns what is wrong with who asks, or else err.
func (a *API) authenticateOnly(_ http.ResponseWriter, r *http.Request, err error) error {
	if _, _, denied := a.authenticate(r); denied != nil {
		return denied
	}
	return err
}

// httpError is an error in the form of an answer.
type httpError struct {
	status  int
	message string
	errors  []obj
}

func (e *httpError) Error() string { return e.message }

// text says of an error in one sentence what its details say.
func (e *httpError) text() string {
	if len(e.errors) == 0 {
		return e.message
	}
	if said, ok := e.errors[0]["message"].(string); ok {
		return said
	}
	return fmt.Sprintf("%v is missing or invalid", e.errors[0]["field"])
}

func notFound() error { return &httpError{status: http.StatusNotFound, message: "Not Found"} }

// invalid is a 422 about a field; code is one of GitHub's: missing,
// missing_field, invalid, already_exists, custom.
func invalid(resource, field, code, message string) error {
	detail := obj{"resource": resource, "field": field, "code": code}
	if message != "" {
		detail["message"] = message
	}
	return &httpError{status: http.StatusUnprocessableEntity, message: "Validation Failed", errors: []obj{detail}}
}

// plain is a 422 of the few operations whose errors are texts.
func plain(message string) error {
	return &httpError{status: http.StatusUnprocessableEntity, message: message}
}

// fail answers with an error.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	var e *httpError
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &e):
	case errors.As(err, &tooBig):
		e = &httpError{status: http.StatusRequestEntityTooLarge, message: "Payload too big: this supports bodies of up to 4 MiB"}
	case errors.Is(err, host.ErrForbidden):
		e = &httpError{status: http.StatusForbidden, message: err.Error()}
	case errors.Is(err, host.ErrConflict):
		e = &httpError{status: http.StatusConflict, message: err.Error()}
	case errors.Is(err, host.ErrNotMergeable):
		e = &httpError{status: http.StatusMethodNotAllowed, message: err.Error()}
	case errors.Is(err, host.ErrInvalid):
		e = &httpError{status: http.StatusUnprocessableEntity, message: "Validation Failed", errors: []obj{{"resource": "Request", "code": "custom", "message": err.Error()}}}
	case errors.Is(err, store.ErrNotFound), errors.Is(err, git.ErrNotFound):
		e = &httpError{status: http.StatusNotFound, message: "Not Found"}
	case r.Context().Err() != nil:
		return // nobody listens
	default:
		a.opts.Log.Error("embedded forge", "method", r.Method, "path", r.URL.Path, "error", err)
		e = &httpError{status: http.StatusInternalServerError, message: "Server Error"}
	}
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="hubship", charset="UTF-8"`)
	}
	body := obj{"message": e.message, "documentation_url": "https://docs.github.com/rest", "status": strconv.Itoa(e.status)}
	if e.errors != nil {
		body["errors"] = e.errors
	}
	w.Header().Set("Cache-Control", "no-store")
	write(w, e.status, body)
}

func write(w http.ResponseWriter, status int, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		status, raw = http.StatusInternalServerError, []byte(`{"message":"Server Error"}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(raw) // a client that went away needs no answer
}

// answer sends a body. What is read carries an ETag, and is not sent to whom
// has it already.
func (c *call) answer(status int, body any) error {
	if (c.r.Method != http.MethodGet && c.r.Method != http.MethodHead) || status != http.StatusOK {
		write(c.w, status, body)
		return nil
	}
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	sum := sha256.Sum256(append(raw, c.w.Header().Get("Link")...))
	tag := `"` + hex.EncodeToString(sum[:]) + `"`
	c.w.Header().Set("ETag", "W/"+tag)
	for known := range strings.SplitSeq(c.r.Header.Get("If-None-Match"), ",") {
		if known = strings.TrimSpace(known); known == "*" || strings.TrimPrefix(known, "W/") == tag {
			c.w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	c.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = c.w.Write(raw)
	return nil
}

// none answers without a body.
func (c *call) none() error {
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}

// read decodes the body. Fields that are not known are ignored, as GitHub
// does; an empty body is an empty object.
func (c *call) read(into any) error {
	raw, err := io.ReadAll(c.r.Body)
	if err != nil {
		return err
	}
	if len(strings.TrimSpace(string(raw))) == 0 {
		raw = []byte("{}")
	}
	var wrongType *json.UnmarshalTypeError
	err = json.Unmarshal(raw, into)
	switch {
	case errors.As(err, &wrongType):
		return invalid("Request", wrongType.Field, "invalid", fmt.Sprintf("a JSON %s is not allowed here", wrongType.Value))
	case err != nil:
		return &httpError{status: http.StatusBadRequest, message: "Problems parsing JSON"}
	}
	return nil
}

// number reads a number of the path; anything else does not exist.
func (c *call) number(name string) (int64, error) {
	n, err := strconv.ParseInt(c.r.PathValue(name), 10, 64)
	if err != nil || n < 1 {
		return 0, notFound()
	}
	return n, nil
}

// page is which part of a list is asked for.
type page struct{ number, size int }

func (c *call) page() page {
	get := func(name string, def, limit int) int {
		n, err := strconv.Atoi(c.r.URL.Query().Get(name))
		if err != nil || n < 1 {
			return def
		}
		return min(n, limit)
	}
	return page{get("page", 1, 1<<20), get("per_page", 30, 100)}
}

func (p page) offset() int { return (p.number - 1) * p.size }

// link sets the Link header of a page of a list of so many.
func (c *call) link(p page, total int) {
	last := max(1, (total+p.size-1)/p.size)
	var links []string
	add := func(number int, rel string) {
		q := c.r.URL.Query()
		q.Set("page", strconv.Itoa(number))
		links = append(links, fmt.Sprintf(`<%s%s?%s>; rel="%s"`, c.opts.URL, c.r.URL.EscapedPath(), q.Encode(), rel))
	}
	if p.number > 1 {
		add(min(p.number-1, last), "prev")
	}
	if p.number < last {
		add(p.number+1, "next")
		add(last, "last")
	}
	if p.number > 1 {
		add(1, "first")
	}
	if len(links) > 0 {
		c.w.Header().Set("Link", strings.Join(links, ", "))
	}
}

// cut returns the page of a whole list.
func cut[T any](c *call, list []T) []T {
	p := c.page()
	c.link(p, len(list))
	return list[min(p.offset(), len(list)):min(p.offset()+p.size, len(list))]
}

// each renders a list.
func each[T any](list []T, render func(T) (obj, error)) ([]obj, error) {
	out := make([]obj, 0, len(list))
	for _, v := range list {
		o, err := render(v)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, nil
}

// show answers with what is rendered for the repository's address.
func (c *call) show(status int, render func(at string) (obj, error)) error {
	at, err := c.placeOf(c.ctx, c.repo)
	if err != nil {
		return err
	}
	o, err := render(at)
	if err != nil {
		return err
	}
	return c.answer(status, o)
}

// showPage answers with the page of a whole list, rendered for the repository's
// address.
func showPage[T any](c *call, list []T, render func(at string, v T) (obj, error)) error {
	return showEach(c, cut(c, list), render)
}

// showEach is showPage of a list that is one page already.
func showEach[T any](c *call, list []T, render func(at string, v T) (obj, error)) error {
	at, err := c.placeOf(c.ctx, c.repo)
	if err != nil {
		return err
	}
	out, err := each(list, func(v T) (obj, error) { return render(at, v) })
	if err != nil {
		return err
	}
	return c.answer(http.StatusOK, out)
}
