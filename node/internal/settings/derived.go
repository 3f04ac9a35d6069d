package settings

import (
	"net/netip"
	"path/filepath"
	"strconv"
)

// Ports of a node, as offsets from Settings.PortBase. All but Registry live in
// the node's own network namespace; Registry is also a port of the machine's
// loopback.
const (
	PortAPIServer       = 0
	PortEtcdClient      = 1
	PortEtcdPeer        = 2
	PortKubelet         = 3
	PortKubeletHealth   = 4
	PortControllers     = 5
	PortScheduler       = 6
	PortKubeProxyHealth = 7
	PortKubeProxyMetric = 8
	PortEtcdMetrics     = 9
	PortRegistry        = 20
)

// Port returns the port at an offset of the table above.
func (s Settings) Port(offset int) int { return s.PortBase + offset }

// NodeName is the node's name in Kubernetes.
func (s Settings) NodeName() string { return "hubship-" + s.Name }

// Context is the name of cluster, user and context in the kubeconfig.
func (s Settings) Context() string { return "hubship-" + s.Name }

// CgroupName is the one cgroup, at the top of every hierarchy, below which
// everything of the node runs.
func (s Settings) CgroupName() string { return "hubship-" + s.Name }

// BuildsCgroup is the cgroup, below the node's own, of the containers of
// builds.
func (s Settings) BuildsCgroup() string { return s.CgroupName() + "/builds" }

// Table is the name of the node's nftables table on the machine.
func (s Settings) Table() string { return "hubship-" + s.Name }

// Registry is the registry's name, the same on the machine and in the node.
func (s Settings) Registry() string {
	return "127.0.0.1:" + strconv.Itoa(s.Port(PortRegistry))
}

// APIServer is the address of the API server, the same on the machine, in the
// node and in its pods.
func (s Settings) APIServer() string {
	return "https://" + s.NodeIP + ":" + strconv.Itoa(s.Port(PortAPIServer))
}

// BuildKit is the address of the builder.
func (s Settings) BuildKit() string { return "unix://" + s.Run("buildkitd.sock") }

// Data returns a path below DataDir.
func (s Settings) Data(elem ...string) string {
	return filepath.Join(append([]string{s.DataDir}, elem...)...)
}

// Run returns a path below RunDir.
func (s Settings) Run(elem ...string) string {
	return filepath.Join(append([]string{s.RunDir}, elem...)...)
}

// Socket is the control socket.
func (s Settings) Socket() string { return s.Run("node.sock") }

// PolicySocket is where the CNI plugin of the network policies is answered.
func (s Settings) PolicySocket() string { return s.Run("policy.sock") }

// RegistryCredentials is a docker configuration file with the account that
// pushes to the registry.
func (s Settings) RegistryCredentials() string { return s.Data("pki", "registry-push.json") }

// Kubeconfig is the administrator's kubeconfig.
func (s Settings) Kubeconfig() string { return s.Data("admin.kubeconfig") }

// Log is the log file of one supervised program.
func (s Settings) Log(name string) string { return s.Data("logs", name+".log") }

// Pods is the range of pods and builds. It must have been validated.
func (s Settings) Pods() netip.Prefix { return netip.MustParsePrefix(s.PodCIDR) }

// Services is the range of Services. It must have been validated.
func (s Settings) Services() netip.Prefix { return netip.MustParsePrefix(s.ServiceCIDR) }

// KubernetesIP is the address of the Service "kubernetes": the first one.
func (s Settings) KubernetesIP() netip.Addr { return s.Services().Addr().Next() }

// DNSIP is the address of the cluster's name server: the tenth one.
func (s Settings) DNSIP() netip.Addr { return nth(s.Services().Addr(), 10) }

// HostIP is the machine's own address on the link to the node: the last usable
// one of the pod range.
func (s Settings) HostIP() netip.Addr { return nth(s.Pods().Addr(), rangeSize(s.Pods())-2) }

// FirstPodIP and LastPodIP bound the addresses that pods get.
func (s Settings) FirstPodIP() netip.Addr { return nth(s.Pods().Addr(), 2) }

// LastPodIP is the last address that a pod gets.
func (s Settings) LastPodIP() netip.Addr { return s.FirstBuildIP().Prev() }

// FirstBuildIP is the first of the 32 addresses that builds get. They are apart
// from the pods' so that the firewall can tell builds by their address.
func (s Settings) FirstBuildIP() netip.Addr { return nth(s.Pods().Addr(), rangeSize(s.Pods())-64) }

// LastBuildIP is the last address that a build gets.
func (s Settings) LastBuildIP() netip.Addr { return nth(s.Pods().Addr(), rangeSize(s.Pods())-33) }

// Builds is the range from FirstBuildIP to LastBuildIP.
func (s Settings) Builds() netip.Prefix { return netip.PrefixFrom(s.FirstBuildIP(), 27) }

func rangeSize(p netip.Prefix) int { return 1 << (32 - p.Bits()) }

func nth(base netip.Addr, n int) netip.Addr {
	b := base.As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	v += uint32(n)
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}
