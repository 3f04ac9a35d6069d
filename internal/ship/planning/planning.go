// Package planning decides what a run does to each release of its environment, based
// on Git, the cluster, the evidence and the registry. It changes nothing.
package planning

import (
	"context"
	"io/fs"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/ship/fleets"
	"github.com/hubship/hubship/internal/ship/proof"
)

// Repository is the deployment repository. internal/ship says what each method
// does, here and below.
type Repository interface {
	IsAncestor(ctx context.Context, old, new string) (bool, error)
	Fleet(ctx context.Context, commit string) (*model.Fleet, error)
	Desired(ctx context.Context, fleet *model.Fleet, env string) ([]model.Desired, error)
	FS(ctx context.Context, commit string) (fs.FS, error)
}

// Images finds images.
type Images interface {
	Find(ctx context.Context, tree fs.FS, src model.Source) (built model.Built, ok bool, err error)
	Exists(ctx context.Context, built model.Built) (bool, error)
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

// Options configure a Planner.
type Options struct {
	Repository Repository
	Images     Images
	Releases   Releases
	Evidence   EvidenceStore
	Fleets     fleets.Reader
	Proof      proof.Finder
}

// Planner plans. Its methods are safe for concurrent use.
type Planner struct{ o Options }

// New returns a Planner.
func New(o Options) *Planner { return &Planner{o} }

// Plan is what a run will do, decided before it changes anything. It is recorded.
type Plan struct {
	Process  string // commit of the process branch that it was decided by
	Verify   model.VerifySettings
	Releases []Release
	Build    []model.Source // that no registry has, unique by ID
}

// Release is what a run will do to one release: the plan, after the desired and
// the observed state. It is recorded.
type Release struct {
	Cluster model.Cluster
	Desired model.Desired
	Before  model.Observed
	Action  plan.Action
	Reasons []string
	Images  []model.Built // known ones; those in Plan.Build are missing
	// Resolved is what is known about images and charts made elsewhere. First says
	// that the rest is resolved now, since no environment comes before this one.
	Resolved model.Resolved
	First    bool
	Packages []model.Package // to import in verification
	// Passed is the commit of the newest valid evidence; empty when there is
	// none. Helm's records are not used for this: anybody who can write Secrets in
	// the namespace can write those.
	Passed string
	Halted bool // a halt of this release stands and ends when it passes
}
