package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/node"
)

// serverPID reads the record of the running server.
func (i *installation) serverPID(t *testing.T) int {
	t.Helper()
	raw, err := os.ReadFile(install.At(i.data).ServerPID)
	var rec struct{ PID int }
	if err != nil || json.Unmarshal(raw, &rec) != nil || rec.PID <= 1 {
		t.Fatalf("no record of the server: %v %s", err, raw)
	}
	return rec.PID
}

func (i *installation) nodeStatus(t *testing.T) node.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	st, err := node.NewClient(i.settings.NodeSocket()).Status(ctx)
	if err != nil {
		t.Fatalf("the node's status: %v", err)
	}
	return st
}

// pids names the processes of the installation, for comparison.
func (i *installation) pids(t *testing.T) string {
	t.Helper()
	st := i.nodeStatus(t)
	list := []string{fmt.Sprintf("server %d", i.serverPID(t)), fmt.Sprintf("supervisor %d", st.PID)}
	for _, c := range st.Components {
		list = append(list, fmt.Sprintf("%s %d", c.Name, c.PID))
	}
	slices.Sort(list[2:])
	return strings.Join(list, ", ")
}

// serverKilled kills the server at several points of a deploy. Each time it is
// brought up again, and the run ends as if nothing had happened.
func (i *installation) serverKilled(t *testing.T) {
	i.interrupted(t, syscall.SIGKILL, 300*time.Millisecond, 2*time.Second, 4*time.Second)
}

// serverStopped ends the server in good order in the middle of a deploy, as an
// update of the program does.
func (i *installation) serverStopped(t *testing.T) {
	i.interrupted(t, syscall.SIGTERM, time.Second, 4*time.Second)
}

// signal sends the server a signal.
func (i *installation) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	pid := i.serverPID(t)
	if err := syscall.Kill(pid, signal); err != nil {
		t.Fatalf("%s to the server (%d): %v", signal, pid, err)
	}
}

// interrupted merges a change and sends the server a signal after each pause.
func (i *installation) interrupted(t *testing.T, signal syscall.Signal, pauses ...time.Duration) {
	before := i.release(t, "staging").Observed
	c := i.clone(t, "staging")
	c.bump(t, "deployments/datahub/config/common.yaml", "http_timeout")
	c.commit(t, "Wait longer")
	commit := i.land(t, c, "staging")
	run := i.runOf(t, "staging", commit)
	times := 0
	for _, pause := range pauses {
		time.Sleep(pause)
		if r, err := i.api.Run(context.Background(), run.ID); err == nil && r.State.Final() {
			break
		}
		i.signal(t, signal)
		times++
		i.must(t, 2*time.Minute, i.upArgs("--follow=false")...)
	}
	if times == 0 {
		t.Fatalf("the run ended before the server could be sent a %s", signal)
	}
	r := i.finished(t, run.ID, 10*time.Minute)
	if r.State != model.Done {
		t.Fatalf("after %d times %s run %s ended %s: %s", times, signal, r.ID, r.State, r.Reason)
	}
	rel := i.release(t, "staging")
	if !rel.InSync || rel.Halt != nil || rel.Evidence == nil || rel.Observed.Commit != commit || rel.Observed.Status != model.Deployed {
		t.Errorf("not the end of an undisturbed deploy: %+v", rel)
	}
	t.Logf("%d times %s; revision %d became %d", times, signal, before.Revision, rel.Observed.Revision)
}

// ours lists every process of the installation: those that name one of its
// folders in their command line or as their program, and all their
// descendants, containers included.
func (i *installation) ours() []int {
	children := map[int][]int{}
	var found []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if pid == os.Getpid() || pid <= 1 {
			continue
		}
		if stat, err := os.ReadFile(dir + "/stat"); err == nil {
			fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
			if len(fields) > 1 {
				parent, _ := strconv.Atoi(fields[1])
				children[parent] = append(children[parent], pid)
			}
		}
		cmdline, _ := os.ReadFile(dir + "/cmdline")
		text := string(cmdline) + "\x00"
		for _, folder := range []string{i.data, i.settings.RunDir()} {
			if strings.Contains(text, folder+"/") || strings.Contains(text, folder+"\x00") {
				found = append(found, pid)
				break
			}
		}
	}
	for n := 0; n < len(found); n++ {
		for _, child := range children[found[n]] {
			if !slices.Contains(found, child) {
				found = append(found, child)
			}
		}
	}
	return found
}

// everythingKilled kills every process of the installation at once, as a
// power cut would, and brings it up again: hubs, users' files and history are
// still there.
func (i *installation) everythingKilled(t *testing.T) {
	ada := i.login(t, "prod", "ada")
	ada.start(t)
	ada.save(t, "survivor.ipynb", "print('still here')")
	runs, err := i.api.Runs(context.Background(), model.RunFilter{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	before := map[string]model.Observed{"staging": i.release(t, "staging").Observed, "prod": i.release(t, "prod").Observed}

	victims := i.ours()
	if len(victims) < 10 {
		t.Fatalf("only %d processes found to kill", len(victims))
	}
	for _, pid := range victims {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	for end := time.Now().Add(10 * time.Second); len(i.ours()) > 0 && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		for _, pid := range i.ours() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	r := i.must(t, 5*time.Minute, i.upArgs()...)
	t.Logf("%d processes killed; up again after %.0fs", len(victims), r.took.Seconds())

	again, err := i.api.Runs(context.Background(), model.RunFilter{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range runs {
		if !slices.ContainsFunc(again, func(r model.Run) bool { return r.ID == old.ID && r.State == old.State }) {
			t.Errorf("run %s (%s) is missing from the history", old.ID, old.State)
		}
	}
	for env, old := range before {
		if now := i.release(t, env).Observed; now.Revision != old.Revision || now.Inputs != old.Inputs || now.Status != model.Deployed {
			t.Errorf("%s was %+v and is %+v", env, old, now)
		}
	}
	ada = i.login(t, "prod", "ada")
	ada.start(t)
	ada.has(t, "survivor.ipynb", "print('still here')")
	ada.stop(t)
}
