// Package node runs one embedded Kubernetes node: it starts its programs in
// order, says how far it has come, keeps them running, and takes everything
// down again.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/hubship/hubship/node/internal/cgroup"
	"github.com/hubship/hubship/node/internal/forward"
	"github.com/hubship/hubship/node/internal/network"
	"github.com/hubship/hubship/node/internal/preflight"
	"github.com/hubship/hubship/node/internal/programs"
	"github.com/hubship/hubship/node/internal/resolver"
	"github.com/hubship/hubship/node/internal/sandbox"
	"github.com/hubship/hubship/node/internal/settings"
	"github.com/hubship/hubship/node/internal/supervise"
	"github.com/hubship/hubship/node/internal/volumes"
)

const storageClass = volumes.StorageClass

// Node is a node that is starting, running or stopping.
type Node struct {
	s         settings.Settings
	log       *slog.Logger
	startedAt time.Time
	board     board
	box       *sandbox.Sandbox
	programs  *programs.Set
	stopOnce  sync.Once
	stopAsked chan struct{}

	mu        sync.Mutex
	processes []*supervise.Process
}

// Preflight returns every reason why the node cannot start, joined into one
// error with a line each; nil if there is none. self is the path of the node's
// own program.
func Preflight(s settings.Settings, self string) error {
	if err := heldByOther(s); err != nil {
		return err
	}
	return errors.Join(preflight.Check(s, helperDir(self))...)
}

func helperDir(self string) string { return filepath.Join(filepath.Dir(self), "node.d") }

// Run runs the node until ctx ends, somebody asks it to stop over its socket,
// or it cannot go on. It returns once everything is down again; data stays.
// self is the path of the node's own program.
func Run(ctx context.Context, s settings.Settings, self string, log *slog.Logger) error {
	if err := Preflight(s, self); err != nil {
		return fmt.Errorf("check the machine before node %s starts:\n%w", s.Name, err)
	}
	lock, err := acquire(s)
	if err != nil {
		return err
	}
	defer lock.release()
	n := &Node{s: s, log: log, startedAt: time.Now(), stopAsked: make(chan struct{})}
	n.board.log, n.board.phase = log, "starting"
	if err := clean(s); err != nil {
		return fmt.Errorf("clear what an earlier run of node %s left: %w", s.Name, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-n.stopAsked:
			cancel()
		case <-ctx.Done():
		}
	}()
	err = n.run(ctx, self)
	n.log.Info("node is down", "name", s.Name)
	return err
}

func (n *Node) requestStop() { n.stopOnce.Do(func() { close(n.stopAsked) }) }

// run holds what lives as long as the node: each part is taken down in the
// reverse order of its making.
func (n *Node) run(ctx context.Context, self string) (err error) {
	defer func() { err = errors.Join(err, clean(n.s)) }()
	// Sockets of programs that believe whoever opens them lie in it.
	if err := os.MkdirAll(n.s.RunDir, 0o700); err != nil {
		return fmt.Errorf("make the run directory: %w", err)
	}
	stopControl, err := n.serveControl()
	if err != nil {
		return err
	}
	defer stopControl()
	closeNetwork, err := n.open(ctx, self)
	if err != nil {
		return err
	}
	defer closeNetwork()
	port := n.s.Port(settings.PortRegistry)
	fwd, err := forward.Listen(n.s.Registry(), forwardTo(n.box, port))
	if err != nil {
		return err
	}
	defer func() { _ = fwd.Close() }()

	err = n.live(ctx)
	n.board.setReady(false)
	if err != nil {
		n.board.fail(err)
		n.log.Error("node cannot continue", "name", n.s.Name)
	} else {
		n.board.setPhase("stopping")
	}
	n.stopAll()
	return err
}

