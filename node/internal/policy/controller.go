package policy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	networkinglisters "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// attached is a sandbox with the pod that it belongs to, as it was last seen.
type attached struct {
	Sandbox
	pod Pod
}

// Controller keeps the rules in step with the policies. Rules that are in force
// stay until others take their place: while the API server is away, and when
// nft fails.
type Controller struct {
	net    Net
	client kubernetes.Interface
	apply  func(rules string) error
	forget func(ip netip.Addr) error
	log    *slog.Logger

	pods       corelisters.PodLister
	namespaces corelisters.NamespaceLister
	policies   networkinglisters.NetworkPolicyLister
	synced     chan struct{} // closed once the API has been read
	changed    chan struct{} // something may be different

	mu       sync.Mutex
	attached map[string]attached // by sandbox
	inForce  string              // the rules that nft has
}

// New returns a controller. apply hands a table to nft in the node's network;
// forget ends the connections that an address has there, so that who gets it
// next is not reached by what was let through before. The rules of an empty
// world are to be in force already.
func New(config *rest.Config, net Net, apply func(rules string) error, forget func(netip.Addr) error, log *slog.Logger) (*Controller, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("enforce network policies: %w", err)
	}
	return &Controller{
		net: net, client: client, apply: apply, forget: forget, log: log,
		synced: make(chan struct{}), changed: make(chan struct{}, 1), attached: map[string]attached{},
	}, nil
}

// How changes are gathered, so that a hundred events make one run of nft.
const (
	gather     = 50 * time.Millisecond
	retryPause = time.Second
)

// Run follows the API until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactoryWithOptions(c.client, 0, informers.WithTransform(strip))
	pods, namespaces, policies := factory.Core().V1().Pods(), factory.Core().V1().Namespaces(), factory.Networking().V1().NetworkPolicies()
	c.pods, c.namespaces, c.policies = pods.Lister(), namespaces.Lister(), policies.Lister()
	for _, informer := range []cache.SharedIndexInformer{pods.Informer(), namespaces.Informer(), policies.Informer()} {
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { c.poke() }, UpdateFunc: func(any, any) { c.poke() }, DeleteFunc: func(any) { c.poke() },
		})
		if err != nil {
			return fmt.Errorf("enforce network policies: %w", err)
		}
	}
	factory.StartWithContext(ctx)
	for kind, done := range factory.WaitForCacheSync(ctx.Done()) {
		if !done {
			return fmt.Errorf("enforce network policies: %v were not read: %w", kind, ctx.Err())
		}
	}
	close(c.synced)
	for {
		select {
		case <-ctx.Done():
			factory.Shutdown()
			return nil
		case <-c.changed:
		}
		time.Sleep(gather)
		if err := c.enforce(); err != nil {
			c.log.Error("network policies: the previous rules stay in force", "error", err)
			time.AfterFunc(retryPause, c.poke)
		}
	}
}

// Synced is closed once the API has been read.
func (c *Controller) Synced() <-chan struct{} { return c.synced }

func (c *Controller) poke() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// enforce brings the rules up to date.
func (c *Controller) enforce() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.enforceLocked()
}

func (c *Controller) enforceLocked() error {
	w, err := c.world()
	if err != nil {
		return err
	}
	rules := Rules(c.net, Decide(w))
	if rules == c.inForce {
		return nil
	}
	if err := c.apply(rules); err != nil {
		return err
	}
	c.inForce = rules
	return nil
}

// world gathers what is known. The addresses are those that the runtime gave
// out; what a pod is comes from the API, and stays as it was once the pod is
// gone there and its containers are still being ended.
func (c *Controller) world() (World, error) {
	w := World{Namespaces: map[string]map[string]string{}}
	for id, a := range c.attached {
		if object, err := c.pods.Pods(a.Namespace).Get(a.Name); err == nil && string(object.UID) == a.UID {
			a.pod = describe(object, a.pod.IP)
			c.attached[id] = a
		}
		w.Pods = append(w.Pods, a.pod)
	}
	namespaces, err := c.namespaces.List(labels.Everything())
	if err != nil {
		return w, err
	}
	for _, n := range namespaces {
		w.Namespaces[n.Name] = n.Labels
	}
	w.Policies, err = c.policies.List(labels.Everything())
	return w, err
}

