// Package proc starts processes that outlive their starter and later finds
// them again by process id and start time, so that a process id that the
// system has given to somebody else is never taken for ours.
package proc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Record identifies a process for as long as the machine is up.
type Record struct {
	PID     int    `json:"pid"`
	Start   uint64 `json:"start"`             // clock ticks after boot, field 22 of /proc/PID/stat
	Boot    string `json:"boot"`              // id of the boot, because ticks start anew with each
	Version string `json:"version,omitempty"` // of the program, as it says itself
}

// Self is the record of this process.
func Self(version string) (Record, error) {
	r, err := Of(os.Getpid())
	r.Version = version
	return r, err
}

// Of is the record of a running process.
func Of(pid int) (Record, error) {
	state, start, err := stat(pid)
	if err != nil {
		return Record{}, err
	}
	if ended(pid, state) {
		return Record{}, fmt.Errorf("process %d has ended: %w", pid, fs.ErrNotExist)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return Record{}, fmt.Errorf("read the ID of this boot: %w", err)
	}
	return Record{PID: pid, Start: start, Boot: strings.TrimSpace(string(boot))}, nil
}

// ended says whether nothing of a process runs any more. While a process dies,
// its first thread can be done before the others, which hold its ports and
// locks until they are done too.
func ended(pid int, state string) bool {
	if state != "Z" {
		return state == "X"
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	return err != nil || len(threads) <= 1
}

// stat reads state and start time of a process.
func stat(pid int) (state string, start uint64, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", 0, fmt.Errorf("look for process %d: %w", pid, err)
	}
	// The program's name is in parentheses and may hold anything.
	_, rest, ok := strings.Cut(string(raw[strings.LastIndexByte(string(raw), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return "", 0, fmt.Errorf("process %d: /proc entry not understood", pid)
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return "", 0, fmt.Errorf("process %d: start time: %w", pid, err)
	}
	return fields[0], start, nil
}

// Alive says whether the very process of the record still runs.
func (r Record) Alive() bool {
	if r.PID <= 0 {
		return false
	}
	now, err := Of(r.PID)
	return err == nil && now.Start == r.Start && now.Boot == r.Boot
}

// Write stores the record in a file, replacing it in one step.
func (r Record) Write(file string) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	tmp := fmt.Sprintf("%s.%d", file, os.Getpid())
	if err := os.WriteFile(tmp, append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// Read returns the record in a file; ok is false when there is none, or none
// that can be read, or its process has ended.
func Read(file string) (r Record, ok bool) {
	raw, err := os.ReadFile(file)
	if err != nil || json.Unmarshal(raw, &r) != nil {
		return Record{}, false
	}
	return r, r.Alive()
}

// Stop asks the process to end and waits until it has; after the grace period
// it is killed. A process that has already ended is no error.
func (r Record) Stop(ctx context.Context, grace time.Duration) error {
	if !r.Alive() {
		return nil
	}
	// The handle keeps the process id from being given to somebody else.
	p, err := os.FindProcess(r.PID)
	if err != nil {
		return fmt.Errorf("find process %d: %w", r.PID, err)
	}
	defer p.Release()
	if !r.Alive() {
		return nil
	}
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, grace}, {syscall.SIGKILL, 10 * time.Second}} {
		if err := p.Signal(step.signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("signal process %d: %w", r.PID, err)
		}
		if done, err := r.waitGone(ctx, step.wait); done || err != nil {
			return err
		}
	}
	return fmt.Errorf("process %d does not end", r.PID)
}

func (r Record) waitGone(ctx context.Context, limit time.Duration) (bool, error) {
	deadline := time.Now().Add(limit)
	for r.Alive() {
		if time.Now().After(deadline) {
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("wait for process %d to end: %w", r.PID, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	return true, nil
}

// Detached is a process that was started to outlive this one.
type Detached struct {
	Record
	ended chan struct{}
	err   error
}

// Ended is closed when the process ends while its starter still runs.
func (d *Detached) Ended() <-chan struct{} { return d.ended }

// Err says how the process ended, after Ended is closed.
func (d *Detached) Err() error { return d.err }

// Start runs a program in a session of its own, with its output appended to a
// log file. An argument list is public to the machine: no secret belongs in it.
func Start(log string, program string, args ...string) (*Detached, error) {
	if err := os.MkdirAll(filepath.Dir(log), 0o700); err != nil {
		return nil, fmt.Errorf("create the folder of %s: %w", log, err)
	}
	if err := rotate(log, 16<<20); err != nil {
		return nil, err
	}
	out, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", filepath.Base(program), err)
	}
	defer out.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = "/" // so that it keeps no folder busy that somebody wants to remove
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	d := &Detached{ended: make(chan struct{})}
	rec, err := Of(cmd.Process.Pid)
	if err == nil {
		d.Record = rec
	}
	d.PID = cmd.Process.Pid
	go func() {
		d.err = cmd.Wait()
		close(d.ended)
	}()
	return d, nil
}

// rotate moves a log that has grown beyond limit aside, keeping one.
func rotate(log string, limit int64) error {
	info, err := os.Stat(log)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() < limit {
		return nil
	}
	if err == nil {
		err = os.Rename(log, log+".1")
	}
	if err != nil {
		return fmt.Errorf("rotate %s: %w", log, err)
	}
	return nil
}

// Tail returns the last lines of a file, for an error message.
func Tail(file string, lines int) string {
	raw, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	if limit := 64 << 10; len(raw) > limit {
		raw = raw[len(raw)-limit:]
	}
	all := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}
