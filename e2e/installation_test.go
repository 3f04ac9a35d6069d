package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/api"
	"github.com/hubship/hubship/internal/forge/github"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
)

// installation is the one that the scenarios share. Name, ports, ranges and
// bridge are its own, so that it never touches one that somebody works with.
type installation struct {
	bin      string
	data     string
	settings install.Settings
	api      *api.Client
	web      *http.Client
	work     string // clones
	forges   map[string]*github.Client
	proposed int // pull requests that were opened
}

// settings of the installation under test.
func settings() install.Settings {
	return install.Settings{Version: 1, Name: "e2e", Port: 18080,
		Node: &install.Node{Bridge: "hse2e0", PodCIDR: "10.231.0.0/24", ServiceCIDR: "10.232.0.0/24", PortBase: 21400}}
}

// dataDir is fixed, so that what a killed test run left behind is found and
// removed by the next one.
func dataDir() string { return filepath.Join(os.TempDir(), "hubship-e2e") }

// newInstallation finds the program, or skips the test by name with the
// reason.
func newInstallation(t *testing.T) *installation {
	t.Helper()
	switch {
	case os.Getenv("HUBSHIP_E2E") != "1":
		t.Skip("the end-to-end scenarios run when HUBSHIP_E2E=1, as `make test-e2e` sets it")
	case runtime.GOOS != "linux":
		t.Skip("the embedded node needs Linux; this is " + runtime.GOOS)
	case os.Geteuid() != 0:
		t.Skip("the embedded node needs root")
	}
	bin, err := filepath.Abs(os.Getenv("HUBSHIP_BIN"))
	if _, serr := os.Stat(bin); err != nil || serr != nil || os.Getenv("HUBSHIP_BIN") == "" {
		t.Fatalf("HUBSHIP_BIN=%q names no program: run `make test-e2e`", os.Getenv("HUBSHIP_BIN"))
	}
	alone(t)
	s := settings()
	address := fmt.Sprintf("127.0.0.1:%d", s.Port)
	return &installation{
		bin: bin, data: dataDir(), settings: s, work: t.TempDir(), forges: map[string]*github.Client{},
		api: api.New(install.At(dataDir()).Socket),
		web: &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{
			// Names below .localhost are not resolved everywhere.
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "tcp", address)
			},
			DisableKeepAlives: true,
		}},
	}
}

// alone waits until no other test run plays with the same installation.
func alone(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile(dataDir()+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() }) // gives the lock up
	for end := time.Now().Add(20 * time.Minute); ; time.Sleep(time.Second) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("another test run holds %s: %v", f.Name(), err)
		}
	}
}

// upArgs are the arguments of `hubship up` for this installation.
func (i *installation) upArgs(more ...string) []string {
	n := i.settings.Node
	return append([]string{"up", "--name", i.settings.Name, "--port", fmt.Sprint(i.settings.Port), "--bridge", n.Bridge,
		"--pod-cidr", n.PodCIDR, "--service-cidr", n.ServiceCIDR, "--port-base", fmt.Sprint(n.PortBase)}, more...)
}

// result is what a command of hubship did.
type result struct {
	code     int
	out, err string
	took     time.Duration
}

// hubship runs the program to its end; ctx bounds it.
func (i *installation) hubship(ctx context.Context, t *testing.T, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(ctx, i.bin, append([]string{"--data", i.data}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	begin := time.Now()
	err := cmd.Run()
	r := result{out: out.String(), err: errs.String(), took: time.Since(begin)}
	if cmd.ProcessState == nil {
		t.Fatalf("run hubship %s: %v", args[0], err)
	}
	r.code = cmd.ProcessState.ExitCode()
	t.Logf("hubship %s: exit code %d after %.1fs", strings.Join(args, " "), r.code, r.took.Seconds())
	return r
}

// must runs a command that has to end well.
func (i *installation) must(t *testing.T, limit time.Duration, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	r := i.hubship(ctx, t, args...)
	if r.code != model.ExitDone {
		t.Fatalf("hubship %s: exit code %d\n%s\n%s", strings.Join(args, " "), r.code, tail(r.err, 60), tail(r.out, 20))
	}
	return r
}

// tail returns the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(all) > lines {
		all = append([]string{fmt.Sprintf("(%d lines before)", len(all)-lines)}, all[len(all)-lines:]...)
	}
	return strings.Join(all, "\n")
}

