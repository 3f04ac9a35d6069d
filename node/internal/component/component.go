// Package component holds the programs of Kubernetes and etcd that one binary
// carries, and starts one of them by its name.
package component

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	kubeproxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	// The API server, the scheduler and the controller manager register their
	// structured logging and client metrics through these packages.
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
)

// Etcd is the name of the one component that is not part of Kubernetes.
const Etcd = "etcd"

// Names lists the components that Run knows, in the order in which a node
// starts them.
var Names = []string{
	Etcd,
	"kube-apiserver",
	"kube-controller-manager",
	"kube-scheduler",
	"kubelet",
	"kube-proxy",
}

// Known reports whether name is a component.
func Known(name string) bool { return slices.Contains(Names, name) }

// Run runs the component until it ends and returns the exit code of the
// process. It takes over os.Args, because the components read their flags from
// there.
func Run(name string, args []string) (int, error) {
	os.Args = append([]string{name}, args...)
	if name == Etcd {
		etcdmain.Main(os.Args)
		return 0, nil
	}
	command, err := newCommand(name)
	if err != nil {
		return 2, err
	}
	return cli.Run(command), nil
}

func newCommand(name string) (*cobra.Command, error) {
	switch name {
	case "kube-apiserver":
		return apiserver.NewAPIServerCommand(), nil
	case "kube-controller-manager":
		return controllermanager.NewControllerManagerCommand(), nil
	case "kube-scheduler":
		return scheduler.NewSchedulerCommand(), nil
	case "kubelet":
		return kubelet.NewKubeletCommand(context.Background()), nil
	case "kube-proxy":
		return kubeproxy.NewProxyCommand(), nil
	}
	return nil, fmt.Errorf("start component %q: %w", name, errors.ErrUnsupported)
}
