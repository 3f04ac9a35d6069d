package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hubship/hubship/internal/loopback"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server/access"
	"github.com/hubship/hubship/internal/server/signin"
	"github.com/hubship/hubship/internal/server/web"
)

const (
	headerTimeout = 10 * time.Second // for a request's header to arrive
	idleTimeout   = 2 * time.Minute  // of a connection between two requests
	grace         = 3 * time.Second  // for requests under way when the server stops
)

// Options are the settings of a Server.
type Options struct {
	// Addr is the address of the HTTP port: "127.0.0.1:8080". It must be one
	// of the loopback.
	Addr string
	// PublicURL is where people reach hubship through a reverse proxy; empty
	// for this machine alone. Its host is a name of hubship's own.
	PublicURL string
	// Names are further host names of hubship itself beside localhost.
	Names []string
	// Trusted are the reverse proxies whose word about clients counts.
	Trusted []netip.Prefix
	// SignIn lets people in; nil lets nobody in over the HTTP port.
	SignIn *signin.Sessions
	// Socket is the path of the Unix socket that the command line uses; the
	// only way to change anything but through the forge.
	Socket string
	// Service is what is served.
	Service Service
	// Forge serves /git/, /api/v3/ and /forge/: the repositories, the API and the
	// pages of the embedded forge, which gets the whole path; nil serves nothing
	// there.
	Forge http.Handler
	// Hooks takes what a forge delivers to HooksPath. It looks at no delivery
	// before it knows who signed it; nil serves nothing there.
	Hooks http.Handler
	// Dial connects to a hub; nil means that no hub is served.
	Dial DialFunc
	// Accounts serves /api/v1/accounts at the Unix socket; nil where the forge is
	// GitHub. ByHeader says who asks.
	Accounts http.Handler
	// Version is shown and told.
	Version string
	// Log receives what went wrong; nil means slog.Default.
	Log *slog.Logger
}

// HooksPath is where a forge delivers its events to.
const HooksPath = "/hooks/github"

// Validate says what is wrong with the options.
func (o Options) Validate() error {
	if o.Service == nil {
		return errors.New("server: it has no service")
	}
	if o.Addr == "" && o.Socket == "" {
		return errors.New("server: it has neither an address nor a socket")
	}
	if o.Addr == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return model.Usage(fmt.Errorf("server: address %q: %w", o.Addr, err), "write it as 127.0.0.1:8080")
	}
	ip, err := netip.ParseAddr(host)
	loopback := host == "localhost" || (err == nil && ip.IsLoopback())
	if !loopback {
		return model.Usage(fmt.Errorf("server: address %q can be reached from other machines", o.Addr),
			"use 127.0.0.1, and a reverse proxy with TLS in front of it")
	}
	return nil
}

// Server serves the HTTP port and the Unix socket. Use it once: Listen, then
// Serve.
type Server struct {
	opts    Options
	log     *slog.Logger
	started time.Time
	status  *memo[model.Status]
	hosts   *hostTable
	proxy   http.Handler
	own     http.Handler // hubship's own pages and API
	site    *web.Site
	read    readings
	// find returns who has signed in, as findSession does.
	find func(*http.Request) (signin.Session, error)
	// registered are hubship's own routes.
	registered []registered

	mu        sync.Mutex
	listeners []net.Listener // guarded by mu; all of them
	tcp       []net.Listener // of these, the HTTP port's
	unix      net.Listener
}

// New checks the options and returns a Server. It opens nothing yet.
func New(opts Options) (*Server, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	s := &Server{opts: opts, log: opts.Log, started: time.Now()}
	s.status = &memo[model.Status]{ask: opts.Service.Status, ttl: statusTTL, patience: statusPatience}
	s.hosts = newHostTable(opts.Service.Hosts)
	s.proxy = s.newProxy()
	s.read = readings{service: opts.Service, status: s.status}
	s.site = web.New(s.read, opts.Version, opts.Log)
	s.find = s.findSession
	s.own = s.routes()
	return s, nil
}

// routes are hubship's own addresses.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	s.routeAPI(mux)
	s.routeSignIn(mux)
	if s.opts.Forge != nil {
		for _, path := range []string{"/git/", "/api/v3/", "/forge/"} {
			s.add(mux, path, access.Foreign, s.opts.Forge)
		}
	}
	if s.opts.Hooks != nil {
		s.add(mux, HooksPath, access.Foreign, s.deliveries())
	}
	for _, r := range s.site.Routes() {
		if r.Pattern == "/" && s.opts.Forge != nil {
			continue
		}
		s.add(mux, r.Pattern, r.Action, r.Handler)
	}
	if s.opts.Forge != nil {
		s.add(mux, "/", access.Foreign, s.clones(s.guard(access.SeeStatus, http.HandlerFunc(s.site.NotFound))))
	}
	return mux
}