// status asks the server.
func (i *installation) status(t *testing.T) model.Status {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	st, err := i.api.Status(ctx)
	if err != nil {
		t.Fatalf("status: %v", err)
	}
	return st
}

// release returns the release of the starter's hub in an environment.
func (i *installation) release(t *testing.T, env string) model.ReleaseStatus {
	t.Helper()
	st := i.status(t)
	for _, e := range st.Environments {
		if e.Name == env && len(e.Releases) == 1 {
			return e.Releases[0]
		}
	}
	t.Fatalf("no release in environment %s: %+v", env, st.Problems)
	return model.ReleaseStatus{}
}

// runOf waits for the run that a commit started in an environment.
func (i *installation) runOf(t *testing.T, env, commit string) model.Run {
	t.Helper()
	for end := time.Now().Add(90 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		runs, err := i.api.Runs(context.Background(), model.RunFilter{Environment: env, Limit: 10})
		if err != nil {
			continue // the server may be on its way up
		}
		for _, r := range runs {
			if r.Commit == commit && r.Kind == model.Deploy {
				return r
			}
		}
	}
	t.Fatalf("no run of %s began for %.12s", env, commit)
	return model.Run{}
}

// finished follows a run to its end.
func (i *installation) finished(t *testing.T, id string, limit time.Duration) model.Run {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var log []string
	r, err := i.api.Follow(ctx, id, func(l model.Line) error {
		log = append(log, fmt.Sprintf("%s %s: %s", l.Time.Format("15:04:05"), l.Scope, l.Text))
		return nil
	})
	if err != nil {
		t.Fatalf("follow run %s: %v\n%s", id, err, tail(strings.Join(log, "\n"), 40))
	}
	t.Log(outcome(r))
	return r
}

// outcome says in a line how a run stands.
func outcome(r model.Run) string {
	return fmt.Sprintf("run %s, %s of %s: %s %s (build %.1fs, deploy %.1fs, verify %.1fs)", r.ID, r.Kind, r.Environment, r.State, r.Reason,
		r.Durations.Build.Seconds(), r.Durations.Deploy.Seconds(), r.Durations.Verify.Seconds())
}

// ends follows the run of a commit and checks how it ends.
func (i *installation) ends(t *testing.T, env, commit string, want ...model.RunState) model.Run {
	t.Helper()
	r := i.finished(t, i.runOf(t, env, commit).ID, 15*time.Minute)
	for _, w := range want {
		if r.State == w {
			return r
		}
	}
	raw, _ := json.MarshalIndent(r, "", " ")
	t.Fatalf("run %s ended %s, want %v: %s\n%s", r.ID, r.State, want, r.Reason, tail(string(raw), 120))
	return r
}

// built lists the images that a run built.
func built(r model.Run) []string {
	var ids []string
	for _, img := range r.Images {
		if img.Rebuilt {
			ids = append(ids, img.ID)
		}
	}
	return ids
}

// settle waits until nothing is under way.
func (i *installation) settle(t *testing.T, limit time.Duration) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(250 * time.Millisecond) {
		busy := ""
		for _, e := range i.status(t).Environments {
			if e.Active != nil {
				busy = fmt.Sprintf("run %s of %s", e.Active.ID, e.Name)
			}
		}
		if busy == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s is still under way", busy)
		}
	}
}

// newest says in a line each how the newest runs stand.
func (i *installation) newest() string {
	runs, err := i.api.Runs(context.Background(), model.RunFilter{Limit: 4})
	if err != nil {
		return "not known: " + err.Error()
	}
	var lines []string
	for _, r := range runs {
		lines = append(lines, outcome(r))
	}
	return strings.Join(lines, "\n")
}

// evidence prints what helps to understand a failure, bounded.
func (i *installation) evidence(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, args := range [][]string{{"status"}, {"status", "--node"}, {"history", "--limit", "8"}} {
		r := i.hubship(ctx, t, args...)
		t.Logf("%s\n%s", tail(r.out, 40), tail(r.err, 10))
	}
	if runs, err := i.api.Runs(ctx, model.RunFilter{Limit: 2}); err == nil {
		for _, run := range runs {
			r := i.hubship(ctx, t, "logs", run.ID)
			t.Logf("log of run %s:\n%s", run.ID, tail(r.out, 60))
		}
	}
	paths := install.At(i.data)
	for _, file := range []string{paths.ServerLog, paths.NodeLog} {
		if raw, err := os.ReadFile(file); err == nil {
			t.Logf("%s:\n%s", filepath.Base(file), tail(string(raw), 40))
		}
	}
}
