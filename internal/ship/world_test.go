package ship_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship"
	"github.com/hubship/hubship/internal/store"
)

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
	ledger   ship.Ledger // when set, it takes the place of the world's own

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

// commit adds a commit on a branch that changes some files.
func (w *world) commit(branch, subject string, files map[string]string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := commit{id: fmt.Sprintf("%040x", len(w.commits)+1), subject: subject, files: map[string]string{}}
	if parent := w.branches[branch]; parent != "" {
		c.parents = []string{parent}
		for k, v := range w.at(parent).files {
			c.files[k] = v
		}
	}
	for k, v := range files {
		c.files[k] = v
	}
	w.commits = append(w.commits, c)
	w.branches[branch] = c.id
	return c.id
}

func (w *world) at(id string) commit {
	for _, c := range w.commits {
		if c.id == id {
			return c
		}
	}
	return commit{}
}

// Repository.

func (w *world) Resolve(_ context.Context, rev string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if id := w.branches[rev]; id != "" {
		return id, nil
	}
	if w.at(rev).id == "" {
		return "", fmt.Errorf("no commit %s", rev)
	}
	return rev, nil
}

func (w *world) Head(_ context.Context, branch string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.branches[branch], nil
}

func (w *world) Subject(_ context.Context, id string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at(id).subject, nil
}

func (w *world) IsAncestor(_ context.Context, old, new string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	todo := []string{new}
	for len(todo) > 0 {
		id := todo[0]
		todo = todo[1:]
		if id == old {
			return true, nil
		}
		todo = append(todo, w.at(id).parents...)
	}
	return false, nil
}

func (w *world) Log(ctx context.Context, base, head string) ([]string, error) {
	return []string{head[:7] + " " + w.at(head).subject}, nil
}

func (w *world) Changed(context.Context, string, string, string) ([]string, error) {
	return []string{"common"}, nil
}

// Now is the process, which is at staging's tip.
func (w *world) Now(context.Context) (model.Process, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.process()
}

func (w *world) process() (model.Process, error) {
	p := model.Process{Branch: "staging", Commit: w.branches["staging"]}
	if p.Commit == "" || w.broken {
		return p, errors.New("the process branch staging is broken")
	}
	p.Environments, p.Clusters = w.environments, []string{"local"}
	return p, nil
}

// Cluster knows one cluster.
func (w *world) Cluster(_ context.Context, name string) (model.Cluster, error) {
	if name != "local" {
		return model.Cluster{}, model.ErrUnknownCluster
	}
	return model.Cluster{Name: name, Embedded: true}, nil
}

func (w *world) Fleet(_ context.Context, id string) (*model.Fleet, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at(id).id == "" {
		return nil, fmt.Errorf("no commit %s", id)
	}
	p, err := w.process()
	if err != nil {
		return nil, err
	}
	f := &model.Fleet{
		Tests:  w.tests,
		Commit: id, Hubs: []model.Hub{{Name: "bio"}, {Name: "data"}},
		Images: []model.Image{{ID: "user", Name: "user", Repository: "user", Context: "image", Dockerfile: "image/Dockerfile", Values: "jupyterhub.singleuser.image"}},
	}
	if tests, ok := w.testsAt[id]; ok {
		f.Tests = tests
	}
	f.Under(p)
	return f, nil
}

func (w *world) Desired(_ context.Context, f *model.Fleet, env string) ([]model.Desired, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	files := w.at(f.Commit).files
	var out []model.Desired
	for _, hub := range f.Hubs {
		t, err := f.Target(hub.Name, env)
		if err != nil {
			return nil, err
		}
		src := model.Source{Image: f.Images[0], Hash: sum(files["image/requirements.txt"])}
		out = append(out, model.Desired{
			Target: t, Commit: f.Commit, Images: []model.Source{src},
			Shared: sum(files["common"], files["names/all"], files[hub.Name], src.Hash), Own: sum(files[env], files["names/"+env]),
		})
	}
	return out, nil
}

func (w *world) FS(_ context.Context, id string) (fs.FS, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	tree := fstest.MapFS{}
	for name, text := range w.at(id).files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return tree, nil
}

func (w *world) Files(_ context.Context, id string) (map[string]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	files := map[string]string{}
	for name, text := range w.at(id).files {
		files[name] = sum(text)
	}
	return files, nil
}

// Checkout writes the whole tree, whatever part is asked for.
func (w *world) Checkout(_ context.Context, id, _, dir string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, text := range w.at(id).files {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			return err
		}
	}
	return nil
}

// merge merges a branch into another one.
func (w *world) merge(into, from string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := commit{id: fmt.Sprintf("%040x", len(w.commits)+1), subject: "Merge " + from, parents: []string{w.branches[into], w.branches[from]}, files: w.at(w.branches[from]).files}
	w.commits = append(w.commits, c)
	w.branches[into] = c.id
	return c.id
}

// Images.

func (w *world) Find(_ context.Context, _ fs.FS, src model.Source) (model.Built, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silent {
		return model.Built{}, false, fmt.Errorf("the registry %w", model.ErrUnknown)
	}
	b, ok := w.registry[src.Hash]
	b.Rebuilt = false
	return b, ok, nil
}

