package programs

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"text/template"
	"time"

	"github.com/hubship/hubship/node/internal/registryauth"
	"github.com/hubship/hubship/node/internal/settings"
	"github.com/hubship/hubship/node/internal/supervise"
)

// Kubelet runs the pods.
func (p *Set) Kubelet() supervise.Spec {
	spec := p.kube("kubelet", p.small(250), p.healthy("http", settings.PortKubeletHealth, "/healthz"),
		"--config="+p.s.Data("config", "kubelet.yaml"),
		"--kubeconfig="+p.kubeconfig("kubelet"),
		"--root-dir="+p.s.Data("kubelet"),
		"--cert-dir="+p.s.Data("kubelet", "pki"),
		"--hostname-override="+p.s.NodeName(),
		"--node-ip="+p.s.NodeIP,
	)
	return spec
}

// KubeProxy makes Services out of nftables rules in the node's own network.
func (p *Set) KubeProxy() supervise.Spec {
	return p.kube("kube-proxy", p.small(150), p.healthy("http", settings.PortKubeProxyHealth, "/healthz"),
		"--config="+p.s.Data("config", "kube-proxy.yaml"))
}

// Containerd runs containers for the kubelet.
func (p *Set) Containerd() supervise.Spec {
	return supervise.Spec{
		Name: "containerd", Path: p.Helper("containerd"),
		Args: []string{"--config", p.s.Data("config", "containerd.toml")},
		Env:  p.small(200), Log: p.s.Log("containerd"),
		Ready:       socketAnswers(p.containerdSocket()),
		StopTimeout: 10 * time.Second,
	}
}

func (p *Set) containerdSocket() string { return p.s.Run("containerd", "containerd.sock") }

// PauseImage is the image of every pod's first container.
func (p *Set) PauseImage() string { return p.s.Registry() + "/hubship/pause:1" }

// CoreDNSImage is the image of the cluster's name server.
func (p *Set) CoreDNSImage() string { return p.s.Registry() + "/hubship/coredns:1.15.0" }

