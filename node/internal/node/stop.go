package node

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/hubship/hubship/node/internal/supervise"
)

// Deadlines of the stop. What does not end in time is killed with the node's
// namespaces.
const (
	podGrace    = 10 // seconds between a container's SIGTERM and its SIGKILL, at most
	podsTimeout = 20 * time.Second
)

// stopAll ends pods and programs in an order that lets each one finish: the
// kubelet first, for it would start pods again.
func (n *Node) stopAll() {
	began := time.Now()
	byName := map[string]*supervise.Process{}
	for _, p := range n.running() {
		byName[p.Name()] = p
	}
	stop := func(names ...string) {
		var wg sync.WaitGroup
		for _, name := range names {
			if p := byName[name]; p != nil {
				wg.Go(p.Stop)
			}
		}
		wg.Wait()
	}
	stop("kubelet", "buildkitd")
	if byName["containerd"] != nil {
		if err := n.stopPods(); err != nil {
			n.log.Warn("not all pods were stopped in order", "error", err)
		}
	}
	stop("containerd", "kube-controller-manager", "kube-scheduler", "kube-proxy", "registry")
	stop("kube-apiserver")
	stop("etcd")
	n.log.Info("programs stopped", "took", time.Since(began).Round(time.Millisecond))
}

// graceAnnotation is where the kubelet notes how many seconds a pod wants to
// have for its end.
const graceAnnotation = "io.kubernetes.pod.terminationGracePeriod"

// grace returns how many seconds a container may take to end.
func grace(c *cri.Container) int64 {
	wanted, err := strconv.ParseInt(c.GetAnnotations()[graceAnnotation], 10, 64)
	if err != nil || wanted < 0 {
		return podGrace
	}
	return min(wanted, podGrace)
}

// stopPods asks the container runtime to end every container, as the kubelet
// would.
func (n *Node) stopPods() error {
	conn, err := grpc.NewClient("unix://"+n.s.Run("containerd", "containerd.sock"),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("end the pods: %w", err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), podsTimeout)
	defer cancel()
	runtime := cri.NewRuntimeServiceClient(conn)
	containers, err := runtime.ListContainers(ctx, &cri.ListContainersRequest{Filter: &cri.ContainerFilter{
		State: &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_RUNNING},
	}})
	if err != nil {
		return fmt.Errorf("stop the pods: list containers: %w", err)
	}
	var wg sync.WaitGroup
	for _, c := range containers.Containers {
		wg.Go(func() {
			if _, err := runtime.StopContainer(ctx, &cri.StopContainerRequest{ContainerId: c.Id, Timeout: grace(c)}); err != nil {
				n.log.Warn("container did not stop", "name", c.GetMetadata().GetName(), "error", err)
			}
		})
	}
	wg.Wait()
	return nil
}
