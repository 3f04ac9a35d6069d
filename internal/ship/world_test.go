package ship_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship"
	"github.com/hubship/hubship/internal/store"
)

// kept is where evidence and locks are.
type kept interface {
	ship.EvidenceStore
	ship.ReleaseLock
}

// world is everything outside the engine, small and in memory: a linear Git
// history, a registry, a cluster with Helm-like records, and a verifier that
// fails where a requirements file names a broken package. The history is the
// real store.
type world struct {
	mu       sync.Mutex
	commits  []commit          // oldest first; the id is the index
	branches map[string]string // branch -> commit id
	registry map[string]model.Built
	builds   []string // Source.Hash, in order
	releases map[string][]record
	evidence map[string][]model.Evidence
	refused  map[string][]string // why records are not believed
	halts    map[string]model.Halt
	locks    map[string]string
	verified []model.VerifyRequest
	kept     kept // when set, it takes the place of the world's own

	environments []model.Environment // of the process, which every commit is under
	broken       bool                // no process holds

	repository ship.Repository   // in place of the world's own, when set
	shared     map[string]string // digest of shared inputs of what was upgraded, by commit

	tests     []model.Test
	testsAt   map[string][]model.Test // by commit, in place of tests
	proposal  *model.Proposal         // of every change
	changed   func(model.Run)         // is told of records, when set
	untrusted []string                // Source.Hash of builds that were
	tested    map[string][]string     // the files that each test saw, by its name
	held      chan struct{}           // when set, a test waits for it or its context
	holding   chan struct{}

	elsewhere map[string]string // reference -> digest of images made elsewhere; "?" does not answer
	upgraded  []model.Upgrade

	locked func(key, holder string) // is told of each Lease, while w is locked

	silent      bool // the registry does not answer
	failBuild   bool
	failUpgrade bool
	block       chan struct{} // when set, an upgrade waits for it or its context
	blocked     chan struct{}
	endContext  context.CancelFunc // of the newest engine
}

// set changes the world while an engine may look at it.
func (w *world) set(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) revisions(key string) []record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.releases[key]
}

type commit struct {
	id, subject string
	parents     []string
	files       map[string]string
}

// record is one Helm revision.
type record struct {
	inputs, commit string
	status         model.HelmStatus
}

func newWorld() *world {
	return &world{
		environments: []model.Environment{
			{Name: "staging", Branch: "staging", Cluster: "local", Namespace: "{hub}-staging", Release: "{hub}-staging", Host: "{hub}-staging.localhost"},
			{Name: "prod", Branch: "prod", Cluster: "local", Namespace: "{hub}-prod", Release: "{hub}-prod", Host: "{hub}.localhost", After: "staging"},
		},
		shared:   map[string]string{},
		branches: map[string]string{}, registry: map[string]model.Built{}, releases: map[string][]record{},
		tested: map[string][]string{}, evidence: map[string][]model.Evidence{}, halts: map[string]model.Halt{}, locks: map[string]string{},
	}
}

func sum(parts ...string) string {
	h := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(h[:])
}

// start brings an engine up over the world, with a history and a workflow
// database in dir.
func (w *world) start(t *testing.T, dir string) *ship.Engine {
	t.Helper()
	history, err := store.Open(t.Context(), filepath.Join(dir, "history.db"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	w.endContext = cancel
	var store kept = w
	if w.kept != nil {
		store = w.kept
	}
	var repository ship.Repository = w
	if w.repository != nil {
		repository = w.repository
	}
	e, err := ship.New(ctx, ship.Ports{Repository: repository, Clusters: w, Images: w, Releases: w, Evidence: store, Locks: store, Verifier: w, History: history, Assessor: w, Sandbox: sandbox{w}, Results: history}, ship.Options{
		Database: "sqlite:" + filepath.Join(dir, "workflows.db"), WorkDir: filepath.Join(dir, "work"), Reconcile: time.Hour,
		Changed: w.changed,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Launch(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = e.Stop(5 * time.Second)
		history.Close()
	})
	return e
}

// settle waits until no run is active, twice in a row: the end of a run may
// start another.
func settle(t *testing.T, e *ship.Engine) []model.Run {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	quiet := 0
	for time.Now().Before(deadline) {
		active, err := e.Runs(t.Context(), model.RunFilter{Active: true})
		if err != nil {
			t.Fatal(err)
		}
		quiet++
		if len(active) > 0 {
			quiet = 0
		}
		if quiet == 6 {
			all, err := e.Runs(t.Context(), model.RunFilter{Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			return all
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("runs did not end within 30 s")
	return nil
}