func (w *world) Exists(_ context.Context, b model.Built) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.silent {
		return false, fmt.Errorf("the registry %w", model.ErrUnknown)
	}
	_, ok := w.registry[b.Source]
	return ok, nil
}

func (w *world) Build(_ context.Context, _ string, src model.Source, opts model.BuildOptions, log io.Writer) (model.Built, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if opts.Untrusted {
		w.untrusted = append(w.untrusted, src.Hash)
	}
	if b, ok := w.registry[src.Hash]; ok {
		b.Rebuilt = false
		return b, nil
	}
	fmt.Fprintln(log, "building")
	if w.failBuild {
		return model.Built{}, fmt.Errorf("RUN pip install: exit code 1: %w", model.ErrSource)
	}
	b := model.Built{ID: src.ID, Source: src.Hash, Key: src.Hash, Name: "r/user", Tag: "h-" + src.Hash[:8], Digest: "sha256:" + src.Hash, Rebuilt: true}
	w.registry[src.Hash] = b
	w.builds = append(w.builds, src.Hash)
	return b, nil
}

func (w *world) Digest(_ context.Context, ref string) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch digest := w.elsewhere[ref]; digest {
	case "":
		return "", fmt.Errorf("image %s: quay.io does not have it: %w", ref, fs.ErrNotExist)
	case "?":
		return "", fmt.Errorf("image %s: quay.io %w", ref, model.ErrUnknown)
	default:
		return digest, nil
	}
}

// Releases.

// Foreign: each word of a file names/ENV or names/all is an image.
func (w *world) Foreign(_ context.Context, u model.Upgrade, _ bool) (model.Foreign, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out model.Foreign
	files := w.at(u.Desired.Commit).files
	for _, file := range []string{"names/all", "names/" + u.Desired.Target.Environment} {
		for _, ref := range strings.Fields(files[file]) {
			out.Images = append(out.Images, model.ForeignImage{Ref: ref, At: "image", File: file, Line: 1})
		}
	}
	return out, nil
}

func (w *world) observe(t model.Target) model.Observed {
	o := model.Observed{Target: t, Status: model.Absent}
	for i, r := range w.releases[t.Key()] {
		o.Status, o.Revision, o.Inputs, o.Commit, o.Ready = r.status, i+1, r.inputs, r.commit, true
		if r.status == model.Deployed {
			o.Good = i + 1
		}
	}
	return o
}

func (w *world) Observe(_ context.Context, _ model.Cluster, t model.Target) (model.Observed, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.observe(t), nil
}

func (w *world) Upgrade(ctx context.Context, _ model.Cluster, u model.Upgrade) (model.Observed, error) {
	w.mu.Lock()
	block, blocked := w.block, w.blocked
	w.mu.Unlock()
	if block != nil {
		blocked <- struct{}{}
		select {
		case <-block:
		case <-ctx.Done():
			return model.Observed{}, context.Cause(ctx)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	key := u.Desired.Target.Key()
	before := w.observe(u.Desired.Target)
	if w.failUpgrade {
		return before, &model.UpgradeError{Err: errors.New("Deployment hub is not ready"), Log: "Back-off restarting", RolledBackTo: before.Good}
	}
	w.upgraded = append(w.upgraded, u)
	w.shared[u.Desired.Commit] = u.Desired.Shared
	w.releases[key] = append(w.releases[key], record{u.Inputs, u.Desired.Commit, model.Deployed})
	return w.observe(u.Desired.Target), nil
}

func (w *world) Rollback(_ context.Context, _ model.Cluster, t model.Target, revision int, _, _ string, _ func(model.Level, string)) (model.Observed, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.releases[t.Key()]
	if revision == 0 {
		revision = len(all) - 1
	}
	if revision < 1 || revision > len(all) {
		return model.Observed{}, errors.New("no such revision")
	}
	w.releases[t.Key()] = append(all, all[revision-1])
	return w.observe(t), nil
}

// Ledger.

func (w *world) Evidence(_ context.Context, _ model.Cluster, t model.Target, shared string) (model.Evidence, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.evidence[t.Key()]
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Shared == shared {
			return all[i], true, nil
		}
	}
	return model.Evidence{}, false, nil
}

func (w *world) Latest(_ context.Context, _ model.Cluster, t model.Target) (model.Evidence, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.evidence[t.Key()]
	if len(all) == 0 {
		return model.Evidence{}, false, nil
	}
	return all[len(all)-1], true, nil
}

func (w *world) Records(_ context.Context, _ model.Cluster, t model.Target) ([]model.EvidenceRecord, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []model.EvidenceRecord
	for _, ev := range slices.Backward(w.evidence[t.Key()]) {
		out = append(out, model.EvidenceRecord{Target: t, Believed: true, Evidence: &ev})
	}
	for _, why := range w.refused[t.Key()] {
		out = append(out, model.EvidenceRecord{Target: t, Name: "x", Refused: why})
	}
	return out, nil
}

func (w *world) Record(_ context.Context, _ model.Cluster, t model.Target, ev model.Evidence) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.evidence[t.Key()] = append(w.evidence[t.Key()], ev)
	return nil
}

