package helm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	rcommon "helm.sh/helm/v4/pkg/release/common"
	rspb "helm.sh/helm/v4/pkg/release/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
)

// foreignPending is how old an operation must be that somebody else has
// started before it counts as dead: Helm's command line waits five minutes by
// default.
const foreignPending = 5 * time.Minute

// uninstalling is Helm's status of a release whose removal was begun.
const uninstalling model.HelmStatus = "uninstalling"

// recoverPending marks operations that were started and never finished as
// failed, which is what Helm itself would have done, so that the release can
// be upgraded and rolled back again (incident I6). The caller holds the
// release's lock: whatever hubship left pending is dead. An operation of
// somebody else is given time to finish.
func recoverPending(ctx context.Context, cfg *configuration, conn *cluster.Conn, t model.Target, log func(model.Level, string)) error {
	told := false
	for {
		found, err := heads(ctx, conn, t)
		if err != nil {
			return err
		}
		var alive time.Duration
		for _, h := range found {
			if !h.status.Pending() && h.status != uninstalling {
				continue
			}
			rec, err := record(cfg, t.Release, h.revision)
			if err != nil {
				return err
			}
			age := max(min(time.Since(rec.Info.LastDeployed), time.Since(rec.Info.Deleted)), 0)
			if !h.own && age < foreignPending {
				alive = max(alive, foreignPending-age)
				continue
			}
			log(model.LevelWarn, fmt.Sprintf("%s: revision %d was left %s; marking it as failed and continuing", t, h.revision, h.status))
			if err := markFailed(cfg, rec, "it was interrupted as "+string(h.status)); err != nil {
				return err
			}
		}
		if alive == 0 {
			return nil
		}
		if !told {
			log(model.LevelWarn, fmt.Sprintf("%s: somebody else's helm operation is in progress; waiting up to %s for it", t, alive.Round(time.Second)))
			told = true
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for another helm operation: %w", context.Cause(ctx))
		case <-time.After(min(alive, 2*time.Second)):
		}
	}
}

// markFailed records a revision as failed, in Helm's own words, by which a
// revision that failed is told from a good one later.
func markFailed(cfg *configuration, rec *rspb.Release, why string) error {
	verb := verbUpgrade
	switch rec.Info.Status {
	case rcommon.StatusPendingInstall:
		verb = verbInstall
	case rcommon.StatusPendingRollback:
		verb = verbRollback
	}
	rec.Info.Status = rcommon.StatusFailed
	rec.Info.Description = failure(verb, rec.Name) + why
	if err := cfg.Releases.Update(rec); err != nil {
		return fmt.Errorf("mark revision %d as failed: %w", rec.Version, err)
	}
	return nil
}

// settleRecord marks a revision that an action left pending as failed. Helm
// does so itself in most cases, not in all.
func settleRecord(cfg *configuration, t model.Target, revision int, why string) error {
	rec, err := record(cfg, t.Release, revision)
	if err != nil {
		return err
	}
	if !rec.Info.Status.IsPending() {
		return nil
	}
	return markFailed(cfg, rec, why)
}

// sweep removes objects that only failed attempts made. Helm compares with
// the last good revision and does not know of them. It is done after success,
// and its failure only leaves something behind.
func (up *upgrade) sweep(ctx context.Context, rec *rspb.Release) {
	if len(up.stale) == 0 {
		return
	}
	wanted := map[string]bool{}
	objects, err := release.ParseManifest([]byte(rec.Manifest))
	for _, o := range objects {
		wanted[o.Key()] = true
	}
	for _, old := range up.stale {
		if err != nil {
			break
		}
		err = up.sweepRecord(ctx, old, wanted)
	}
	if err != nil {
		up.Log(model.LevelWarn, up.red.Text(fmt.Sprintf("%s: remains of failed attempts could not be removed: %v", up.Desired.Target, err)))
	}
}

func (up *upgrade) sweepRecord(ctx context.Context, old *rspb.Release, wanted map[string]bool) error {
	objects, err := release.ParseManifest([]byte(old.Manifest))
	if err != nil {
		return err
	}
	var errs []error
	for _, o := range objects {
		switch {
		case wanted[o.Key()], o.Kind == pvcKind, o.Kind == "Namespace", o.Kind == "CustomResourceDefinition":
			continue
		}
		wanted[o.Key()] = true // an older attempt may have it too
		errs = append(errs, up.sweepObject(ctx, o))
	}
	return errors.Join(errs...)
}

func (up *upgrade) sweepObject(ctx context.Context, o release.Object) error {
	t := up.Desired.Target
	gvk := schema.FromAPIVersionAndKind(o.APIVersion, o.Kind)
	mapping, err := up.conn.Mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		if meta.IsNoMatchError(err) {
			return nil // then there are no such objects either
		}
		return err
	}
	var client dynamic.ResourceInterface = up.conn.Dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		if o.Namespace != "" && o.Namespace != t.Namespace {
			return nil // not the release's own, whatever its record says
		}
		client = up.conn.Dynamic.Resource(mapping.Resource).Namespace(t.Namespace)
	}
	live, err := client.Get(ctx, o.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	notes := live.GetAnnotations()
	ours := notes["meta.helm.sh/release-name"] == t.Release && notes["meta.helm.sh/release-namespace"] == t.Namespace
	if !ours || strings.EqualFold(notes["helm.sh/resource-policy"], "keep") {
		return nil
	}
	uid, policy := live.GetUID(), metav1.DeletePropagationBackground
	err = client.Delete(ctx, o.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &policy})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return err
	}
	up.Log(model.LevelInfo, fmt.Sprintf("%s: removed %s, left by a failed attempt", t, o))
	return nil
}
