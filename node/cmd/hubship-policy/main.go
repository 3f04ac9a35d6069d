// Command hubship-policy is the last CNI plugin of a pod's network: it returns
// once the pod's network policies are in force, so that no container runs
// before them. It is chained behind the plugin that gives the pod its address.
package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	current "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/hubship/hubship/node/internal/policy/attach"
)

func main() {
	skel.PluginMainFuncs(skel.CNIFuncs{
		Add: add, Del: del,
		Check: func(*skel.CmdArgs) error { return nil },
	}, version.PluginSupports("1.0.0"), "hubship-policy has the network policies of a pod in force before it runs")
}

// config is the plugin's part of the network's configuration.
type config struct {
	types.NetConf
	// Socket is where the node's supervisor listens.
	Socket string `json:"socket"`
}

// pod is what the container runtime says about the pod.
type pod struct {
	types.CommonArgs
	K8S_POD_NAMESPACE, K8S_POD_NAME, K8S_POD_UID types.UnmarshallableString //nolint:revive,staticcheck // names of the protocol
}

func read(args *skel.CmdArgs) (config, *current.Result, error) {
	var c config
	if err := json.Unmarshal(args.StdinData, &c); err != nil {
		return c, nil, fmt.Errorf("read the network's configuration: %w", err)
	}
	if c.RawPrevResult == nil {
		return c, nil, nil
	}
	if err := version.ParsePrevResult(&c.NetConf); err != nil {
		return c, nil, fmt.Errorf("read what the plugin before has made: %w", err)
	}
	result, err := current.NewResultFromResult(c.PrevResult)
	if err != nil {
		return c, nil, fmt.Errorf("read what the plugin before has made: %w", err)
	}
	return c, result, nil
}

func add(args *skel.CmdArgs) error {
	c, result, err := read(args)
	if err != nil {
		return err
	}
	if result == nil || len(result.IPs) != 1 {
		return errors.New("the previous plugin did not give the pod exactly one address")
	}
	var p pod
	if err := types.LoadArgs(args.Args, &p); err != nil {
		return fmt.Errorf("read what the container runtime says about the pod: %w", err)
	}
	err = attach.NewClient(c.Socket).Attach(attach.Sandbox{
		ID: args.ContainerID, Namespace: string(p.K8S_POD_NAMESPACE), Name: string(p.K8S_POD_NAME), UID: string(p.K8S_POD_UID),
		IP: result.IPs[0].Address.IP.String(),
	})
	if err != nil {
		return err
	}
	return types.PrintResult(result, c.CNIVersion)
}

// del forgets the pod. Without a supervisor there is no node any more, and a
// pod must be able to end then, too: its address stays shut, and whoever gets
// it next replaces what is known of it.
func del(args *skel.CmdArgs) error {
	c, _, err := read(args)
	if err != nil {
		return err
	}
	_ = attach.NewClient(c.Socket).Detach(args.ContainerID)
	return nil
}