func (w *world) Halt(_ context.Context, _ model.Cluster, t model.Target, h model.Halt) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.halts[t.Key()] = h
	return nil
}

func (w *world) Halted(_ context.Context, _ model.Cluster, t model.Target) (model.Halt, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h, ok := w.halts[t.Key()]
	return h, ok, nil
}

func (w *world) Clear(_ context.Context, _ model.Cluster, t model.Target) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.halts, t.Key())
	return nil
}

func (w *world) Lock(ctx context.Context, _ model.Cluster, t model.Target, holder string, _ func(string)) (context.Context, func(), error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if other, ok := w.locks[t.Key()]; ok && other != holder {
		return nil, nil, fmt.Errorf("%s is locked by %s: two runs at once", t, other)
	}
	w.locks[t.Key()] = holder
	if w.locked != nil {
		w.locked(t.Key(), holder)
	}
	return context.Background(), func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.locks, t.Key())
	}, nil
}

// Verify fails where a package is called broken.
func (w *world) Verify(_ context.Context, _ model.Cluster, req model.VerifyRequest) (model.Verification, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.verified = append(w.verified, req)
	v := model.Verification{Passed: true}
	for _, p := range req.Packages {
		c := model.Check{Name: "import " + p.Name, Passed: p.Name != "broken"}
		v.Checks = append(v.Checks, c)
		if !c.Passed {
			v.Passed, v.Reason = false, c.Name
		}
	}
	return v, nil
}

// Assessor: a file "secret" is a credential, one that is called "wrong" an
// error, and "conflict" does not go together with anything.

func (w *world) Credentials(_ context.Context, base, head string) ([]model.Remark, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at(head).files["secret"] != w.at(base).files["secret"] {
		return []model.Remark{{Path: "secret", Line: 1, Message: "a credential"}}, nil
	}
	return nil, nil
}

func (w *world) Assess(_ context.Context, q model.AssessRequest) (model.Assessment, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	base, head := w.at(q.Base).files, w.at(q.Head).files
	a := model.Assessment{Process: w.proposal, Merged: q.Head, Summary: "1 hub changes", Packages: map[string][]model.Package{}}
	for name, text := range head {
		if base[name] != text {
			a.Changed = append(a.Changed, name)
		}
	}
	for line := range strings.Lines(head["image/requirements.txt"]) {
		if !strings.Contains(base["image/requirements.txt"], line) {
			name, spec, _ := strings.Cut(strings.TrimSpace(line), "==")
			a.Packages["user"] = append(a.Packages["user"], model.Package{Name: name, Spec: "==" + spec})
		}
	}
	if head["wrong"] != "" {
		a.Errors, a.Summary = 1, "1 error"
	}
	if head["conflict"] != "" {
		a.Conflict, a.Merged, a.Summary = true, "", "conflicts"
	}
	return a, nil
}

// sandbox runs tests by their commands: "fail" fails, everything else passes;
// and no image can import "broken".
type sandbox struct{ w *world }

func (s sandbox) TestKey(_ context.Context, test model.Test, files string) (string, error) {
	return sum(append([]string{test.Image, files}, test.Command...)...), nil
}

func (s sandbox) Test(ctx context.Context, dir string, test model.Test, log io.Writer) (model.TestResult, error) {
	var seen []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, name)
			seen = append(seen, rel)
		}
		return err
	})
	if err != nil {
		return model.TestResult{}, err
	}
	s.w.mu.Lock()
	s.w.tested[test.Name] = append(s.w.tested[test.Name], strings.Join(seen, " "))
	held, holding := s.w.held, s.w.holding
	s.w.mu.Unlock()
	if held != nil {
		holding <- struct{}{}
		select {
		case <-held:
		case <-ctx.Done():
			return model.TestResult{}, context.Cause(ctx)
		}
	}
	fmt.Fprintln(log, "testing")
	if test.Command[0] == "fail" {
		return model.TestResult{Reason: "exit code 2", Log: "testing"}, nil
	}
	return model.TestResult{Passed: true}, nil
}

func (s sandbox) Smoke(_ context.Context, built model.Built, q model.SmokeRequest, _ io.Writer) (model.SmokeResult, error) {
	r := model.SmokeResult{Passed: built.Digest != ""}
	for _, p := range q.Packages {
		c := model.Check{Name: "import " + p.Name, Passed: p.Name != "broken", Detail: p.Spec}
		r.Checks = append(r.Checks, c)
		if !c.Passed {
			r.Passed, r.Reason = false, c.Name+" failed"
		}
	}
	return r, nil
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
	var kept ship.Ledger = w
	if w.ledger != nil {
		kept = w.ledger
	}
	var repository ship.Repository = w
	if w.repository != nil {
		repository = w.repository
	}
	e, err := ship.New(ctx, ship.Ports{Repository: repository, Clusters: w, Images: w, Releases: w, Ledger: kept, Verifier: w, History: history, Assessor: w, Sandbox: sandbox{w}, Results: history}, ship.Options{
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