// live starts the programs and waits until the node shall stop or cannot go on.
func (n *Node) live(ctx context.Context) error {
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-n.box.Dead():
			cancel(sandbox.ErrDead)
		case <-work.Done():
		}
	}()
	if err := n.start(work); err != nil {
		if ctx.Err() != nil {
			return nil // Asked to stop in the middle of the start.
		}
		return fmt.Errorf("start node %s: %w", n.s.Name, err)
	}
	// Making images takes memory that is not needed again.
	debug.FreeOSMemory()
	n.board.setPhase("running")
	n.board.setReady(true)
	n.log.Info("node is ready", "name", n.s.Name, "took", time.Since(n.startedAt).Round(time.Millisecond))
	<-work.Done()
	if cause := context.Cause(work); errors.Is(cause, sandbox.ErrDead) {
		return fmt.Errorf("run node %s: %w: process %d was killed; start the node again", n.s.Name, cause, n.box.Pid())
	}
	return nil
}

func (n *Node) openSandbox(self string) error {
	if err := cgroup.Create(n.s.CgroupName()); err != nil {
		return err
	}
	if err := limitBuilds(n.s); err != nil {
		return err
	}
	plan, err := resolver.Read("/etc/resolv.conf", n.s.HostIP().String())
	if err != nil {
		return err
	}
	if err := plan.Write(n.s.Run("resolv.conf")); err != nil {
		return err
	}
	if err := os.MkdirAll(n.s.Data("logs"), 0o755); err != nil {
		return fmt.Errorf("make the log directory: %w", err)
	}
	if err := makeMountPoints(); err != nil {
		return err
	}
	log, err := os.OpenFile(n.s.Log("nsinit"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the log of nsinit: %w", err)
	}
	defer func() { _ = log.Close() }()
	mtu, err := network.MachineMTU()
	if err != nil {
		return fmt.Errorf("find the MTU of the default route: %w", err)
	}
	n.box, err = sandbox.Start(filepath.Join(helperDir(self), "nsinit"), n.s.RunDir, log)
	if err != nil {
		return err
	}
	if err := n.remember(); err != nil {
		n.box.Kill()
		return err
	}
	n.programs = programs.New(n.s, helperDir(self), mtu, n.box)
	return nil
}

// open makes the node's namespaces, joins them to the machine's network and
// prepares the programs. The returned function ends all of it.
func (n *Node) open(ctx context.Context, self string) (closeAll func(), err error) {
	release, err := lockMachine()
	if err != nil {
		return nil, err
	}
	defer release()
	err = n.board.step(ctx, "namespaces", "create namespaces and cgroup", func(context.Context) error {
		return n.openSandbox(self)
	})
	if err != nil {
		return nil, err
	}
	closeRelay := func() {}
	err = n.board.step(ctx, "network", "join the node to the machine's network", func(ctx context.Context) error {
		reach, err := n.buildReach(ctx)
		if err != nil {
			return err
		}
		if err := network.Up(n.s, reach, n.box); err != nil {
			return err
		}
		closeRelay, err = n.relayNames(ctx)
		return err
	})
	if err == nil {
		err = n.board.step(ctx, "configuration", "write certificates and configuration", func(context.Context) error {
			return n.programs.Prepare()
		})
	}
	if err != nil {
		closeRelay()
		n.box.Kill()
		return nil, err
	}
	return func() {
		closeRelay()
		n.box.Kill()
	}, nil
}

// relayNames answers name queries for the node if only the machine itself can
// reach its name servers.
func (n *Node) relayNames(ctx context.Context) (stop func(), err error) {
	stop = func() {}
	plan, err := resolver.Read("/etc/resolv.conf", n.s.HostIP().String())
	if err != nil || len(plan.RelayTo) == 0 {
		return stop, err
	}
	relay, err := resolver.StartRelay(ctx, n.s.HostIP().String()+":53", plan.RelayTo)
	if err != nil {
		return stop, err
	}
	return func() { _ = relay.Close() }, nil
}

// launch starts a program under supervision and waits until it is ready.
func (n *Node) launch(ctx context.Context, spec supervise.Spec) error {
	p := supervise.Start(n.box, spec)
	n.mu.Lock()
	n.processes = append(n.processes, p)
	n.mu.Unlock()
	return p.WaitReady(ctx)
}

func (n *Node) running() []*supervise.Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.processes)
}