// Attach has the rules for a new sandbox in force before it returns.
func (c *Controller) Attach(ctx context.Context, s Sandbox) error {
	ip, err := netip.ParseAddr(s.IP)
	if err != nil || !c.net.Pods.Contains(ip) || c.net.Builds.Contains(ip) {
		return fmt.Errorf("pod %s/%s has the address %q, which is not in the pods' range", s.Namespace, s.Name, s.IP)
	}
	select {
	case <-c.synced:
	case <-ctx.Done():
		return fmt.Errorf("pod %s/%s waits for the network policies to be read: %w", s.Namespace, s.Name, ctx.Err())
	}
	object, err := c.find(ctx, s)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// The runtime gives an address to one sandbox at a time: whoever had it
	// before is gone, also if nobody said so.
	for id, a := range c.attached {
		if a.pod.IP == ip {
			delete(c.attached, id)
		}
	}
	if err := c.forget(ip); err != nil {
		return fmt.Errorf("end the connections of the pod that had %s before: %w", ip, err)
	}
	c.attached[s.ID] = attached{Sandbox: s, pod: describe(object, ip)}
	if err := c.enforceLocked(); err != nil {
		delete(c.attached, s.ID)
		return fmt.Errorf("set the rules of pod %s/%s: %w", s.Namespace, s.Name, err)
	}
	return nil
}

// find returns the pod of a sandbox: the one that is known, or else the API's.
func (c *Controller) find(ctx context.Context, s Sandbox) (*corev1.Pod, error) {
	if object, err := c.pods.Pods(s.Namespace).Get(s.Name); err == nil && string(object.UID) == s.UID {
		return object, nil
	}
	object, err := c.client.CoreV1().Pods(s.Namespace).Get(ctx, s.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && string(object.UID) != s.UID {
		return nil, fmt.Errorf("pod %s/%s (%s) no longer exists", s.Namespace, s.Name, s.UID)
	}
	if err != nil {
		return nil, fmt.Errorf("read pod %s/%s: %w", s.Namespace, s.Name, err)
	}
	return object, nil
}

// Detach forgets a sandbox: its address reaches nobody from now on. One that
// is not known is no error.
func (c *Controller) Detach(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.attached[id]; !ok {
		return nil
	}
	delete(c.attached, id)
	return c.enforceLocked()
}

// describe is what the rules need of a pod.
func describe(object *corev1.Pod, ip netip.Addr) Pod {
	p := Pod{Namespace: object.Namespace, Name: object.Name, IP: ip, Labels: object.Labels}
	containers := object.Spec.Containers
	// Init containers that go on beside the others serve ports, too.
	containers = append(containers[:len(containers):len(containers)], object.Spec.InitContainers...)
	for _, container := range containers {
		for _, port := range container.Ports {
			if port.Name == "" {
				continue
			}
			protocol := strings.ToLower(string(port.Protocol))
			if protocol == "" {
				protocol = "tcp"
			}
			p.Ports = append(p.Ports, Port{Name: port.Name, Protocol: protocol, Number: uint16(port.ContainerPort)})
		}
	}
	for _, volume := range object.Spec.Volumes {
		if volume.Projected == nil {
			continue
		}
		for _, source := range volume.Projected.Sources {
			p.Token = p.Token || source.ServiceAccountToken != nil
		}
	}
	return p
}

// strip drops what nobody here reads, so that the copies of all pods stay small.
func strip(object any) (any, error) {
	switch o := object.(type) {
	case *corev1.Pod:
		o.ManagedFields, o.Annotations, o.Status = nil, nil, corev1.PodStatus{}
		for i := range o.Spec.Containers {
			o.Spec.Containers[i] = corev1.Container{Ports: o.Spec.Containers[i].Ports}
		}
		for i := range o.Spec.InitContainers {
			o.Spec.InitContainers[i] = corev1.Container{Ports: o.Spec.InitContainers[i].Ports}
		}
	case *corev1.Namespace:
		o.ManagedFields, o.Annotations = nil, nil
	case *networkingv1.NetworkPolicy:
		o.ManagedFields, o.Annotations = nil, nil
	}
	return object, nil
}

// ErrMissing is returned for a request that names no sandbox.
var ErrMissing = errors.New("the request names no sandbox")
