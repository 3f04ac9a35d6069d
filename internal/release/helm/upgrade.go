package helm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"helm.sh/helm/v4/pkg/action"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	helmrelease "helm.sh/helm/v4/pkg/release"
	rcommon "helm.sh/helm/v4/pkg/release/common"
	rspb "helm.sh/helm/v4/pkg/release/v1"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
)

// Upgrade installs or upgrades the release and waits until it is ready. It may
// be called again at any time, also after it was killed: a release left pending
// is recovered. It is applied also where the newest record claims these inputs:
// whoever may write Secrets in the namespace can write records. When the
// upgrade fails after something was applied, the release is rolled back to
// its last good revision and the error is a *model.UpgradeError. When the
// context ends, waiting stops at once and nothing is rolled back: the next
// call goes on.
func (r *Releases) Upgrade(ctx context.Context, c model.Cluster, u model.Upgrade) (model.Observed, error) {
	t := u.Desired.Target
	if u.Log == nil {
		u.Log = discard
	}
	conn, err := r.connect(ctx, c, t)
	if err != nil {
		return model.Observed{}, err
	}
	found, err := heads(ctx, conn, t)
	if err != nil {
		return model.Observed{}, err
	}
	values, secrets, err := r.values(ctx, u)
	if err != nil {
		return model.Observed{}, fmt.Errorf("upgrade %s: %w", t, err)
	}
	up := &upgrade{r: r, conn: conn, Upgrade: u, values: values, secrets: secrets, red: r.redactor(t, secrets), files: map[string]bool{}}
	obs, err := up.run(ctx, found)
	if err != nil {
		return obs, up.describe(err)
	}
	return obs, nil
}

// upgrade is one upgrade under way.
type upgrade struct {
	model.Upgrade
	r      *Releases
	conn   *cluster.Conn
	values map[string]any
	// secrets are the decrypted values, which nothing that is told may hold.
	secrets []map[string]any
	red     *release.Redactor
	files   map[string]bool // names of the chart's templates
	good    int             // revision to go back to; 0 when there is none
	stale   []*rspb.Release
}

func (up *upgrade) run(ctx context.Context, found []head) (model.Observed, error) {
	t := up.Desired.Target
	if err := up.conn.EnsureNamespace(ctx, t); err != nil {
		return model.Observed{}, err
	}
	before, err := up.prepare(ctx, found)
	if err != nil {
		return model.Observed{}, err
	}
	ch, _, err := up.r.charts.load(ctx, up.Tree, up.Desired.Commit, up.Desired.Chart, up.Resolved.Charts, true)
	if err != nil {
		return model.Observed{}, err
	}
	if err := pinImages(ch, up.values, up.Resolved.Images); err != nil {
		return model.Observed{}, err
	}
	pinTemplates(ch, up.Resolved.Images)
	cfg, err := up.r.configure(ctx, up.conn, t)
	if err != nil {
		return model.Observed{}, err
	}
	up.equip(ctx, cfg, before)
	templateFiles(ch, "", up.files)
	rec, err := up.act(ctx, cfg, ch, len(found) > 0)
	if err != nil {
		return up.failed(ctx, cfg, up.sayable(ctx, cfg, err))
	}
	up.sweep(ctx, rec)
	return model.Observed{
		Target: t, Status: model.Deployed, Revision: rec.Version, Inputs: labelValue(up.Inputs), Commit: labelValue(up.Desired.Commit),
		Chart: ch.Metadata.Name + "-" + ch.Metadata.Version, Updated: rec.Info.LastDeployed.Round(0), Good: rec.Version, Ready: true,
	}, nil
}

