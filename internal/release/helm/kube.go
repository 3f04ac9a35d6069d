package helm

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"helm.sh/helm/v4/pkg/kube"
	helmrelease "helm.sh/helm/v4/pkg/release"
	rspb "helm.sh/helm/v4/pkg/release/v1"
	"helm.sh/helm/v4/pkg/storage/driver"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/release/ready"
)

// kubeClient is the SDK's client for one action, with a waiter that explains
// itself.
type kubeClient struct {
	*kube.Client
	ctx  context.Context
	conn *cluster.Conn

	// watch says how to wait, and whom to tell.
	watch ready.Options
	// timeout of each wait.
	timeout time.Duration
	// mayDestroy says whether a claim that is no longer wanted is deleted.
	mayDestroy func(name string) bool
	// spared is called for a claim that is kept although its release no
	// longer has it.
	spared func(namespace, name string)
	// confined holds the release within itself.
	confined confinement
	// foreign is called for an object that is left alone, as it cannot be the
	// release's own.
	foreign func(kind, name string)
	// failed is the wait that failed, if one did.
	failed *ready.Error
	// hooks are the objects that hooks made, in case a later hook waits for
	// them.
	hooks []ready.Ref
}

var (
	_ kube.Interface            = (*kubeClient)(nil)
	_ kube.InterfaceWaitOptions = (*kubeClient)(nil)
)

func newKubeClient(ctx context.Context, conn *cluster.Conn, get *clientGetter, confined confinement) *kubeClient {
	c := kube.New(get)
	c.Namespace = confined.target.Namespace
	return &kubeClient{
		Client: c, ctx: ctx, conn: conn,
		watch:      ready.Options{Client: conn.Client, Dynamic: conn.Dynamic, Mapper: conn.Mapper},
		mayDestroy: func(string) bool { return false },
		spared:     func(string, string) {},
		confined:   confined, foreign: func(string, string) {},
	}
}

// Build reads a manifest. It never validates on this side: that reads and
// parses the cluster's OpenAPI documents, which takes half of an upgrade's
// time, and the API server rejects unknown fields of what is applied anyway.
func (k *kubeClient) Build(r io.Reader, _ bool) (kube.ResourceList, error) {
	return k.Client.Build(r, false)
}

// IsReachable asks nothing: the action's next request tells as much.
func (k *kubeClient) IsReachable() error { return context.Cause(k.ctx) }

// Update applies the target's objects and deletes those of originals that are
// no longer wanted, except claims: users' files are not a release's to delete.
// Objects of one kind are applied side by side, kinds one after another in the
// order in which Helm sorts them. Nothing is applied when one of them reaches
// beyond the release, and nothing is deleted that cannot be its own. When one fails, those of later kinds are left
// as they are, and nothing is deleted.
func (k *kubeClient) Update(originals, targets kube.ResourceList, options ...kube.ClientUpdateOption) (*kube.Result, error) {
	all := &kube.Result{}
	if err := k.confined.apply(targets); err != nil {
		return all, err
	}
	for rest := targets; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Mapping.GroupVersionKind == rest[0].Mapping.GroupVersionKind {
			n++
		}
		res, err := k.updateKind(originals, rest[:n], options)
		merge(all, res)
		if err != nil {
			return all, err
		}
		rest = rest[n:]
	}
	var gone kube.ResourceList
	for _, info := range k.confined.own(originals.Difference(targets), k.foreign) {
		if info.Mapping.GroupVersionKind.Kind == pvcKind && !k.mayDestroy(info.Name) {
			k.spared(info.Namespace, info.Name)
			continue
		}
		gone = append(gone, info)
	}
	if len(gone) == 0 {
		return all, nil
	}
	res, err := k.Client.Update(gone, nil, options...)
	merge(all, res)
	return all, err
}

// sideBySide bounds how many objects of one release are applied at once.
const sideBySide = 6

