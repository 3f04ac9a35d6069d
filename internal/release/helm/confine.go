package helm

import (
	"fmt"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/kube"
	rspb "helm.sh/helm/v4/pkg/release/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/resource"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
	"github.com/hubship/hubship/internal/release/confine"
)

// confinement holds one release within itself. It is asked about a record
// before anything of it is applied, and again about the very objects that go
// to the API server: a record in the cluster may have been written by somebody
// else.
type confinement struct {
	target  model.Target
	allowed confine.Allowed
}

// record judges what a revision is about to apply, hooks included.
func (c confinement) record(rec *rspb.Release) error {
	objects, err := release.ParseManifest([]byte(rec.Manifest))
	if err != nil {
		return err
	}
	for _, h := range rec.Hooks {
		more, err := release.ParseManifest([]byte(h.Manifest))
		if err != nil {
			return fmt.Errorf("%s: %w", h.Path, err)
		}
		for i := range more {
			more[i].Template = h.Path
		}
		objects = append(objects, more...)
	}
	return confine.Refuse(confine.Of(objects), c.target, c.allowed)
}

// crds judges what Helm applies before it renders anything: a chart's crds/.
func (c confinement) crds(ch *chart.Chart) error {
	var objects []release.Object
	for _, crd := range ch.CRDObjects() {
		more, err := release.ParseManifest(crd.File.Data)
		if err != nil {
			return fmt.Errorf("%s: %w", crd.Filename, err)
		}
		for i := range more {
			more[i].Template = crd.Filename
		}
		objects = append(objects, more...)
	}
	return confine.Refuse(confine.Of(objects), c.target, c.allowed)
}

// apply judges objects as the API server would be given them.
func (c confinement) apply(list kube.ResourceList) error {
	objects := make([]confine.Object, 0, len(list))
	for _, info := range list {
		o, err := sent(info)
		if err != nil {
			return err
		}
		objects = append(objects, o)
	}
	return confine.Refuse(objects, c.target, c.allowed)
}

// own leaves out what cannot be the release's own, and tells of it.
func (c confinement) own(list kube.ResourceList, tell func(kind, name string)) kube.ResourceList {
	var out kube.ResourceList
	for _, info := range list {
		o, err := sent(info)
		if err == nil && confine.Inside(o, c.target, c.allowed) {
			out = append(out, info)
			continue
		}
		tell(info.Mapping.GroupVersionKind.Kind, info.Name)
	}
	return out
}

// sent is an object as the API server would be given it.
func sent(info *resource.Info) (confine.Object, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(info.Object)
	if err != nil {
		return confine.Object{}, fmt.Errorf("read %s %s: %w", info.Mapping.GroupVersionKind.Kind, info.Name, err)
	}
	out := confine.Object{Scope: confine.Cluster, Object: release.Object{
		APIVersion: info.Mapping.GroupVersionKind.GroupVersion().String(), Kind: info.Mapping.GroupVersionKind.Kind,
		Name: info.Name, Content: content,
	}}
	if info.Mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		out.Scope, out.Namespace = confine.Namespaced, info.Namespace
	}
	return out, nil
}

// Create applies new objects, hooks among them.
func (k *kubeClient) Create(list kube.ResourceList, options ...kube.ClientCreateOption) (*kube.Result, error) {
	if err := k.confined.apply(list); err != nil {
		return &kube.Result{}, err
	}
	return k.Client.Create(list, options...)
}

// Delete removes objects that can be the release's own, and no others.
func (k *kubeClient) Delete(list kube.ResourceList, policy metav1.DeletionPropagation) (*kube.Result, []error) {
	own := k.confined.own(list, k.foreign)
	if len(own) == 0 {
		return &kube.Result{}, nil
	}
	return k.Client.Delete(own, policy)
}
