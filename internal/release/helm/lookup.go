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
	"github.com/hubship/hubship/internal/release"
)

// lookup answers the template function of that name from the cluster. Helm's
// own makes new clients and reads discovery at each call; charts that keep
// generated secrets call it for the same object dozens of times a render.
type lookup struct {
	ctx  context.Context
	conn *cluster.Conn

	mu   sync.Mutex
	seen map[string]answer
}

type answer struct {
	object map[string]any
	err    error
}

func newLookup(ctx context.Context, conn *cluster.Conn) *lookup {
	return &lookup{ctx: ctx, conn: conn, seen: map[string]answer{}}
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
	var client dynamic.ResourceInterface = l.conn.Dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace && namespace != "" {
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
		return list.UnstructuredContent(), nil
	}
	object, err := client.Get(l.ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return map[string]any{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lookup %s %s/%s: %w", kind, namespace, name, err)
	}
	return object.UnstructuredContent(), nil
}
