package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/hubship/hubship/node/internal/addons"
	"github.com/hubship/hubship/node/internal/images"
	"github.com/hubship/hubship/node/internal/sandbox"
	"github.com/hubship/hubship/node/internal/settings"
	"github.com/hubship/hubship/node/internal/supervise"
	"github.com/hubship/hubship/node/internal/volumes"
)

// Deadlines of the start. They are far above what a slow machine needs, so that
// only something that will never work runs into them.
const (
	programTimeout = 5 * time.Minute
	nodeTimeout    = 5 * time.Minute
	debianTimeout  = 15 * time.Minute
	pollInterval   = 200 * time.Millisecond
)

func forwardTo(box *sandbox.Sandbox, port int) func() (net.Conn, error) {
	return func() (net.Conn, error) { return box.DialLoopback(port) }
}

// gate opens once something that others wait for has come up.
type gate chan struct{}

func (g gate) wait(ctx context.Context) error {
	select {
	case <-g:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start brings everything up. The chains run side by side and meet at gates:
// etcd, API server, controllers; container runtime, kubelet; registry, images.
func (n *Node) start(ctx context.Context) error {
	life := ctx // The group's own context ends with the start.
	group, ctx := errgroup.WithContext(ctx)
	api, images, runtime := make(gate), make(gate), make(gate)

	group.Go(func() error { return n.startControlPlane(ctx, api) })
	group.Go(func() error { return n.startImages(ctx, images) })
	group.Go(func() error { return n.startRuntime(ctx, runtime) })
	group.Go(func() error { return n.startProgram(ctx, "buildkit", "start the image builder", n.programs.BuildKit) })
	group.Go(func() error {
		if err := errors.Join(api.wait(ctx), runtime.wait(ctx)); err != nil {
			return err
		}
		if err := n.servePolicies(ctx, life); err != nil {
			return err
		}
		return n.startAgent(ctx)
	})
	group.Go(func() error {
		if err := api.wait(ctx); err != nil {
			return err
		}
		if err := n.serveVolumes(life); err != nil {
			return err
		}
		if err := images.wait(ctx); err != nil {
			return err
		}
		return n.startAddons(ctx)
	})
	return group.Wait()
}

func (n *Node) startProgram(ctx context.Context, step, detail string, spec func() supervise.Spec) error {
	return n.board.step(ctx, step, detail, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, programTimeout)
		defer cancel()
		return n.launch(ctx, spec())
	})
}

func (n *Node) startControlPlane(ctx context.Context, api gate) error {
	if err := n.startProgram(ctx, "etcd", "start the cluster's database", n.programs.Etcd); err != nil {
		return err
	}
	if err := n.startProgram(ctx, "api-server", "start the Kubernetes API", n.programs.APIServer); err != nil {
		return err
	}
	close(api)
	group, ctx := errgroup.WithContext(ctx)
	// Earlier they would end, because their own roles do not exist yet.
	group.Go(func() error {
		return n.startProgram(ctx, "controllers", "start the controllers", n.programs.ControllerManager)
	})
	group.Go(func() error {
		return n.startProgram(ctx, "scheduler", "start the scheduler", n.programs.Scheduler)
	})
	return group.Wait()
}

func (n *Node) startRuntime(ctx context.Context, runtime gate) error {
	if err := n.startProgram(ctx, "containerd", "start the container runtime", n.programs.Containerd); err != nil {
		return err
	}
	close(runtime)
	return nil
}

func (n *Node) startAgent(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return n.startProgram(ctx, "services", "start the Service network", n.programs.KubeProxy)
	})
	group.Go(func() error {
		if err := n.startProgram(ctx, "kubelet", "start the node agent", n.programs.Kubelet); err != nil {
			return err
		}
		return n.board.step(ctx, "node", "wait until the node accepts pods", n.waitNode)
	})
	return group.Wait()
}

