package helm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"helm.sh/helm/v4/pkg/action"
	"helm.sh/helm/v4/pkg/kube"
	rcommon "helm.sh/helm/v4/pkg/release/common"
	rspb "helm.sh/helm/v4/pkg/release/v1"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
	"github.com/hubship/hubship/internal/release/ready"
)

// rollback says what to go back to.
type rollback struct {
	revision int // 0 means the last good one before the newest
	run      string
	reason   string
	log      func(model.Level, string)
	red      *release.Redactor
}

// Rollback brings the release back to a revision and waits until it is ready.
// Revision 0 means the last good one before the newest. The new record carries
// the inputs and the commit of the revision that it restores. Claims that the
// restored revision does not have are kept. The same run may call it again
// after it was killed: it then finishes what it began.
func (r *Releases) Rollback(ctx context.Context, c model.Cluster, t model.Target, revision int, run, reason string, log func(model.Level, string)) (model.Observed, error) {
	if log == nil {
		log = discard
	}
	conn, err := r.connect(ctx, c, t)
	if err != nil {
		return model.Observed{}, err
	}
	return r.rollback(ctx, conn, t, rollback{revision: revision, run: run, reason: reason, log: log})
}

func (r *Releases) rollback(ctx context.Context, conn *cluster.Conn, t model.Target, rb rollback) (model.Observed, error) {
	fail := func(err error) error {
		return fmt.Errorf("roll back %s: %w", t, clean(explainApply(err), rb.red))
	}
	cfg, err := r.configure(ctx, conn, t)
	if err != nil {
		return model.Observed{}, fail(err)
	}
	if err := recoverPending(ctx, cfg, conn, t, rb.log); err != nil {
		return model.Observed{}, fail(err)
	}
	records, err := history(cfg, t.Release)
	if err != nil {
		return model.Observed{}, fail(err)
	}
	if rb.red == nil {
		rb.red = r.recordRedactor(t, records...)
	}
	target, done, err := rb.choose(records)
	if err != nil {
		return model.Observed{}, fail(err)
	}
	if !done {
		if err := r.rollTo(ctx, conn, t, rb, target); err != nil {
			return model.Observed{}, err
		}
	}
	found, err := heads(ctx, conn, t)
	if err != nil {
		return model.Observed{}, fail(err)
	}
	obs, rec, err := r.observe(ctx, conn, t, found)
	if err != nil {
		return obs, fail(err)
	}
	if done {
		objects, err := objectsOf(rec, conn, t.Namespace)
		if err != nil {
			return obs, fail(err)
		}
		w := ready.NewWatcher(ready.Options{
			Client: conn.Client, Dynamic: conn.Dynamic, Mapper: conn.Mapper, Limits: r.opts.Limits, Log: rb.log, Redact: rb.red,
		})
		if err := w.Wait(ctx, objects, ready.Ready, r.opts.Timeout); err != nil {
			return obs, notReady(err, "after the rollback ")
		}
	}
	obs.Ready = true
	return obs, nil
}

// choose returns the record to restore. done says that it runs already.
func (rb *rollback) choose(records []*rspb.Release) (target *rspb.Release, done bool, err error) {
	if len(records) == 0 {
		return nil, false, model.WithHint(errors.New("it is not installed"), "deploy it first")
	}
	newest := records[0]
	revision := rb.revision
	if to := newest.Info.RollbackRevision; to > 0 && rb.run != "" &&
		own(newest.Labels, newest.Version) && newest.Labels[labelRun] == labelValue(rb.run) && (revision == 0 || revision == to) {
		// This run has begun, or done, this very rollback before.
		revision = to
		if newest.Info.Status == rcommon.StatusDeployed {
			return newest, true, nil
		}
	}
	if revision == 0 {
		skip := 0
		if wasGood(newest) {
			skip = newest.Version
		}
		if revision = good(records, skip); revision == 0 {
			return nil, false, model.WithHint(errors.New("no earlier revision with different contents was ever good"), "deploy a commit that is known to work")
		}
	}
	for _, rec := range records {
		if rec.Version != revision {
			continue
		}
		if rec == newest && newest.Info.Status == rcommon.StatusDeployed {
			return rec, true, nil
		}
		if !wasGood(rec) {
			return nil, false, model.WithHint(fmt.Errorf("revision %d was never good: %s", revision, rec.Info.Status), "choose one that `helm history` shows as deployed or superseded")
		}
		return rec, false, nil
	}
	return nil, false, model.WithHint(fmt.Errorf("revision %d is no longer kept", revision),
		fmt.Sprintf("revisions %d to %d are kept; deploy the commit instead", records[len(records)-1].Version, newest.Version))
}

func (r *Releases) rollTo(ctx context.Context, conn *cluster.Conn, t model.Target, rb rollback, target *rspb.Release) error {
	cfg, err := r.configure(ctx, conn, t)
	if err != nil {
		return fmt.Errorf("roll back %s: %w", t, err)
	}
	// The record may be somebody else's: whoever may write Secrets in the
	// namespace can write one.
	cfg.storage.admit = func(rec *rspb.Release) error {
		if err := cfg.kube.confined.record(rec); err != nil {
			return err
		}
		labels := maps.Clone(rec.Labels)
		if labels == nil || !own(target.Labels, target.Version) {
			labels = map[string]string{} // made by hand: its inputs are not known
		}
		labels[labelRevision] = strconv.Itoa(rec.Version)
		delete(labels, labelRun)
		setLabel(labels, labelRun, rb.run)
		rec.Labels = labels
		return nil
	}
	cfg.kube.spared = func(_, name string) {
		rb.log(model.LevelWarn, fmt.Sprintf("%s: keeping %s %s, which revision %d does not have", t, pvcKind, name, target.Version))
	}
	cfg.kube.foreign = func(kind, name string) {
		rb.log(model.LevelWarn, fmt.Sprintf("%s: leaving %s %s alone, which cannot belong to the release", t, kind, name))
	}
	cfg.kube.timeout = r.opts.Timeout
	cfg.kube.watch.Log, cfg.kube.watch.Redact, cfg.kube.watch.Limits = rb.log, rb.red, r.opts.Limits
	act := action.NewRollback(cfg.Configuration)
	act.Version, act.MaxHistory, act.Timeout = target.Version, maxHistory, r.opts.Timeout
	act.WaitStrategy, act.ServerSideApply = kube.StatusWatcherStrategy, "true"
	act.Description = short(fmt.Sprintf("Rollback to %d: %s", target.Version, rb.reason), action.MaxDescriptionLength)
	err = act.Run(t.Release)
	if err == nil {
		return nil
	}
	if cfg.storage.created != 0 {
		if serr := settleRecord(cfg, t, cfg.storage.created, "the rollback failed"); serr != nil {
			rb.log(model.LevelWarn, rb.red.Text(serr.Error()))
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("roll back %s: interrupted, to be resumed: %w", t, context.Cause(ctx))
	}
	if failed := cfg.kube.failed; failed != nil {
		return &model.UpgradeError{
			Err: fmt.Errorf("after the rollback to revision %d not ready: %s", target.Version, failed.Reason),
			Log: failed.Details,
		}
	}
	return fmt.Errorf("roll back %s to revision %d: %w", t, target.Version, clean(explainApply(err), rb.red))
}

// short cuts a text to so many characters.
func short(s string, most int) string {
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:most-1]) + "…"
}
