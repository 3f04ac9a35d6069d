package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hubship/hubship/node/internal/settings"
)

// lock is the exclusive right to a data directory. The kernel gives it back
// when its holder dies.
type lock struct{ file *os.File }

// holder is what the lock file says about who has it.
type holder struct {
	PID    int    `json:"pid"`
	Socket string `json:"socket"`
}

func lockPath(s settings.Settings) string { return s.Data("node.lock") }

// heldByOther reports who runs the node, without making anything.
func heldByOther(s settings.Settings) error {
	file, err := os.Open(lockPath(s))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("inspect the lock of %s: %w", s.DataDir, err)
	}
	defer func() { _ = file.Close() }()
	if err := flock(file, unix.LOCK_SH, lockPatience); err != nil {
		return held(s)
	}
	return nil
}

// lockPatience is how long a lock may take to come free: a process that was
// killed holds its files until the kernel has taken it apart.
const lockPatience = 2 * time.Second

func flock(file *os.File, how int, patience time.Duration) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(file.Fd()), how|unix.LOCK_NB)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

func held(s settings.Settings) error {
	var h holder
	if data, err := os.ReadFile(lockPath(s)); err == nil {
		_ = json.Unmarshal(data, &h) // The holder may be writing it just now.
	}
	return fmt.Errorf("data directory %s is in use: process %d runs the node; ask it at %s, or stop it first", s.DataDir, h.PID, h.Socket)
}

func acquire(s settings.Settings) (*lock, error) {
	// Other users of the machine have no business in it: it holds keys, users'
	// files and the layers of images.
	if err := os.MkdirAll(s.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	if err := os.Chmod(s.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("close the data directory to others: %w", err)
	}
	file, err := os.OpenFile(lockPath(s), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", s.DataDir, err)
	}
	if err := flock(file, unix.LOCK_EX, lockPatience); err != nil {
		return nil, errors.Join(held(s), file.Close())
	}
	data, err := json.Marshal(holder{PID: os.Getpid(), Socket: s.Socket()})
	if err == nil {
		err = file.Truncate(0)
	}
	if err == nil {
		_, err = file.WriteAt(data, 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", s.DataDir, err), file.Close())
	}
	return &lock{file: file}, nil
}

func (l *lock) release() { _ = l.file.Close() }

// record names the first process of a run's namespaces. The start time makes
// sure that a later process of the same number is not taken for it.
type record struct {
	PID   int    `json:"pid"`
	Start string `json:"start"`
}

func recordPath(s settings.Settings) string { return s.Data("sandbox.json") }

func (n *Node) remember() error {
	start, err := startTime(n.box.Pid())
	if err != nil {
		return fmt.Errorf("remember the node's first process: %w", err)
	}
	data, err := json.Marshal(record{PID: n.box.Pid(), Start: start})
	if err != nil {
		return fmt.Errorf("remember the node's first process: %w", err)
	}
	if err := os.WriteFile(recordPath(n.s), data, 0o644); err != nil {
		return fmt.Errorf("remember the node's first process: %w", err)
	}
	return nil
}

// startTime returns when a process began, in the kernel's own unit.
func startTime(pid int) (string, error) {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", err
	}
	// The name, in parentheses, may hold spaces.
	_, rest, found := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	const startField = 19 // counted from the state, the first after the name
	if !found || len(fields) <= startField {
		return "", fmt.Errorf("cannot read /proc/%d/stat", pid)
	}
	return fields[startField], nil
}

const killWait = 10 * time.Second

// killRest kills what is left of an earlier run, if its first process can be
// proven to be the recorded one. Normally it died with its supervisor.
func killRest(s settings.Settings) error {
	data, err := os.ReadFile(recordPath(s))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the record of the last run: %w", err)
	}
	var r record
	if err := json.Unmarshal(data, &r); err == nil && r.PID > 1 {
		for deadline := time.Now().Add(killWait); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			start, err := startTime(r.PID)
			if err != nil || start != r.Start {
				break
			}
			if err := syscall.Kill(r.PID, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("kill process %d from the last run: %w", r.PID, err)
			}
		}
	}
	if err := os.Remove(recordPath(s)); err != nil {
		return fmt.Errorf("forget the last run: %w", err)
	}
	return nil
}

// Held reports whether a supervisor runs the node.
func Held(s settings.Settings) bool {
	file, err := os.Open(lockPath(s))
	if err != nil {
		return false
	}
	defer func() { _ = file.Close() }()
	return unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil
}