// prepare recovers a release left pending, and returns the record whose
// objects run: the last good one, or the newest if none was good; nil when
// there is no record.
func (up *upgrade) prepare(ctx context.Context, found []head) (*rspb.Release, error) {
	if len(found) == 0 {
		return nil, nil
	}
	t := up.Desired.Target
	cfg, err := up.r.configure(ctx, up.conn, t)
	if err != nil {
		return nil, err
	}
	if found[0].status == model.Deployed {
		up.good = found[0].revision
		return record(cfg, t.Release, up.good)
	}
	if err := recoverPending(ctx, cfg, up.conn, t, up.Log); err != nil {
		return nil, err
	}
	records, err := history(cfg, t.Release)
	if err != nil || len(records) == 0 {
		return nil, err
	}
	if records[0].Info.Status == rcommon.StatusUninstalled {
		return nil, nil // nothing of it runs, and nothing of it is good
	}
	up.good = good(records, 0)
	for i, rec := range records {
		if rec.Version == up.good {
			up.stale = records[:i]
			return rec, nil
		}
	}
	up.stale = records
	return records[0], nil
}

// equip gives the action what it needs of this package: labels on its record,
// the refusal to destroy claims, and a wait that explains itself.
func (up *upgrade) equip(ctx context.Context, cfg *configuration, before *rspb.Release) {
	t := up.Desired.Target
	guard := &pvcGuard{client: up.conn.Client, namespace: t.Namespace, allowed: map[string]bool{}}
	if up.r.opts.AllowDestroy != nil {
		for _, named := range up.r.opts.AllowDestroy(ctx, up.Passed, up.Desired.Commit) {
			if name, ok := strings.CutPrefix(named, pvcKind+"/"); ok {
				guard.allowed[name] = true
			}
		}
	}
	cfg.storage.admit = func(rec *rspb.Release) error {
		if err := cfg.kube.confined.record(rec); err != nil {
			return err
		}
		if release.NamesUnapproved(rec.Manifest) || slices.ContainsFunc(rec.Hooks, func(h *rspb.Hook) bool { return release.NamesUnapproved(h.Manifest) }) {
			return &ownWords{model.WithHint(errors.New("the chart renders an image from an unmerged change"), unapprovedHint)}
		}
		if err := up.proven(rec); err != nil {
			return err
		}
		if before != nil {
			if err := guard.admit(ctx, before.Manifest, rec.Manifest); err != nil {
				return &ownWords{err}
			}
		}
		labels := map[string]string{labelRevision: strconv.Itoa(rec.Version), labelCommit: labelValue(up.Desired.Commit)}
		setLabel(labels, labelInputs, up.Inputs)
		setLabel(labels, labelRun, up.Run)
		rec.Labels = labels
		return nil
	}
	cfg.kube.mayDestroy = func(name string) bool { return guard.allowed[name] }
	cfg.kube.spared = func(_, name string) {
		up.Log(model.LevelWarn, fmt.Sprintf("%s: keeping %s %s, which the release no longer has", t, pvcKind, name))
	}
	cfg.kube.foreign = func(kind, name string) {
		up.Log(model.LevelWarn, fmt.Sprintf("%s: leaving %s %s alone, which cannot belong to the release", t, kind, name))
	}
	cfg.kube.timeout = up.r.opts.Timeout
	cfg.kube.watch.Log, cfg.kube.watch.Redact, cfg.kube.watch.Limits = up.Log, up.red, up.r.opts.Limits
}

// proven refuses what a chart makes of this very cluster, moment or release and
// what therefore no render before could tell: an image that the environment
// before never ran.
func (up *upgrade) proven(rec *rspb.Release) error {
	if !up.Proven {
		return nil
	}
	texts := []string{rec.Manifest}
	for _, h := range rec.Hooks {
		texts = append(texts, h.Manifest)
	}
	for _, text := range texts {
		objects, err := release.ParseManifest([]byte(text))
		if err != nil {
			return err
		}
		if n := len(release.Unproven(objects, up.Images, up.Resolved)); n > 0 {
			// Not which ones: a chart can put a secret into such a name.
			return &ownWords{model.WithHint(fmt.Errorf("%d of the images that the chart renders in this cluster: %w", n, model.ErrNotProven),
				"set images in the values, not from what the chart finds in the cluster")}
		}
	}
	return nil
}

func setLabel(labels map[string]string, key, value string) {
	if value != "" {
		labels[key] = labelValue(value)
	}
}