func render(text string, data any) (string, error) {
	t, err := template.New("").Option("missingkey=error").Parse(text)
	if err != nil {
		return "", fmt.Errorf("render configuration: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return "", fmt.Errorf("render configuration: %w", err)
	}
	return b.String(), nil
}

func (p *Set) writeTemplate(name, text string, data any) error {
	content, err := render(text, data)
	if err != nil {
		return err
	}
	return writeFile(p.s.Data("config", name), content)
}

func (p *Set) writeKubeletConfig() error {
	return p.writeTemplate("kubelet.yaml", `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: {{.NodeIP}}
port: {{.Port}}
readOnlyPort: 0
healthzBindAddress: 127.0.0.1
healthzPort: {{.HealthPort}}
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: {{.CA}}}
authorization: {mode: Webhook}
tlsCertFile: {{.Cert}}
tlsPrivateKeyFile: {{.Key}}
containerRuntimeEndpoint: unix://{{.Containerd}}
cgroupDriver: cgroupfs
cgroupRoot: /{{.Cgroup}}
cgroupsPerQOS: true
enforceNodeAllocatable: [pods]
failCgroupV1: false
failSwapOn: false
clusterDomain: cluster.local
clusterDNS: [{{.DNS}}]
resolvConf: {{.ResolvConf}}
podLogsDir: {{.PodLogs}}
volumePluginDir: {{.Plugins}}
maxPods: 110
serializeImagePulls: false
maxParallelImagePulls: 3
registryPullQPS: 0
# The disk is the machine's, and mostly filled by others: only what would really
# stop pods counts.
evictionHard: {memory.available: 100Mi, nodefs.available: 1Gi, imagefs.available: 1Gi, nodefs.inodesFree: 1%}
imageGCHighThresholdPercent: 95
imageGCLowThresholdPercent: 90
containerLogMaxSize: 10Mi
containerLogMaxFiles: 3
runtimeRequestTimeout: 15m
kubeAPIQPS: 100
kubeAPIBurst: 200
`, map[string]string{
		"NodeIP":     p.s.NodeIP,
		"Port":       strconv.Itoa(p.s.Port(settings.PortKubelet)),
		"HealthPort": strconv.Itoa(p.s.Port(settings.PortKubeletHealth)),
		"CA":         p.pki.Cert(authority),
		"Cert":       p.pki.Cert("node-server"),
		"Key":        p.pki.Key("node-server"),
		"Containerd": p.containerdSocket(),
		"Cgroup":     p.s.CgroupName(),
		"DNS":        p.s.DNSIP().String(),
		"ResolvConf": p.s.Run("resolv.conf"),
		"PodLogs":    p.s.Data("pod-logs"),
		"Plugins":    p.s.Data("kubelet", "flexvolume"),
	})
}

func (p *Set) writeKubeProxyConfig() error {
	return p.writeTemplate("kube-proxy.yaml", `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
hostnameOverride: {{.Node}}
clientConnection: {kubeconfig: {{.Kubeconfig}}}
clusterCIDR: {{.Pods}}
detectLocalMode: ClusterCIDR
healthzBindAddress: 127.0.0.1:{{.HealthPort}}
metricsBindAddress: 127.0.0.1:{{.MetricsPort}}
nftables: {minSyncPeriod: 100ms, syncPeriod: 30s}
# Limits of connection tracking belong to the whole machine.
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`, map[string]string{
		"Node":        p.s.NodeName(),
		"Kubeconfig":  p.kubeconfig("kube-proxy"),
		"Pods":        p.s.PodCIDR,
		"HealthPort":  strconv.Itoa(p.s.Port(settings.PortKubeProxyHealth)),
		"MetricsPort": strconv.Itoa(p.s.Port(settings.PortKubeProxyMetric)),
	})
}

func (p *Set) writeContainerdConfig() error {
	account, password, err := registryauth.Read(p.registryFiles().Pull, p.s.Registry())
	if err != nil {
		return err
	}
	basic := base64.StdEncoding.EncodeToString([]byte(account + ":" + password))
	err = errors.Join(
		writeFile(p.s.Data("config", "registries", "docker.io", "hosts.toml"), fmt.Sprintf(`# What this mirror does not have is asked of docker.io itself.
[host."http://%[1]s"]
  capabilities = ["pull", "resolve"]
  [host."http://%[1]s".header]
    Authorization = "Basic %[2]s"
`, p.s.Registry(), basic)),
		writeFile(p.s.Data("config", "registries", p.s.Registry(), "hosts.toml"), fmt.Sprintf(`server = "http://%s"

[header]
  Authorization = "Basic %s"
`, p.s.Registry(), basic)),
	)
	if err != nil {
		return err
	}
	return p.writeTemplate("containerd.toml", `version = 3
root = '{{.Root}}'
state = '{{.State}}'
disabled_plugins = [
  'io.containerd.snapshotter.v1.blockfile', 'io.containerd.snapshotter.v1.btrfs',
  'io.containerd.snapshotter.v1.devmapper', 'io.containerd.snapshotter.v1.erofs',
  'io.containerd.snapshotter.v1.zfs', 'io.containerd.nri.v1.nri',
  'io.containerd.monitor.container.v1.restart',
]

[grpc]
  address = '{{.Socket}}'

[debug]
  level = 'info'

[plugins.'io.containerd.internal.v1.opt']
  path = '{{.Opt}}'

[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
  # The registry is on this machine and keeps every layer.
  discard_unpacked_layers = true
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '{{.Pause}}'
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = '{{.Registries}}'

[plugins.'io.containerd.cri.v1.runtime']
  # Without CAP_SYS_RESOURCE nothing may ask to be spared by the OOM killer, and
  # every pod would fail for trying.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = 'runc'
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = 'io.containerd.runc.v2'
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        BinaryName = '{{.Runc}}'
        SystemdCgroup = false
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ['{{.Plugins}}', '{{.Helpers}}']
    conf_dir = '{{.Networks}}'
`, map[string]string{
		"Root":       p.s.Data("containerd"),
		"State":      p.s.Run("containerd"),
		"Socket":     p.containerdSocket(),
		"Opt":        p.s.Data("containerd", "opt"),
		"Pause":      p.PauseImage(),
		"Registries": p.s.Data("config", "registries"),
		"Runc":       p.Helper("runc"),
		"Plugins":    PluginDir,
		"Helpers":    p.helper,
		"Networks":   p.s.Data("config", "cni"),
	})
}
