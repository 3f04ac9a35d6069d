// Package serve is the forge's program: it opens the forge that the settings
// describe and serves it on two Unix sockets, one for everybody, through hubship's
// HTTP port, and one for managing accounts.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hubship/hubship/devforge/internal/settings"
)

const (
	headerTimeout = 10 * time.Second // for a request's header to arrive
	idleTimeout   = 2 * time.Minute  // of a connection between two requests
	grace         = 10 * time.Second // for pushes under way when the program stops
)

// Options are how the program was called.
type Options struct {
	File    string // of the settings
	Version string
	Log     *slog.Logger
	// Ready is called when both sockets answer; it may be nil.
	Ready func()
}

// Run serves the forge until ctx ends. A second program with the same database
// is refused.
func Run(ctx context.Context, o Options) (err error) {
	s, digest, err := settings.Read(o.File)
	if err != nil {
		return err
	}
	unlock, err := lock(s.Database + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	f, err := open(ctx, s, o.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	public, err := f.public()
	if err != nil {
		return err
	}
	admin := newAdmin(f.host, s.Own.Login, s.Socket, health{Version: o.Version, Settings: digest}, o.Log)

	var open []net.Listener
	defer func() {
		for _, l := range open {
			_ = l.Close() // served or not, nobody is to find it any more
		}
	}()
	for _, path := range []string{s.Socket, s.AdminSocket} {
		l, err := listen(path)
		if err != nil {
			return err
		}
		open = append(open, l)
	}

	working, stop := context.WithCancel(ctx)
	var sending sync.WaitGroup
	sending.Go(func() { f.sender.Run(working) })
	defer sending.Wait()
	defer stop()
	if o.Ready != nil {
		o.Ready()
	}
	return serveAll(ctx, o.Log, map[net.Listener]http.Handler{open[0]: fromDoor(public), open[1]: admin})
}

// serveAll answers until ctx ends, and lets requests under way finish for some
// seconds. A listener that breaks is an error.
func serveAll(ctx context.Context, log *slog.Logger, what map[net.Listener]http.Handler) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	failed := make(chan error, len(what))
	var servers []*http.Server
	for l, h := range what {
		// Requests and answers may last: clones and pushes do. Handlers bound what
		// must be bounded.
		server := &http.Server{
			Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
			ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug),
			BaseContext: func(net.Listener) context.Context { return base },
		}
		servers = append(servers, server)
		go func() {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve %s: %w", l.Addr(), err)
			}
		}()
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	patience, cancel := context.WithTimeout(base, grace)
	defer cancel()
	var stopping sync.WaitGroup
	for _, s := range servers {
		stopping.Go(func() {
			if s.Shutdown(patience) != nil {
				_ = s.Close() // who has not finished by now is cut off
			}
		})
	}
	stopping.Wait()
	return err
}