func (k *kubeClient) updateKind(originals, targets kube.ResourceList, options []kube.ClientUpdateOption) (*kube.Result, error) {
	results := make([]*kube.Result, len(targets))
	errs := make([]error, len(targets))
	gate := make(chan struct{}, sideBySide)
	var wg sync.WaitGroup
	for i, target := range targets {
		wg.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			var original kube.ResourceList
			if o := originals.Get(target); o != nil {
				original.Append(o)
			}
			results[i], errs[i] = k.Client.Update(original, kube.ResourceList{target}, options...)
		})
	}
	wg.Wait()
	all := &kube.Result{}
	for _, r := range results {
		merge(all, r)
	}
	return all, errors.Join(errs...)
}

func merge(into, from *kube.Result) {
	if from == nil {
		return
	}
	into.Created = append(into.Created, from.Created...)
	into.Updated = append(into.Updated, from.Updated...)
	into.Deleted = append(into.Deleted, from.Deleted...)
}

// GetWaiter returns the waiter that explains itself, whatever the strategy.
func (k *kubeClient) GetWaiter(kube.WaitStrategy) (kube.Waiter, error) { return waiter{k}, nil }

// GetWaiterWithOptions returns the waiter that explains itself, whatever the
// strategy.
func (k *kubeClient) GetWaiterWithOptions(kube.WaitStrategy, ...kube.WaitOption) (kube.Waiter, error) {
	return waiter{k}, nil
}

// waiter waits with the package ready.
type waiter struct{ k *kubeClient }

func (w waiter) wait(list kube.ResourceList, goal ready.Goal, companions []ready.Ref) error {
	opts := w.k.watch
	opts.Companions = companions
	err := ready.NewWatcher(opts).Wait(w.k.ctx, refs(list), goal, w.k.timeout)
	var failed *ready.Error
	if errors.As(err, &failed) {
		w.k.failed = failed
	}
	return err
}

// Wait waits until the objects are ready.
func (w waiter) Wait(list kube.ResourceList, _ time.Duration) error {
	return w.wait(list, ready.Ready, nil)
}

// WaitWithJobs waits until the objects are ready and Jobs have ended.
func (w waiter) WaitWithJobs(list kube.ResourceList, timeout time.Duration) error {
	if err := w.Wait(list, timeout); err != nil {
		return err
	}
	return w.wait(list, ready.Completed, nil)
}

// WaitForDelete waits until the objects are gone.
func (w waiter) WaitForDelete(list kube.ResourceList, _ time.Duration) error {
	return w.wait(list, ready.Gone, nil)
}

// WatchUntilReady waits until a hook's Jobs and Pods have ended well. What
// earlier hooks made is watched beside them: a job that waits for images to be
// pulled says nothing about an image that cannot be.
func (w waiter) WatchUntilReady(list kube.ResourceList, _ time.Duration) error {
	companions := slices.Clone(w.k.hooks)
	for _, ref := range refs(list) {
		if ref.GVK.Kind == "DaemonSet" || ref.GVK.Kind == "Deployment" || ref.GVK.Kind == "StatefulSet" {
			w.k.hooks = append(w.k.hooks, ref)
		}
	}
	return w.wait(list, ready.Completed, companions)
}

func refs(list kube.ResourceList) []ready.Ref {
	out := make([]ready.Ref, 0, len(list))
	for _, info := range list {
		ref := ready.Ref{GVK: info.Mapping.GroupVersionKind, Name: info.Name}
		if info.Mapping.Scope.Name() == meta.RESTScopeNameNamespace {
			ref.Namespace = info.Namespace
		}
		out = append(out, ref)
	}
	return out
}

// guardedDriver asks before Helm's record of a new revision is made, which is
// before anything of it is applied, hooks included.
type guardedDriver struct {
	driver.Driver
	admit   func(*rspb.Release) error
	created int // revision of the record that was made; 0 when none was
}

// Create implements driver.Creator.
func (g *guardedDriver) Create(key string, rel helmrelease.Releaser) error {
	r, err := asRelease(rel)
	if err != nil {
		return err
	}
	if g.admit != nil {
		if err := g.admit(r); err != nil {
			return err
		}
	}
	if err := g.Driver.Create(key, rel); err != nil {
		return err
	}
	g.created = r.Version
	return nil
}
