// Package evidence keeps evidence, the standing and the lock of each release in
// the release's own cluster, in hubship's own namespace.
//
// Nothing that it reads there is believed for being there: evidence and
// standings are signed (package attest), and the standing is kept a second
// time, in hubship's database. An error says that something could not be read:
// it is never an answer.
package evidence

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"k8s.io/utils/keymutex"

	"github.com/hubship/hubship/internal/attest"
	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
)

// Values of the label hubship.io/kind.
const (
	kindEvidence = "evidence"
	kindStanding = "standing"
	kindLock     = "lock"
)

// Labels besides those of package cluster.
const (
	labelKey       = "hubship.io/release-key" // see releaseKey
	labelNamespace = "hubship.io/namespace"
)

// payload is the key of a ConfigMap's data that holds the envelope.
const payload = "envelope.json"

// Memory keeps the standing of each release a second time, outside of the
// cluster: hubship's database.
type Memory interface {
	// Standing returns the envelope that is kept under the key.
	Standing(ctx context.Context, key string) (envelope []byte, ok bool, err error)
	// SetStanding keeps an envelope in place of one of a lower generation. It
	// returns false, and keeps nothing, when there is one as new.
	SetStanding(ctx context.Context, key string, generation int64, envelope []byte) (bool, error)
}

// Clusters are the connections to the clusters.
type Clusters interface {
	Conn(c model.Cluster) (*cluster.Conn, error)
}

// Timing of the lock. A holder that has not renewed for Duration has lost it.
type Timing struct {
	Duration time.Duration // 0 means 15 s
	Renew    time.Duration // 0 means 5 s
	Retry    time.Duration // between attempts to take or renew; 0 means 1 s
}

func (t Timing) withDefaults() Timing {
	if t.Duration == 0 {
		t.Duration = 15 * time.Second
	}
	if t.Renew == 0 {
		t.Renew = 5 * time.Second
	}
	if t.Retry == 0 {
		t.Retry = time.Second
	}
	return t
}

// Store keeps evidence, standings and locks in ConfigMaps and Leases. It is safe
// for concurrent use.
type Store struct {
	clusters Clusters
	keys     attest.Keys
	memory   Memory
	timing   Timing
	changing keymutex.KeyMutex // of standings, by release

	mu   sync.Mutex
	held map[string]chan struct{} // locks of this process; a token is in the channel while one is free
}

// New returns a Store over the clusters, which signs with the newest of the
// keys.
func New(clusters Clusters, keys attest.Keys, memory Memory, timing Timing) *Store {
	return &Store{
		clusters: clusters, keys: keys, memory: memory, timing: timing.withDefaults(),
		changing: keymutex.NewHashed(0), held: map[string]chan struct{}{},
	}
}

// releaseKey identifies a release within its cluster: Helm's name and
// namespace, neither of which fits into a name together with the other.
func releaseKey(t model.Target) string {
	sum := sha256.Sum256([]byte(t.Namespace + "\x00" + t.Release))
	return hex.EncodeToString(sum[:10])
}

// nameOf is the name of an object that belongs to a release.
func nameOf(kind string, t model.Target) string {
	return kind + "-" + t.Release + "-" + releaseKey(t)
}

// recordLabels find what belongs to a release, and tell people.
func recordLabels(kind string, t model.Target) map[string]string {
	return map[string]string{
		cluster.LabelManagedBy:   cluster.ManagedBy,
		cluster.LabelKind:        kind,
		cluster.LabelHub:         t.Hub,
		cluster.LabelEnvironment: t.Environment,
		cluster.LabelRelease:     t.Release,
		labelNamespace:           t.Namespace,
		labelKey:                 releaseKey(t),
	}
}

func (l *Store) conn(c model.Cluster, t model.Target) (*cluster.Conn, error) {
	conn, err := l.clusters.Conn(c)
	if err != nil {
		return nil, fmt.Errorf("evidence of %s: %w", t.Key(), err)
	}
	return conn, nil
}
