// Package gitserver is the embedded Git server: bare repositories below one
// folder, served by git http-backend over smart HTTP to whoever has a token that
// opens them.
package gitserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/hubship/hubship/devforge/internal/refs"
	"github.com/hubship/hubship/internal/model"
)

// DefaultMaxPush bounds the bytes of one push.
const DefaultMaxPush = 2 << 30

const (
	maxProcesses = 8               // git processes at once; further requests wait
	patience     = 2 * time.Minute // how long a client may be silent in mid-request
	onPushLimit  = 15 * time.Second
)

// Options are the settings of a Server.
type Options struct {
	// Root is the folder with the bare repositories, each NAME.git.
	Root string
	// Authenticate returns the login of the account that a secret opens the
	// repositories for; write says that it is to push. Nobody else is told anything.
	Authenticate func(ctx context.Context, secret string, write bool) (login string, ok bool)
	// Find returns the repository, by its path below Root without .git, that is
	// asked for as OWNER/NAME.git. Nil: there are none of that form.
	Find func(ctx context.Context, owner, name string) (repository string, ok bool)
	// Foresee says, before any object is taken in, why references will not move
	// whatever is pushed. It may allow what Move refuses. Nil allows all.
	Foresee func(ctx context.Context, repository, login string, moves []Move) (refused map[string]string, err error)
	// Move moves what a push asks for, all or nothing, or says why not, by
	// reference: the server itself moves no reference, and git only brings the
	// objects, which are there by then. Each reference has to be compared with the old value.
	// The context does not end when the pusher goes away. Nil refuses all pushes.
	Move func(ctx context.Context, repository, login string, moves []Move) (refused map[string]string, err error)
	// OnPush is called after a push that moved branches, before the pusher's
	// git ends. What it returns is shown there, one line each, after
	// "remote: ". The context does not end when the pusher goes away.
	// Pushes to different branches may be announced at the same time.
	OnPush func(ctx context.Context, repository string, updates []refs.Update, by string) []string
	// MaxPush bounds the bytes of one push; 0 means DefaultMaxPush.
	MaxPush int64
	// Log receives what went wrong; nil means slog.Default.
	Log *slog.Logger
}

// Move is a reference that a push wants to move; refs.ZeroID is none.
type Move struct{ Ref, Old, New string }

// Validate says what is wrong with the options.
func (o Options) Validate() error {
	switch {
	case !filepath.IsAbs(o.Root):
		return fmt.Errorf("embedded Git server: the repository folder %q is not an absolute path", o.Root)
	case o.Authenticate == nil:
		return errors.New("embedded Git server: nobody says who may use it")
	case o.MaxPush < 0:
		return errors.New("embedded Git server: the limit of a push is negative")
	}
	return nil
}

// Server serves repositories to Git clients. It expects the path of a request
// to be /NAME.git/...; whoever mounts it elsewhere strips the prefix.
type Server struct {
	opts    Options
	cross   *http.CrossOriginProtection
	backend string        // path of git-http-backend
	path    string        // PATH of the children
	slots   chan struct{} // one per running process
}

// New checks the options, finds git http-backend and returns a Server.
func New(opts Options) (*Server, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if opts.MaxPush == 0 {
		opts.MaxPush = DefaultMaxPush
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	const hint = "install git (on Debian: apt-get install git)"
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return nil, model.WithHint(fmt.Errorf("embedded Git server: run git --exec-path: %w", err), hint)
	}
	backend := filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		return nil, model.WithHint(fmt.Errorf("embedded Git server: %w", err), hint)
	}
	s := &Server{opts: opts, cross: http.NewCrossOriginProtection(), backend: backend, path: os.Getenv("PATH"), slots: make(chan struct{}, maxProcesses)}
	return s, nil
}

// repositoryName is what a repository may be called, so that its path can be
// nothing but a folder below Root.
var repositoryName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// endpoint is what a request asks for.
type endpoint struct {
	owner      string // empty where the path names none
	repository string // below Root, once it is found
	path       string // within the repository
	service    string // git-upload-pack or git-receive-pack
}

// endpointOf maps a request to one of the three of smart HTTP. Everything
// else, the files of the dumb protocol above all, does not exist.
func endpointOf(r *http.Request) (endpoint, bool) {
	name, rest, found := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), ".git/")
	owner, base, owned := strings.Cut(name, "/")
	if !owned {
		owner, base = "", name
	}
	if !found || !repositoryName.MatchString(base) || (owned && !repositoryName.MatchString(owner)) {
		return endpoint{}, false
	}
	e := endpoint{owner: owner, repository: base, path: "/" + rest}
	switch {
	case rest == "info/refs" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		e.service = r.URL.Query().Get("service")
	case r.Method == http.MethodPost:
		e.service = rest
	}
	return e, e.service == "git-upload-pack" || e.service == "git-receive-pack"
}

