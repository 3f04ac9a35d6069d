// Package proof gathers what the gate of an environment decides by: what the
// previous environment proved about a hub, and which images a release names. It
// changes nothing.
package proof

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/hubship/hubship/internal/gate"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/ship/fleets"
	"github.com/hubship/hubship/internal/ship/runs"
)

// Repository is the deployment repository. internal/ship says what each method
// does, here and below.
type Repository interface {
	Changed(ctx context.Context, base, head, hub string) ([]string, error)
	FS(ctx context.Context, commit string) (fs.FS, error)
}

// Releases are the Helm releases of all clusters.
type Releases interface {
	Foreign(ctx context.Context, u model.Upgrade, only bool) (model.Foreign, error)
}

// EvidenceStore keeps evidence and halts.
type EvidenceStore interface {
	Evidence(ctx context.Context, cluster model.Cluster, target model.Target, shared string) (ev model.Evidence, ok bool, err error)
	Latest(ctx context.Context, cluster model.Cluster, target model.Target) (ev model.Evidence, ok bool, err error)
	Records(ctx context.Context, cluster model.Cluster, target model.Target) ([]model.EvidenceRecord, error)
	Halted(ctx context.Context, cluster model.Cluster, target model.Target) (h model.Halt, ok bool, err error)
}

// Finder finds proof.
type Finder struct {
	Repository Repository
	Releases   Releases
	Evidence   EvidenceStore
	Fleets     fleets.Reader
}

// Of gathers what the environment before env says about the inputs of a release.
func (f Finder) Of(ctx context.Context, fleet *model.Fleet, env model.Environment, d model.Desired) (gate.Proof, error) {
	proof := gate.Proof{Environment: env.After}
	target, err := fleet.Target(d.Target.Hub, env.After)
	if err != nil {
		return proof, err
	}
	cluster, err := f.Fleets.Cluster(ctx, target)
	if errors.Is(err, model.ErrUnknownCluster) {
		proof.Unknown = runs.Describe(err)
		return proof, nil
	}
	if err != nil {
		return proof, err
	}
	ev, ok, err := f.Evidence.Evidence(ctx, cluster, target, d.Shared)
	if err != nil {
		return proof, err
	}
	if ok {
		proof.Evidence = &ev
	}
	if latest, ok, err := f.Evidence.Latest(ctx, cluster, target); err != nil {
		return proof, err
	} else if ok {
		proof.Latest = &latest
		if proof.Evidence == nil {
			// Words only: where they cannot be had, the refusal is as firm.
			proof.Changed, _ = f.Repository.Changed(ctx, latest.Commit, d.Commit, d.Target.Hub)
		}
	}
	if proof.Evidence == nil {
		records, err := f.Evidence.Records(ctx, cluster, target)
		if err != nil {
			return proof, err
		}
		proof.Refused = Refused(records)
	}
	halt, ok, err := f.Evidence.Halted(ctx, cluster, target)
	if err != nil {
		return proof, err
	}
	if ok {
		proof.Halt = &halt
	}
	return proof, nil
}

// Refused describes the records that are not trusted, for people. It leaves out
// older records that a newer record or a halt has replaced.
func Refused(records []model.EvidenceRecord) []string {
	var out []string
	for _, r := range records {
		if r.Believed || r.Reason == "superseded" || r.Reason == "voided" {
			continue
		}
		out = append(out, fmt.Sprintf("evidence %s was refused: %s", r.Name, r.Refused))
	}
	return out
}
