// Package supervise keeps the programs of a node running: it starts them, logs
// them to files of bounded size, restarts them with a growing pause, and stops
// them in order.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"
)

// State is what a supervised program is doing.
type State string

// The states of a program.
const (
	Starting State = "starting" // its process runs and has not yet been ready
	Running  State = "running"  // its process runs and has been ready
	Backoff  State = "backoff"  // its process ended and will be started again
	Stopped  State = "stopped"  // it is not meant to run
)

// Spec describes a program.
type Spec struct {
	// Name is unique within a node.
	Name string
	// Path and Args are the program and its arguments without the name.
	Path string
	Args []string
	// Env is the whole environment.
	Env []string
	// Log is the path of its log file.
	Log string
	// Ready asks the program whether it serves. Nil: it is ready once started.
	Ready func(context.Context) error
	// StopTimeout is how long it may take to end after SIGTERM; zero means
	// five seconds.
	StopTimeout time.Duration
}

// Starter starts a command, for instance inside the node's namespaces.
type Starter interface {
	StartCommand(*exec.Cmd) error
}

const (
	firstPause   = 200 * time.Millisecond
	longestPause = 15 * time.Second
	// settled is how long a process must have run for the next pause to start
	// from the first one again.
	settled        = 30 * time.Second
	readyInterval  = 100 * time.Millisecond
	readyTimeout   = 2 * time.Second
	defaultStop    = 5 * time.Second
	logMegabytes   = 10
	logGenerations = 2
	// tailBytes is how much of the newest output is kept for error messages.
	tailBytes = 2048
	// hopeless is how many ends in a row make WaitReady give up.
	hopeless = 6
)

// Process is one program under supervision.
type Process struct {
	spec    Spec
	starter Starter
	log     *lumberjack.Logger
	tail    *tail
	stop    chan struct{}
	done    chan struct{}
	once    sync.Once

	mu       sync.Mutex
	state    State
	pid      int
	restarts int
	failures int // ends in a row without having been ready
	lastErr  string
	ready    chan struct{} // closed at the first readiness
	changed  chan struct{} // closed and replaced when failures grows
}

// Start starts a program and keeps it running until Stop.
func Start(starter Starter, spec Spec) *Process {
	p := &Process{
		spec:    spec,
		starter: starter,
		log:     &lumberjack.Logger{Filename: spec.Log, MaxSize: logMegabytes, MaxBackups: logGenerations},
		tail:    &tail{limit: tailBytes},
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
		state:   Starting,
		ready:   make(chan struct{}),
		changed: make(chan struct{}),
	}
	go p.loop()
	return p
}

// Name is the program's name.
func (p *Process) Name() string { return p.spec.Name }

func (p *Process) loop() {
	defer close(p.done)
	defer func() { _ = p.log.Close() }()
	pause := firstPause
	for {
		began := time.Now()
		err := p.runOnce()
		select {
		case <-p.stop:
			p.set(func() { p.state, p.pid = Stopped, 0 })
			return
		default:
		}
		if time.Since(began) > settled {
			pause = firstPause
		}
		p.set(func() {
			p.state, p.pid = Backoff, 0
			p.restarts++
			p.failures++
			p.lastErr = describe(err, p.tail.String())
			close(p.changed)
			p.changed = make(chan struct{})
		})
		_, _ = fmt.Fprintf(p.log, "--- %s exited: %v; restarting it in %v\n", p.spec.Name, err, pause)
		select {
		case <-p.stop:
			p.set(func() { p.state = Stopped })
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, longestPause)
	}
}

func describe(err error, output string) string {
	text := "exited without an error"
	if err != nil {
		text = err.Error()
	}
	if output != "" {
		text += ": " + output
	}
	return text
}

// runOnce runs the program until it ends, or until it was told to stop.
func (p *Process) runOnce() error {
	cmd := exec.Command(p.spec.Path, p.spec.Args...)
	cmd.Env = p.spec.Env
	cmd.Dir = "/"
	out := io.MultiWriter(p.log, p.tail)
	cmd.Stdout, cmd.Stderr = out, out
	// A program's own children may hold its output open.
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := p.starter.StartCommand(cmd); err != nil {
		return fmt.Errorf("start %s: %w", p.spec.Path, err)
	}
	p.set(func() { p.state, p.pid = Starting, cmd.Process.Pid })
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go p.watchReady(ctx)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return err
	case <-p.stop:
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	timeout := p.spec.StopTimeout
	if timeout == 0 {
		timeout = defaultStop
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(timeout):
		_ = cmd.Process.Kill()
		return <-ended
	}
}

func (p *Process) watchReady(ctx context.Context) {
	for {
		if p.probe(ctx) == nil {
			p.set(func() {
				if ctx.Err() != nil {
					return
				}
				p.state, p.failures, p.lastErr = Running, 0, ""
				select {
				case <-p.ready:
				default:
					close(p.ready)
				}
			})
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(readyInterval):
		}
	}
}

func (p *Process) probe(ctx context.Context) error {
	if p.spec.Ready == nil {
		return ctx.Err()
	}
	asked, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	err := p.spec.Ready(asked)
	if err != nil {
		p.set(func() {
			// Why the program ended says more than that it is not ready.
			if ctx.Err() == nil {
				p.lastErr = "not ready: " + err.Error()
			}
		})
	}
	return err
}

// WaitReady waits until the program has been ready once. It gives up when ctx
// ends or the program keeps ending.
func (p *Process) WaitReady(ctx context.Context) error {
	for {
		p.mu.Lock()
		failures, lastErr, changed := p.failures, p.lastErr, p.changed
		p.mu.Unlock()
		if failures >= hopeless {
			return fmt.Errorf("start %s: it exited %d times in a row; see %s: %s", p.spec.Name, failures, p.spec.Log, lastErr)
		}
		select {
		case <-p.ready:
			return nil
		case <-p.stop:
			return fmt.Errorf("start %s: %w", p.spec.Name, errors.New("it was stopped"))
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w; see %s: %s", p.spec.Name, ctx.Err(), p.spec.Log, p.Status().LastError)
		}
	}
}

// Stop ends the program, by force after its StopTimeout, and waits for it.
func (p *Process) Stop() {
	p.once.Do(func() { close(p.stop) })
	<-p.done
}

func (p *Process) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}
