package helm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	helmrelease "helm.sh/helm/v4/pkg/release"
	rcommon "helm.sh/helm/v4/pkg/release/common"
	rspb "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
)

// Labels of Helm's records that hubship sets.
const (
	labelInputs = "hubship.io/inputs"
	labelCommit = "hubship.io/commit"
	labelRun    = "hubship.io/run"
	// labelRevision is the revision that the other labels are about. Helm
	// carries labels over to the next revision, whoever makes it: one made by
	// hand would otherwise claim the inputs of its predecessor.
	labelRevision = "hubship.io/revision"
)

// labelValue makes a label's value of any text: the text itself where that is
// allowed, a digest of it otherwise. Equal texts give equal values.
func labelValue(s string) string {
	if s == "" || len(validation.IsValidLabelValue(s)) == 0 {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + hex.EncodeToString(sum[:])[:48]
}

// own says that labels are about this very revision.
func own(labels map[string]string, revision int) bool {
	return labels[labelRevision] == strconv.Itoa(revision)
}

// head is what labels alone tell about a record of Helm's.
type head struct {
	revision int
	status   model.HelmStatus
	own      bool // hubship made it; the rest is empty otherwise
	inputs   string
	commit   string
	run      string
}

// heads lists a release's records without reading their contents, newest
// first.
func heads(ctx context.Context, conn *cluster.Conn, t model.Target) ([]head, error) {
	list, err := conn.Metadata.Resource(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}).Namespace(t.Namespace).
		List(ctx, metav1.ListOptions{LabelSelector: labels.Set{"owner": "helm", "name": t.Release}.String()})
	if err != nil {
		return nil, fmt.Errorf("%s: list Helm's records: %w", t, err)
	}
	out := make([]head, 0, len(list.Items))
	for _, item := range list.Items {
		revision, err := strconv.Atoi(item.Labels["version"])
		if err != nil {
			return nil, fmt.Errorf("%s: Helm's record %s has no version", t, item.Name)
		}
		h := head{revision: revision, status: model.HelmStatus(item.Labels["status"])}
		if own(item.Labels, revision) {
			h.own, h.inputs, h.commit, h.run = true, item.Labels[labelInputs], item.Labels[labelCommit], item.Labels[labelRun]
		}
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b head) int { return b.revision - a.revision })
	return out, nil
}

// record reads one of Helm's records whole.
func record(cfg *configuration, name string, revision int) (*rspb.Release, error) {
	rel, err := cfg.Releases.Get(name, revision)
	if err != nil {
		return nil, fmt.Errorf("read Helm's record of revision %d: %w", revision, err)
	}
	return asRelease(rel)
}

// history reads all of Helm's records of a release, newest first. No release
// is no records.
func history(cfg *configuration, name string) ([]*rspb.Release, error) {
	rels, err := cfg.Releases.History(name)
	if errors.Is(err, driver.ErrReleaseNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Helm's records: %w", err)
	}
	out := make([]*rspb.Release, 0, len(rels))
	for _, rel := range rels {
		r, err := asRelease(rel)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b *rspb.Release) int { return b.Version - a.Version })
	return out, nil
}

func asRelease(rel helmrelease.Releaser) (*rspb.Release, error) {
	switch r := rel.(type) {
	case *rspb.Release:
		return r, nil
	case rspb.Release:
		return &r, nil
	}
	return nil, fmt.Errorf("one of Helm's records has an unknown format: %T", rel)
}

// wasGood says that a revision was deployed once: it is, or it was superseded
// by a newer one without having failed. Helm marks a failed revision as
// superseded too when the next one succeeds, and only its description still
// tells.
func wasGood(r *rspb.Release) bool {
	switch r.Info.Status {
	case rcommon.StatusDeployed:
		return true
	case rcommon.StatusSuperseded:
		d := r.Info.Description
		for _, verb := range []string{verbUpgrade, verbInstall, verbRollback} {
			if strings.HasPrefix(d, failure(verb, r.Name)) {
				return false
			}
		}
		return d != "Preparing upgrade" && d != "Initial install underway"
	}
	return false
}

// What Helm calls the actions in the descriptions of those that failed.
const (
	verbUpgrade  = "Upgrade"
	verbInstall  = "Release"
	verbRollback = "Rollback"
)

// failure is how Helm begins the description of a revision that failed.
func failure(verb, release string) string { return fmt.Sprintf("%s %q failed: ", verb, release) }

// origin is the oldest revision in the history with the contents of r: where a
// rollback went to, followed back.
func origin(r *rspb.Release, byRevision map[int]*rspb.Release) int {
	for range len(byRevision) + 1 {
		to := r.Info.RollbackRevision
		if to <= 0 || to >= r.Version {
			break
		}
		older, ok := byRevision[to]
		if !ok {
			return to
		}
		r = older
	}
	return r.Version
}

// sameInputs says whether two records were made from the same inputs; false when
// one of them was made by hand, or there is none.
func sameInputs(a, b *rspb.Release) bool {
	return a != nil && b != nil && own(a.Labels, a.Version) && own(b.Labels, b.Version) &&
		a.Labels[labelInputs] != "" && a.Labels[labelInputs] == b.Labels[labelInputs]
}

// good returns the newest revision that was deployed and not rolled away from,
// or 0. The records are newest first. With skip, the newest, it and all with its
// contents are passed over: what was good before it. Every deploy makes a revision,
// so the same contents can come again under another commit. Helm counts what failed
// its verification as good: that it was rolled away from is all that tells.
func good(records []*rspb.Release, skip int) int {
	byRevision := make(map[int]*rspb.Release, len(records))
	for _, r := range records {
		byRevision[r.Version] = r
	}
	var standing []*rspb.Release // oldest first
	for _, r := range slices.Backward(records) {
		if !wasGood(r) {
			continue
		}
		from := origin(r, byRevision)
		standing = append(slices.DeleteFunc(standing, func(s *rspb.Release) bool { return origin(s, byRevision) >= from }), r)
	}
	for _, r := range slices.Backward(standing) {
		if r.Version != skip && !sameInputs(r, byRevision[skip]) {
			return r.Version
		}
	}
	return 0
}
