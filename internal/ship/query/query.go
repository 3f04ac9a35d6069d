// Package query answers questions about the installation: its status, its
// evidence, its runs, and what a promotion would bring. It changes nothing.
package query

import (
	"context"
	"time"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship/fleets"
	"github.com/hubship/hubship/internal/ship/proof"
)

// Repository is the deployment repository. internal/ship says what each method
// does, here and below.
type Repository interface {
	Head(ctx context.Context, branch string) (string, error)
	Subject(ctx context.Context, commit string) (string, error)
	IsAncestor(ctx context.Context, old, new string) (bool, error)
	Log(ctx context.Context, base, head string) ([]string, error)
	Now(ctx context.Context) (model.Process, error)
	Desired(ctx context.Context, fleet *model.Fleet, env string) ([]model.Desired, error)
}

// Releases are the Helm releases of all clusters.
type Releases interface {
	Observe(ctx context.Context, cluster model.Cluster, target model.Target) (model.Observed, error)
}

// EvidenceStore keeps evidence and halts.
type EvidenceStore interface {
	Evidence(ctx context.Context, cluster model.Cluster, target model.Target, shared string) (ev model.Evidence, ok bool, err error)
	Records(ctx context.Context, cluster model.Cluster, target model.Target) ([]model.EvidenceRecord, error)
	Halted(ctx context.Context, cluster model.Cluster, target model.Target) (h model.Halt, ok bool, err error)
}

// History keeps runs and their logs.
type History interface {
	Get(ctx context.Context, id string) (model.Run, error)
	List(ctx context.Context, f model.RunFilter) ([]model.Run, error)
	Lines(ctx context.Context, run string, after int64, limit int) ([]model.Line, error)
}

// Options configure a Reader.
type Options struct {
	Repository Repository
	Releases   Releases
	Evidence   EvidenceStore
	History    History
	Fleets     fleets.Reader
	Proof      proof.Finder
	About      About
	HubURL     func(host string) string // where a hub of that host name answers
}

// About is what a status says about the server process itself.
type About struct {
	Version   string
	Started   time.Time
	Dashboard string // URL
	CloneURL  string // of the deployment repository
}

// Reader answers. Its methods are safe for concurrent use.
type Reader struct{ o Options }

// New returns a Reader.
func New(o Options) *Reader { return &Reader{o} }

// Runs returns the newest runs first.
func (r *Reader) Runs(ctx context.Context, f model.RunFilter) ([]model.Run, error) {
	return r.o.History.List(ctx, f)
}

// Run returns a run; the error is fs.ErrNotExist for an unknown one.
func (r *Reader) Run(ctx context.Context, id string) (model.Run, error) {
	return r.o.History.Get(ctx, id)
}

// Lines returns lines of a run's log, oldest first.
func (r *Reader) Lines(ctx context.Context, id string, after int64, limit int) ([]model.Line, error) {
	return r.o.History.Lines(ctx, id, after, limit)
}