// act runs Helm's install or upgrade. A release of which no revision was ever
// good is installed anew over its remains, so that its install hooks run.
func (up *upgrade) act(ctx context.Context, cfg *configuration, ch *chart.Chart, exists bool) (*rspb.Release, error) {
	t := up.Desired.Target
	if err := cfg.kube.confined.crds(ch); err != nil {
		return nil, err
	}
	if err := up.bounded(ctx, ch); err != nil {
		return nil, err
	}
	description := fmt.Sprintf("%s at commit %.12s", t.Key(), up.Desired.Commit)
	// The SDK must not see the end of the context: it would return while its
	// action goes on behind it. The requests and waits of the action end with
	// it, and so does the action.
	ctx = context.WithoutCancel(ctx)
	var out helmrelease.Releaser
	var err error
	if !exists || up.good == 0 {
		in := action.NewInstall(cfg.Configuration)
		in.ReleaseName, in.Namespace, in.Replace = t.Release, t.Namespace, exists
		in.ServerSideApply, in.DisableOpenAPIValidation = true, true
		in.WaitStrategy, in.Timeout, in.Description = kube.StatusWatcherStrategy, up.r.opts.Timeout, description
		if len(ch.CRDObjects()) > 0 {
			cfg.Capabilities = nil // asked for again once they are there
		}
		out, err = in.RunWithContext(ctx, ch, maps.Clone(up.values))
	} else {
		upg := action.NewUpgrade(cfg.Configuration)
		upg.Namespace, upg.MaxHistory, upg.ResetValues = t.Namespace, maxHistory, true
		upg.ServerSideApply, upg.DisableOpenAPIValidation = "true", true
		upg.WaitStrategy, upg.Timeout, upg.Description = kube.StatusWatcherStrategy, up.r.opts.Timeout, description
		out, err = upg.RunWithContext(ctx, t.Release, ch, maps.Clone(up.values))
	}
	if err != nil {
		return nil, err
	}
	return asRelease(out)
}

// failed ends an upgrade that did not succeed: what was applied is rolled
// back, unless the context ended.
func (up *upgrade) failed(ctx context.Context, cfg *configuration, err error) (model.Observed, error) {
	t := up.Desired.Target
	if ctx.Err() != nil {
		return model.Observed{}, fmt.Errorf("interrupted, to be resumed: %w", context.Cause(ctx))
	}
	if cfg.storage.created == 0 {
		return model.Observed{}, err // nothing was applied
	}
	out := &model.UpgradeError{Err: oneLine(clean(explainApply(err), up.red))}
	if failed := cfg.kube.failed; failed != nil {
		out.Err, out.Log = fmt.Errorf("not ready: %s", failed.Reason), failed.Details
	}
	if serr := settleRecord(cfg, t, cfg.storage.created, out.Err.Error()); serr != nil {
		up.Log(model.LevelWarn, up.red.Text(serr.Error()))
	}
	if up.good == 0 {
		up.Log(model.LevelWarn, fmt.Sprintf("%s: there is no good revision to roll back to; what was installed stays for the next attempt", t))
		return model.Observed{}, out
	}
	up.Log(model.LevelWarn, fmt.Sprintf("%s: rolling back to revision %d: %s", t, up.good, out.Err))
	began := time.Now()
	obs, rerr := up.r.rollback(ctx, up.conn, t, rollback{revision: up.good, run: up.Run, reason: "the upgrade failed", log: up.Log, red: up.red})
	if rerr != nil {
		if ctx.Err() != nil {
			return obs, fmt.Errorf("rollback interrupted, to be resumed: %w", context.Cause(ctx))
		}
		out.RollbackErr = rerr
		return obs, out
	}
	up.Log(model.LevelInfo, fmt.Sprintf("%s: revision %d runs again (%s)", t, up.good, time.Since(began).Round(100*time.Millisecond)))
	out.RolledBackTo = up.good
	return obs, out
}

// describe names the release in an error that is not an UpgradeError, whose
// reader knows the release, and takes secrets out of it.
func (up *upgrade) describe(err error) error {
	if failed, ok := err.(*model.UpgradeError); ok { //nolint:errorlint // it is made here, never wrapped
		return failed
	}
	return fmt.Errorf("upgrade %s: %w", up.Desired.Target, clean(explainApply(err), up.red))
}