func (n *Node) startImages(ctx context.Context, ready gate) error {
	if err := n.startProgram(ctx, "registry", "start the image registry", n.programs.Registry); err != nil {
		return err
	}
	registry, err := images.Open(n.s.Registry(), n.s.Port(settings.PortRegistry), n.s.RegistryCredentials(), n.box)
	if err != nil {
		return err
	}
	err = n.board.step(ctx, "system-images", "build the images of the system pods", func(ctx context.Context) error {
		for _, p := range []images.Program{
			{Repository: "hubship/pause", Tag: "1", Path: n.programs.Helper("pause"), User: "65535"},
			{Repository: "hubship/coredns", Tag: "1.15.0", Path: n.programs.Helper("coredns"), User: "0"},
		} {
			if err := registry.PushProgram(ctx, p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	close(ready)
	return n.board.step(ctx, "base-image", "build the Debian base image", func(ctx context.Context) error {
		return n.ensureDebian(ctx, registry)
	})
}

// debianPauses are those between two tries of the base image, whose packages
// come over the network: a mirror may be away for a minute.
var debianPauses = []time.Duration{2 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute}

func (n *Node) ensureDebian(ctx context.Context, registry *images.Registry) error {
	has, err := registry.Has(ctx, images.DebianRepository, images.DebianTag)
	if err != nil || has {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, debianTimeout)
	defer cancel()
	log, err := os.OpenFile(n.s.Log("base-image"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("open the log of the base image: %w", err)
	}
	defer func() { _ = log.Close() }()
	for try := 0; ; try++ {
		err := registry.PushDebian(ctx, images.Debian{
			WorkDir: n.s.Data("tmp", "base-image"), Log: log, Env: n.programs.Env(), Start: n.box.StartCommand,
		})
		if err == nil || try == len(debianPauses) || ctx.Err() != nil {
			return err
		}
		n.log.Warn("base image failed, trying again", "in", debianPauses[try], "error", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(debianPauses[try]):
		}
	}
}

// serveVolumes answers claims until ctx ends.
func (n *Node) serveVolumes(ctx context.Context) error {
	config, err := n.programs.RestConfig()
	if err != nil {
		return err
	}
	go func() {
		// Only the arguments can be wrong here, and then no claim is answered;
		// the loop itself ends with ctx.
		if err := volumes.Serve(ctx, config, n.s.Data("volumes"), n.s.NodeName()); err != nil {
			n.log.Error("volumes are not provided", "error", err)
		}
	}()
	return nil
}

func (n *Node) startAddons(ctx context.Context) error {
	config, err := n.programs.RestConfig()
	if err != nil {
		return err
	}
	err = n.board.step(ctx, "addons", "apply name server and storage class", func(ctx context.Context) error {
		return poll(ctx, programTimeout, func(ctx context.Context) error {
			return addons.Apply(ctx, config, addons.Values{
				DNSIP: n.s.DNSIP().String(), CoreDNSImage: n.programs.CoreDNSImage(),
				StorageClass: volumes.StorageClass, Provisioner: volumes.Provisioner,
			})
		})
	})
	if err != nil {
		return err
	}
	return n.board.step(ctx, "dns", "wait until names resolve over the Service network", n.waitDNS)
}

// poll calls fn until it succeeds; it returns the last error when time is up.
func poll(ctx context.Context, timeout time.Duration, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		err := fn(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(pollInterval):
		}
	}
}

// waitNode waits until the kubelet of this run has reported the node ready: the
// API still holds what the last run's kubelet said.
func (n *Node) waitNode(ctx context.Context) error {
	config, err := n.programs.RestConfig()
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("wait for the node: %w", err)
	}
	return poll(ctx, nodeTimeout, func(ctx context.Context) error {
		object, err := client.CoreV1().Nodes().Get(ctx, n.s.NodeName(), metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("wait for node %s: %w", n.s.NodeName(), err)
		}
		for _, condition := range object.Status.Conditions {
			if condition.Type != corev1.NodeReady {
				continue
			}
			fresh := !condition.LastHeartbeatTime.Time.Before(n.startedAt.Truncate(time.Second))
			if condition.Status == corev1.ConditionTrue && fresh {
				return nil
			}
			return fmt.Errorf("wait for node %s: %s", n.s.NodeName(), condition.Message)
		}
		return fmt.Errorf("wait for node %s: it has not reported its state", n.s.NodeName())
	})
}

// waitDNS asks the cluster's name server over its Service address, as every pod
// does.
func (n *Node) waitDNS(ctx context.Context) error {
	query := new(dns.Msg).SetQuestion("kubernetes.default.svc.cluster.local.", dns.TypeA)
	client := &dns.Client{Timeout: time.Second}
	return poll(ctx, nodeTimeout, func(ctx context.Context) error {
		answer, _, err := client.ExchangeContext(ctx, query, n.s.DNSIP().String()+":53")
		if err != nil {
			return fmt.Errorf("ask the cluster's name server: %w", err)
		}
		if len(answer.Answer) == 0 {
			return fmt.Errorf("ask the cluster's name server: it answered %s", dns.RcodeToString[answer.Rcode])
		}
		return nil
	})
}
