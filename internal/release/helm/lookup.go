package helm

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"text/template"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
)

// lookup answers the template function of that name from the cluster. Helm's
// own makes new clients and reads discovery at each call; charts that keep
// generated secrets call it for the same object dozens of times a render.
//
// Templates read with hubship's rights: they get what lies in the release's
// namespace, and of what has no namespace the kinds in readable.
type lookup struct {
	ctx       context.Context
	conn      *cluster.Conn
	namespace string

	mu    sync.Mutex
	seen  map[string]answer
	found bool // something was read, which may be secret
}

type answer struct {
	object map[string]any
	err    error
}

// readable are the kinds without a namespace that a template may look up: they
// say what the cluster offers, and nothing of what others run there.
var readable = map[schema.GroupKind]bool{
	{Group: "storage.k8s.io", Kind: "StorageClass"}: true, {Group: "networking.k8s.io", Kind: "IngressClass"}: true,
	{Group: "scheduling.k8s.io", Kind: "PriorityClass"}: true, {Group: "node.k8s.io", Kind: "RuntimeClass"}: true,
	{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}: true, {Group: "gateway.networking.k8s.io", Kind: "GatewayClass"}: true,
}

// permit says why a template may not have what it asks for.
func (l *lookup) permit(gk schema.GroupKind, namespaced bool, namespace, name string) error {
	switch {
	case namespaced && namespace == l.namespace:
		return nil
	case namespaced:
		return model.WithHint(fmt.Errorf("lookup of %s in namespace %q: a chart may only look into its release's namespace", gk.Kind, namespace), "pass .Release.Namespace to lookup")
	case readable[gk], gk == schema.GroupKind{Kind: "Namespace"} && name == l.namespace:
		return nil
	}
	return model.WithHint(fmt.Errorf("lookup of %s: a chart may not read objects of this kind", gk.Kind), "let people set the value in the hub's values")
}

func newLookup(ctx context.Context, conn *cluster.Conn, namespace string) *lookup {
	return &lookup{ctx: ctx, conn: conn, namespace: namespace, seen: map[string]answer{}}
}

// used says that a template was given something of the cluster.
func (l *lookup) used() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.found
}

func (l *lookup) funcs() template.FuncMap { return template.FuncMap{"lookup": l.get} }

// get returns an object, or a list when no name is given; nothing there is an
// empty map. Within one render the same question has the same answer. Each
// answer is a copy: templates may change what they are given.
func (l *lookup) get(apiVersion, kind, namespace, name string) (map[string]any, error) {
	key := strings.Join([]string{apiVersion, kind, namespace, name}, "\x00")
	l.mu.Lock()
	defer l.mu.Unlock()
	a, ok := l.seen[key]
	if !ok {
		a.object, a.err = l.ask(apiVersion, kind, namespace, name)
		l.seen[key] = a
	}
	if a.err != nil {
		return map[string]any{}, a.err
	}
	return release.Copy(a.object).(map[string]any), nil
}

func (l *lookup) ask(apiVersion, kind, namespace, name string) (map[string]any, error) {
	gvk := schema.FromAPIVersionAndKind(apiVersion, kind)
	mapping, err := l.conn.Mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, fmt.Errorf("lookup %s %s: %w", apiVersion, kind, err)
	}
	namespaced := mapping.Scope.Name() == meta.RESTScopeNameNamespace
	if err := l.permit(gvk.GroupKind(), namespaced, namespace, name); err != nil {
		return nil, err
	}
	var client dynamic.ResourceInterface = l.conn.Dynamic.Resource(mapping.Resource)
	if namespaced {
		client = l.conn.Dynamic.Resource(mapping.Resource).Namespace(namespace)
	}
	if name == "" {
		list, err := client.List(l.ctx, metav1.ListOptions{})
		if apierrors.IsNotFound(err) {
			return map[string]any{}, nil
		}
		if err != nil {
			return nil, fmt.Errorf("lookup %s in namespace %q: %w", kind, namespace, err)
		}
		l.found = true
		return list.UnstructuredContent(), nil
	}
	object, err := client.Get(l.ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return map[string]any{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lookup %s %s/%s: %w", kind, namespace, name, err)
	}
	l.found = true
	return object.UnstructuredContent(), nil
}