// clones serves Git also at OWNER/NAME.git, as GitHub does: there are clients
// that take the two from the address of a clone.
func (s *Server) clones(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, ".git/") {
			s.opts.Forge.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// deliveries bounds how long a delivery may take to arrive.
func (s *Server) deliveries() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Not every writer has deadlines; those of tests do not.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(requestLimit))
		s.opts.Hooks.ServeHTTP(w, r)
	})
}

// Listen opens the HTTP port and the socket. The error says so when one of
// them is taken.
func (s *Server) Listen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opts.Addr != "" {
		if err := s.listenTCP(); err != nil {
			return err
		}
	}
	if s.opts.Socket != "" {
		l, err := listenSocket(s.opts.Socket)
		if err != nil {
			s.closeListeners()
			return err
		}
		s.unix = l
		s.listeners = append(s.listeners, l)
	}
	return nil
}

func (s *Server) listenTCP() error {
	l, err := net.Listen("tcp", s.opts.Addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return portTaken(s.opts.Addr)
	}
	if err != nil {
		return fmt.Errorf("open the HTTP port: %w", err)
	}
	s.tcp = []net.Listener{l}
	s.listeners = append(s.listeners, l)
	// Browsers take localhost and NAME.localhost for ::1 as well, and ask there
	// first. Whoever listens there is given passwords and sessions.
	host, asked, _ := net.SplitHostPort(s.opts.Addr)
	if host != "127.0.0.1" && host != "localhost" {
		return nil
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l6, err := net.Listen("tcp6", net.JoinHostPort("::1", port))
	switch {
	case err == nil:
		s.tcp = append(s.tcp, l6)
		s.listeners = append(s.listeners, l6)
	case errors.Is(err, syscall.EADDRINUSE) && asked != "0" && !strings.HasPrefix(l.Addr().String(), "["):
		s.closeListeners()
		return portTaken(net.JoinHostPort("::1", port))
	}
	return nil
}

// portTaken is the error for an address that another program has.
func portTaken(addr string) error {
	return model.WithHint(fmt.Errorf("open the HTTP port: another program listens on %s", addr),
		"stop it (ss -ltnp shows it), or choose another port with --port")
}

// Addr is the address of the HTTP port after Listen, "" without one.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tcp) == 0 {
		return ""
	}
	return s.tcp[0].Addr().String()
}

// Close closes what Listen opened, for a server that never came to Serve.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeListeners()
	return nil
}

func (s *Server) closeListeners() {
	for _, l := range s.listeners {
		_ = l.Close() // what is closed already need not be closed
	}
	s.listeners, s.tcp, s.unix = nil, nil, nil
}

// Serve answers until ctx ends, lets requests under way finish for a few
// seconds, ends streams, and returns nil. A listener that breaks is an error.
func (s *Server) Serve(ctx context.Context) error {
	s.mu.Lock()
	tcp, unix := s.tcp, s.unix
	s.mu.Unlock()
	if len(tcp) == 0 && unix == nil {
		return errors.New("server: serve before listen")
	}
	// Streams end with streams; everything else, upgraded connections
	// included, ends with base.
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	streams, endStreams := context.WithCancel(base)
	defer endStreams()

	outside := s.httpServer(withStreams(streams, http.HandlerFunc(s.serveName)), base)
	outside.ConnContext = loopback.Context
	inside := s.httpServer(withStreams(streams, s.own), base)
	inside.ConnContext = peerContext

	failed := make(chan error, len(tcp)+1)
	serve := func(h *http.Server, l net.Listener) {
		if err := h.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serve %s: %w", l.Addr(), err)
		}
	}
	for _, l := range tcp {
		go serve(outside, l)
	}
	if unix != nil {
		go serve(inside, unix)
	}

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	endStreams()
	patience, cancel := context.WithTimeout(base, grace)
	defer cancel()
	var stopping sync.WaitGroup
	for _, h := range []*http.Server{outside, inside} {
		stopping.Go(func() {
			if h.Shutdown(patience) != nil {
				_ = h.Close() // who has not finished by now is cut off
			}
		})
	}
	stopping.Wait()
	return errors.Join(err, s.Close())
}

// httpServer has no limit on how long a request or its answer takes: logs,
// uploads and websockets last. Handlers bound what must be bounded.
func (s *Server) httpServer(h http.Handler, base context.Context) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return base },
	}
}

type streamsKey struct{}

// withStreams lets handlers know when streams are to end.
func withStreams(streams context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), streamsKey{}, streams.Done())))
	})
}

// streamsEnd is closed when streams are to end; nil outside of Serve.
func streamsEnd(ctx context.Context) <-chan struct{} {
	done, _ := ctx.Value(streamsKey{}).(<-chan struct{})
	return done
}

// Handler is what the HTTP port serves, for tests and for mounting elsewhere.
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serveName) }
