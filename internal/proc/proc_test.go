package proc

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func onLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("processes are found through /proc, which only Linux has")
	}
}

func TestStartStop(t *testing.T) {
	onLinux(t)
	log := filepath.Join(t.TempDir(), "logs", "sleep.log")
	d, err := Start(log, "/bin/sh", "-c", "echo up; exec sleep 60")
	if err != nil {
		t.Fatal(err)
	}
	if !d.Alive() {
		t.Fatal("started and not alive")
	}
	for end := time.Now().Add(10 * time.Second); Tail(log, 1) != "up" && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	file := filepath.Join(t.TempDir(), "pid")
	if err := d.Write(file); err != nil {
		t.Fatal(err)
	}
	again, ok := Read(file)
	if !ok || again.PID != d.PID || again.Start != d.Start {
		t.Fatalf("read back %+v, %v", again, ok)
	}
	if err := again.Stop(context.Background(), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	<-d.Ended()
	if _, ok := Read(file); ok || d.Alive() {
		t.Fatal("stopped and alive")
	}
	if got := Tail(log, 3); got != "up" {
		t.Fatalf("log is %q", got)
	}
}

// A process that ignores the polite signal is killed after the grace period.
func TestStopKills(t *testing.T) {
	onLinux(t)
	log := filepath.Join(t.TempDir(), "log")
	d, err := Start(log, "/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); Tail(log, 1) != "ready" && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if err := d.Stop(context.Background(), 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	<-d.Ended()
	if d.Err() == nil || !strings.Contains(d.Err().Error(), "killed") {
		t.Fatalf("ended with %v", d.Err())
	}
}

// init ends the first thread of a process that TestDyingProcess starts; its
// other threads go on.
func init() {
	if os.Getenv("HUBSHIP_TEST_FIRST_THREAD") != "ends" {
		return
	}
	go func() {
		time.Sleep(time.Minute)
		os.Exit(0)
	}()
	_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT, 0, 0, 0)
}

// A process of which the first thread has ended and others have not still
// holds its ports and locks.
func TestDyingProcess(t *testing.T) {
	onLinux(t)
	t.Setenv("HUBSHIP_TEST_FIRST_THREAD", "ends")
	d, err := Start(filepath.Join(t.TempDir(), "log"), os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if state, _, err := stat(d.PID); err == nil && state == "Z" {
			break
		}
		if time.Now().After(end) {
			t.Fatal("its first thread does not end")
		}
	}
	if !d.Alive() {
		t.Error("its other threads run, and it counts as ended")
	}
	if err := d.Stop(context.Background(), 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	<-d.Ended()
	if d.Alive() {
		t.Error("ended, and counts as alive")
	}
}

// A process id that now belongs to another process is not ours.
func TestOtherProcessIsNotOurs(t *testing.T) {
	onLinux(t)
	self, err := Self("v1")
	if err != nil || !self.Alive() {
		t.Fatalf("%+v %v", self, err)
	}
	other := self
	other.Start++
	if other.Alive() {
		t.Fatal("another start time taken for this process")
	}
	if err := other.Stop(context.Background(), time.Second); err != nil {
		t.Fatal(err) // and, above all, this test still runs
	}
	other = self
	other.Boot = "another boot"
	if other.Alive() {
		t.Fatal("another boot taken for this one")
	}
}

func TestRotate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := rotate(file, 1000); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Fatal("rotated too early")
	}
	if err := rotate(file, 50); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file + ".1"); err != nil {
		t.Fatal(err)
	}
}
