package cluster

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/hubship/hubship/internal/model"
)

// addressTTL is how long a Service's address is believed. A Service that was
// deleted and made again has another one.
const addressTTL = 10 * time.Second

type transportKey struct {
	cluster                  model.Cluster
	namespace, service, port string
}

type addressCache struct {
	mu   sync.Mutex
	seen map[string]cachedAddress
}

type cachedAddress struct {
	address string
	at      time.Time
}

func (a *addressCache) get(key string) (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, ok := a.seen[key]
	return c.address, ok && time.Since(c.at) < addressTTL
}

func (a *addressCache) put(key, address string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.seen == nil || len(a.seen) > 1000 {
		a.seen = map[string]cachedAddress{}
	}
	a.seen[key] = cachedAddress{address, time.Now()}
}

func (a *addressCache) drop(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.seen, key)
}

// HTTPTransport returns a round tripper whose connections all go to one port
// of a Service, whatever host a request names. The port is a number or a name.
// The same arguments give the same transport, so that connections are reused.
func (s *Set) HTTPTransport(c model.Cluster, namespace, service, port string) http.RoundTripper {
	key := transportKey{c, namespace, service, port}
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.transports[key]; t != nil {
		return t
	}
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return s.Dial(ctx, c, namespace, service, port)
		},
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true, // the caller decides; a proxy passes bodies as they are
	}
	s.transports[key] = t
	return t
}

// Dial connects to a port, given by number or name, of a Service. In the
// embedded cluster that is a plain TCP connection; elsewhere a stream through
// the API server to a ready pod behind the Service.
func (s *Set) Dial(ctx context.Context, c model.Cluster, namespace, service, port string) (net.Conn, error) {
	conn, err := s.Conn(c)
	if err != nil {
		return nil, err
	}
	nc, err := conn.dial(ctx, namespace, service, port)
	if err != nil {
		return nil, fmt.Errorf("cluster %s: connect to Service %s/%s port %s: %w", c.Name, namespace, service, port, err)
	}
	return nc, nil
}

func (c *Conn) dial(ctx context.Context, namespace, service, port string) (net.Conn, error) {
	key := namespace + "/" + service + ":" + port
	if c.direct {
		if address, ok := c.address.get(key); ok {
			if nc, err := dialTCP(ctx, address); err == nil {
				return nc, nil
			}
			c.address.drop(key)
		}
	}
	svc, err := c.Client.CoreV1().Services(namespace).Get(ctx, service, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the Service: %w", err)
	}
	sp, err := servicePort(svc, port)
	if err != nil {
		return nil, err
	}
	if c.direct && svc.Spec.ClusterIP != corev1.ClusterIPNone && svc.Spec.ClusterIP != "" {
		address := net.JoinHostPort(svc.Spec.ClusterIP, strconv.Itoa(int(sp.Port)))
		nc, err := dialTCP(ctx, address)
		if err != nil {
			return nil, err
		}
		c.address.put(key, address)
		return nc, nil
	}
	pod, target, err := c.endpoint(ctx, svc, sp)
	if err != nil {
		return nil, err
	}
	if c.direct {
		return dialTCP(ctx, net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(int(target))))
	}
	return c.forward(ctx, pod.Namespace, pod.Name, target)
}

func dialTCP(ctx context.Context, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return d.DialContext(ctx, "tcp", address)
}

// servicePort finds a port by number or name.
func servicePort(svc *corev1.Service, port string) (corev1.ServicePort, error) {
	number, _ := strconv.Atoi(port)
	for _, p := range svc.Spec.Ports {
		if p.Name == port || (number > 0 && int(p.Port) == number) {
			return p, nil
		}
	}
	return corev1.ServicePort{}, fmt.Errorf("the Service has no port %q", port)
}

// endpoint picks a ready pod behind a Service, and the port on it.
func (c *Conn) endpoint(ctx context.Context, svc *corev1.Service, sp corev1.ServicePort) (*corev1.Pod, int32, error) {
	slices, err := c.Client.DiscoveryV1().EndpointSlices(svc.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: labels.Set{discoveryv1.LabelServiceName: svc.Name}.String(),
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list endpoints: %w", err)
	}
	for _, slice := range slices.Items {
		var target int32
		for _, p := range slice.Ports {
			if p.Port != nil && (p.Name == nil || *p.Name == sp.Name) {
				target = *p.Port
			}
		}
		if target == 0 {
			continue
		}
		for _, e := range slice.Endpoints {
			if e.TargetRef == nil || e.TargetRef.Kind != "Pod" || e.Conditions.Ready != nil && !*e.Conditions.Ready {
				continue
			}
			pod, err := c.Client.CoreV1().Pods(e.TargetRef.Namespace).Get(ctx, e.TargetRef.Name, metav1.GetOptions{})
			if err != nil || pod.DeletionTimestamp != nil {
				continue // it went between the two questions; another may be there
			}
			return pod, target, nil
		}
	}
	return nil, 0, fmt.Errorf("no ready pod is behind the Service")
}