// ServeHTTP answers a Git client.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	// Browsers keep passwords of Basic: what another site has one send moves
	// nothing.
	if err := s.cross.Check(r); err != nil {
		http.Error(w, "hubship: this request was sent from another site", http.StatusForbidden)
		return
	}
	// Who asks comes before what exists: without the token nothing is told.
	_, secret, given := r.BasicAuth()
	e, ok := endpointOf(r)
	login, known := "", false
	if given {
		login, known = s.opts.Authenticate(r.Context(), secret, e.service == "git-receive-pack")
	}
	if !known {
		w.Header().Set("WWW-Authenticate", `Basic realm="hubship", charset="UTF-8"`)
		http.Error(w, "hubship: use a token as the password, with any user name; hubship status says where it is", http.StatusUnauthorized)
		return
	}
	if ok && e.owner != "" {
		ok = s.opts.Find != nil
		if ok {
			e.repository, ok = s.opts.Find(r.Context(), e.owner, e.repository)
		}
	}
	if !ok {
		http.Error(w, "hubship: no such repository or service", http.StatusNotFound)
		return
	}
	// A link could point out of Root.
	dir := filepath.Join(s.opts.Root, filepath.FromSlash(e.repository)+".git")
	if info, err := os.Lstat(dir); err != nil || !info.IsDir() {
		http.Error(w, "hubship: no such repository", http.StatusNotFound)
		return
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-r.Context().Done():
		return
	}
	if r.Method == http.MethodPost && e.service == "git-receive-pack" {
		s.receive(w, r, e, userName(login), login)
		return
	}
	body, err := openBody(w, r, s.opts.MaxPush)
	if err != nil {
		http.Error(w, "hubship: "+err.Error(), http.StatusBadRequest)
		return
	}
	s.backendFor(e, userName(login), nil).ServeHTTP(w, backendRequest(r, e, body))
}

// userName makes the name that the client gave presentable: it is shown and
// stored, and proves nothing.
func userName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || strings.ContainsRune(`<>"'&\`, r) || r == '\uFFFD' {
			return -1
		}
		return r
	}, strings.ToValidUTF8(name, ""))
	if runes := []rune(name); len(runes) > 64 {
		name = string(runes[:64])
	}
	if name = strings.TrimSpace(name); name == "" {
		return "somebody"
	}
	return name
}

// setting is one key of Git's configuration.
type setting struct{ key, value string }

// backendFor describes the process that answers. Its configuration comes from
// here alone: neither the machine's, nor the user's, nor hooks left in the
// repository have a say.
func (s *Server) backendFor(e endpoint, user string, extra []setting) *cgi.Handler {
	settings := append([]setting{
		{"safe.directory", "*"}, // Root is ours; which user owns it does not matter
		{"core.hooksPath", os.DevNull},
		{"http.receivepack", "true"},
		{"http.uploadpack", "true"},
		{"http.getanyfile", "false"},
		{"receive.fsckObjects", "true"},
		{"receive.advertiseAtomic", "true"},
		{"receive.advertisePushOptions", "false"},
		{"receive.autogc", "true"},
		{"gc.autoDetach", "false"}, // no process outlives its request
		{"receive.maxInputSize", fmt.Sprint(s.opts.MaxPush)},
		{"transfer.hideRefs", "refs/hubship"},
		{"receive.hideRefs", "refs/pull"}, // the forge's own: fetched, never pushed
		{"uploadpack.allowFilter", "true"},
		{"pack.threads", "1"},
		{"protocol.version", "2"},
	}, extra...)
	env := []string{
		"GIT_PROJECT_ROOT=" + s.opts.Root,
		"GIT_HTTP_EXPORT_ALL=1",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=" + os.DevNull,
		"HOME=" + os.DevNull,
		"LC_ALL=C",
		"PATH=" + s.path,
		"REMOTE_USER=" + user,
		fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(settings)),
	}
	for i, c := range settings {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, c.key), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, c.value))
	}
	return &cgi.Handler{
		Path:   s.backend,
		Root:   "/",
		Dir:    s.opts.Root,
		Env:    env,
		Logger: slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelWarn),
		Stderr: &logWriter{log: s.opts.Log, repository: e.repository},
	}
}

// logWriter gives what git says on standard error to the log, line by line.
type logWriter struct {
	log        *slog.Logger
	repository string
}

func (w *logWriter) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		w.log.Info("git http-backend", "repository", w.repository, "says", strings.TrimSpace(line))
	}
	return len(p), nil
}
