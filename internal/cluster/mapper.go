package cluster

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/restmapper"
)

// minRefresh keeps a chart with a misspelled kind from reading the whole API
// surface again at every render.
const minRefresh = 2 * time.Second

// Mapper knows the kinds that a cluster serves. It reads them once and again
// when a kind is missing, so that a CustomResourceDefinition that was added
// later is found. It is safe for concurrent use.
type Mapper struct {
	inner *restmapper.DeferredDiscoveryRESTMapper

	mu         sync.Mutex
	refreshed  time.Time
	generation int
}

var _ meta.ResettableRESTMapper = (*Mapper)(nil)

func newMapper(d discovery.CachedDiscoveryInterface) *Mapper {
	return &Mapper{inner: restmapper.NewDeferredDiscoveryRESTMapper(d)}
}

// Generation grows whenever the mapper forgot what it knew. Whoever derives
// something from discovery keeps it for one generation.
func (m *Mapper) Generation() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.generation
}

// Reset forgets the kinds; the next question reads them again.
func (m *Mapper) Reset() {
	m.mu.Lock()
	m.generation++
	m.refreshed = time.Now()
	m.mu.Unlock()
	m.inner.Reset()
}

// retry says whether a question that failed should be asked again after a
// refresh, which it then has made.
func (m *Mapper) retry(err error) bool {
	if !meta.IsNoMatchError(err) {
		return false
	}
	m.mu.Lock()
	if time.Since(m.refreshed) < minRefresh {
		m.mu.Unlock()
		return false
	}
	m.refreshed = time.Now()
	m.generation++
	m.mu.Unlock()
	m.inner.Reset()
	return true
}

func ask[T any](m *Mapper, question func() (T, error)) (T, error) {
	out, err := question()
	if err != nil && m.retry(err) {
		return question()
	}
	return out, err
}

// KindFor implements meta.RESTMapper.
func (m *Mapper) KindFor(r schema.GroupVersionResource) (schema.GroupVersionKind, error) {
	return ask(m, func() (schema.GroupVersionKind, error) { return m.inner.KindFor(r) })
}

// KindsFor implements meta.RESTMapper.
func (m *Mapper) KindsFor(r schema.GroupVersionResource) ([]schema.GroupVersionKind, error) {
	return ask(m, func() ([]schema.GroupVersionKind, error) { return m.inner.KindsFor(r) })
}

// ResourceFor implements meta.RESTMapper.
func (m *Mapper) ResourceFor(r schema.GroupVersionResource) (schema.GroupVersionResource, error) {
	return ask(m, func() (schema.GroupVersionResource, error) { return m.inner.ResourceFor(r) })
}

// ResourcesFor implements meta.RESTMapper.
func (m *Mapper) ResourcesFor(r schema.GroupVersionResource) ([]schema.GroupVersionResource, error) {
	return ask(m, func() ([]schema.GroupVersionResource, error) { return m.inner.ResourcesFor(r) })
}

// RESTMapping implements meta.RESTMapper.
func (m *Mapper) RESTMapping(gk schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	return ask(m, func() (*meta.RESTMapping, error) { return m.inner.RESTMapping(gk, versions...) })
}

// RESTMappings implements meta.RESTMapper.
func (m *Mapper) RESTMappings(gk schema.GroupKind, versions ...string) ([]*meta.RESTMapping, error) {
	return ask(m, func() ([]*meta.RESTMapping, error) { return m.inner.RESTMappings(gk, versions...) })
}

// ResourceSingularizer implements meta.RESTMapper.
func (m *Mapper) ResourceSingularizer(resource string) (string, error) {
	return m.inner.ResourceSingularizer(resource)
}
