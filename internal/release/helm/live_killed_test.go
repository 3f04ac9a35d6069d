package helm

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
)

// TestKilled kills a process in the middle of an upgrade.
func TestKilled(t *testing.T) {
	if ns := os.Getenv("HUBSHIP_TEST_KILLED_NAMESPACE"); ns != "" {
		w := newWorld(t, nil)
		w.target.Namespace = ns
		_, err := w.r.Upgrade(t.Context(), w.cluster, w.upgrade("killed", never(leftover)))
		t.Fatalf("ended before it was killed: %v", err)
	}
	for _, first := range []bool{true, false} {
		t.Run(map[bool]string{true: "first install", false: "upgrade"}[first], func(t *testing.T) {
			w := newWorld(t, nil)
			revision := 1
			if !first {
				w.must(w.upgrade("1", greet("one")))
				revision = 2
			}
			cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
			cmd.Env = append(os.Environ(), "HUBSHIP_TEST_KILLED_NAMESPACE="+w.target.Namespace)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(time.Minute); w.observe().Revision != revision || !w.leftoverExists(); time.Sleep(50 * time.Millisecond) {
				if time.Now().After(deadline) {
					_ = cmd.Process.Kill()
					t.Fatal("the upgrade did not begin")
				}
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			obs := w.observe()
			if !obs.Status.Pending() || obs.Inputs != "killed" {
				t.Fatalf("after the kill: %+v", obs)
			}
			w.expect(w.must(w.upgrade("2", greet("two"))), model.Deployed, revision+1, revision+1, "2")
			if w.greeting() != "two" || w.leftoverExists() {
				t.Errorf("greeting %q, leftover %v", w.greeting(), w.leftoverExists())
			}
		})
	}
}

// suicide ends the process, as kill -9 does, when the cluster has answered its
// n-th request that changes something.
type suicide struct {
	next http.RoundTripper
	left *atomic.Int64
}

func (s suicide) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.next.RoundTrip(r)
	if r.Method != http.MethodGet && s.left.Add(-1) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return resp, err
}

// TestKilledAnywhere cuts upgrades after each of their writes to the cluster in
// turn. Done again, each must end in the same state as undisturbed.
func TestKilledAnywhere(t *testing.T) {
	bogus := func(inputs string) map[string]string {
		changes := greet("is-" + inputs)
		changes["hub/templates/zz.yaml"] = leftover + "---\napiVersion: v1\nkind: Service\nmetadata: {name: bogus}\nspec: {bogusField: 1, ports: [{port: 80}]}\n"
		return changes
	}
	if n, err := strconv.Atoi(os.Getenv("HUBSHIP_TEST_KILL_AFTER")); err == nil {
		var left atomic.Int64
		left.Store(int64(n))
		w := newWorld(t, func(o *Options) {
			o.Clusters = cluster.New(cluster.Options{Wrap: func(next http.RoundTripper) http.RoundTripper { return suicide{next, &left} }})
		})
		w.target.Namespace = os.Getenv("HUBSHIP_TEST_KILLED_NAMESPACE")
		inputs := os.Getenv("HUBSHIP_TEST_KILLED_INPUTS")
		changes := greet("is-" + inputs)
		if os.Getenv("HUBSHIP_TEST_KILLED_BOGUS") != "" {
			changes = bogus(inputs)
		}
		_, err := w.r.Upgrade(t.Context(), w.cluster, w.upgrade(inputs, changes))
		t.Logf("survived: %v", err)
		return
	}
	// cut runs an upgrade in a process of its own, and says whether it was cut.
	cut := func(t *testing.T, w *world, n int, inputs, bogus string) bool {
		t.Helper()
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledAnywhere$")
		cmd.Env = append(os.Environ(), "HUBSHIP_TEST_KILL_AFTER="+strconv.Itoa(n), "HUBSHIP_TEST_KILLED_BOGUS="+bogus,
			"HUBSHIP_TEST_KILLED_NAMESPACE="+w.target.Namespace, "HUBSHIP_TEST_KILLED_INPUTS="+inputs)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
			return true
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return false
	}
	consistent := func(t *testing.T, w *world, n int) {
		t.Helper()
		found, err := heads(t.Context(), w.conn, w.target)
		if err != nil {
			t.Fatal(err)
		}
		deployed := 0
		for _, h := range found {
			if h.status == model.Deployed {
				deployed++
			}
			if h.status.Pending() {
				t.Errorf("cut %d: revision %d is still %s", n, h.revision, h.status)
			}
		}
		if deployed != 1 {
			t.Errorf("cut %d: %d revisions are deployed", n, deployed)
		}
	}
	const most = 40 // writes of one upgrade

	t.Run("install", func(t *testing.T) {
		for n := 1; ; n++ {
			w := newWorld(t, nil)
			if !cut(t, w, n, "1", "") {
				t.Logf("%d cuts", n-1)
				break
			} else if n > most {
				t.Fatal("cut without end")
			}
			found := w.observe()
			obs := w.must(w.upgrade("1", greet("is-1")))
			w.expect(w.observe(), model.Deployed, obs.Revision, obs.Revision, "1")
			if got := w.greeting(); got != "is-1" {
				t.Errorf("cut %d, found %s: greeting %q", n, found.Status, got)
			}
			consistent(t, w, n)
		}
	})
	t.Run("upgrade", func(t *testing.T) {
		w := newWorld(t, nil)
		w.must(w.upgrade("0", greet("is-0")))
		for n := 1; ; n++ {
			inputs := strconv.Itoa(n)
			if !cut(t, w, n, inputs, "") {
				t.Logf("%d cuts", n-1)
				break
			} else if n > most {
				t.Fatal("cut without end")
			}
			obs := w.must(w.upgrade(inputs, greet("is-"+inputs)))
			w.expect(w.observe(), model.Deployed, obs.Revision, obs.Revision, inputs)
			if got := w.greeting(); got != "is-"+inputs {
				t.Errorf("cut %d: greeting %q", n, got)
			}
			consistent(t, w, n)
		}
	})
	t.Run("failure and rollback", func(t *testing.T) {
		w := newWorld(t, nil)
		w.must(w.upgrade("good", greet("good")))
		for n := 1; ; n++ {
			inputs := fmt.Sprintf("bad%d", n)
			survived := !cut(t, w, n, inputs, "yes")
			var failed *model.UpgradeError
			if _, err := w.r.Upgrade(t.Context(), w.cluster, w.upgrade(inputs, bogus(inputs))); !errors.As(err, &failed) || failed.RollbackErr != nil {
				t.Fatalf("cut %d: %v", n, err)
			}
			obs := w.observe()
			w.expect(obs, model.Deployed, obs.Revision, obs.Revision, "good")
			if got := w.greeting(); got != "good" || w.leftoverExists() {
				t.Errorf("cut %d: greeting %q, leftover %v", n, got, w.leftoverExists())
			}
			consistent(t, w, n)
			if survived {
				t.Logf("%d cuts", n-1)
				break
			} else if n > most {
				t.Fatal("cut without end")
			}
		}
	})
}
