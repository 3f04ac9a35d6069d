// Package sandbox gives a node its own PID, mount and network namespace. All
// programs of the node are started into it, so that the death of its first
// process, for whatever reason, ends every program and container and drops
// every mount and network interface that the node ever made.
package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Sandbox is the set of namespaces of a running node.
type Sandbox struct {
	init  *exec.Cmd
	calls chan call
	dead  chan struct{}
	err   error
}

type call struct {
	fn   func() error
	done chan error
}

// startTimeout bounds the mounts that nsinit makes; they take milliseconds.
const startTimeout = 20 * time.Second

// Start creates the namespaces with program, the path of nsinit, as their first
// process. runDir stays visible inside under its own name. They end when the
// calling process does. logFile takes what nsinit has to say.
func Start(program, runDir string, logFile io.Writer) (*Sandbox, error) {
	readyR, readyW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start the node's namespaces: %w", err)
	}
	defer func() { _ = readyR.Close() }()
	s := &Sandbox{calls: make(chan call), dead: make(chan struct{})}
	s.init = exec.Command(program, runDir)
	s.init.Stderr = logFile
	s.init.ExtraFiles = []*os.File{readyW}
	s.init.Env = []string{"PATH=" + os.Getenv("PATH"), "GOMAXPROCS=1"}
	s.init.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
		Setsid:     true,
	}
	started := make(chan error, 1)
	go s.serve(started, func() error { return waitReady(readyR, readyW) })
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start the node's namespaces: %w; the node needs root and a kernel with namespaces", err)
	}
	go func() {
		s.err = s.init.Wait()
		close(s.dead)
	}()
	return s, nil
}

func waitReady(readyR, readyW *os.File) error {
	_ = readyW.Close()
	if err := readyR.SetReadDeadline(time.Now().Add(startTimeout)); err != nil {
		return err
	}
	if _, err := io.ReadFull(readyR, make([]byte, 1)); err != nil {
		return fmt.Errorf("nsinit did not become ready; its log says why: %w", err)
	}
	return nil
}

// serve owns the one thread that lives in the namespaces. It never gives the
// thread back: the kernel ties both the namespaces and the death signal of
// nsinit to it.
func (s *Sandbox) serve(started chan<- error, waitReady func() error) {
	runtime.LockOSThread()
	if err := s.init.Start(); err != nil {
		started <- err
		return
	}
	err := waitReady()
	if err == nil {
		err = enter(s.init.Process.Pid)
	}
	if err != nil {
		_ = s.init.Process.Kill()
		_ = s.init.Wait()
		started <- err
		return
	}
	started <- nil
	for {
		select {
		case c := <-s.calls:
			c.done <- c.fn()
		case <-s.dead:
			// Whoever still waits for a call must learn that it will not run.
			return
		}
	}
}

func enter(pid int) error {
	// A thread that shares its working directory with others may not change its
	// mount namespace.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare the working directory: %w", err)
	}
	for _, ns := range []struct {
		name string
		flag int
	}{{"pid", unix.CLONE_NEWPID}, {"ipc", unix.CLONE_NEWIPC}, {"net", unix.CLONE_NEWNET}, {"mnt", unix.CLONE_NEWNS}} {
		if err := setns(pid, ns.name, ns.flag); err != nil {
			return err
		}
	}
	return nil
}

func setns(pid int, name string, flag int) error {
	path := "/proc/" + strconv.Itoa(pid) + "/ns/" + name
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Setns(fd, flag); err != nil {
		return fmt.Errorf("enter %s: %w", path, err)
	}
	return nil
}

// ErrDead is returned by calls into a sandbox whose first process has ended.
var ErrDead = errors.New("the node's namespaces are gone")

// Do runs fn on the thread that lives in the namespaces: sockets that fn opens,
// files it names and processes it starts belong to the node. Calls run one
// after the other, so fn must be short and must not call Do.
func (s *Sandbox) Do(fn func() error) error {
	c := call{fn: fn, done: make(chan error, 1)}
	select {
	case s.calls <- c:
	case <-s.dead:
		return ErrDead
	}
	select {
	case err := <-c.done:
		return err
	case <-s.dead:
		return ErrDead
	}
}

// StartCommand starts cmd inside the namespaces. The caller waits for it as
// usual; its process id is the machine's.
func (s *Sandbox) StartCommand(cmd *exec.Cmd) error {
	return s.Do(cmd.Start)
}

// Pid is the process id of the first process, as the machine sees it.
func (s *Sandbox) Pid() int { return s.init.Process.Pid }

// Dead is closed once the namespaces are gone.
func (s *Sandbox) Dead() <-chan struct{} { return s.dead }

// Kill ends every process of the node at once and waits until they are gone.
func (s *Sandbox) Kill() {
	_ = s.init.Process.Kill()
	<-s.dead
}
