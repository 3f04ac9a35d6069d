package programs

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"time"

	"github.com/hubship/hubship/node/internal/registryauth"
	"github.com/hubship/hubship/node/internal/settings"
	"github.com/hubship/hubship/node/internal/supervise"
)

// PluginDir is where Debian puts the CNI plugins.
const PluginDir = "/usr/lib/cni"

// Registry is the OCI registry, on the node's loopback.
func (p *Set) Registry() supervise.Spec {
	return supervise.Spec{
		Name: "registry", Path: p.Helper("registry"),
		Args: []string{"serve", p.s.Data("config", "registry.yaml")},
		// The registry would send traces to a collector on the loopback.
		Env: p.small(150, "OTEL_TRACES_EXPORTER=none"), Log: p.s.Log("registry"),
		// The one page that wants no credentials.
		Ready: p.healthy("http", settings.PortRegistry, "/"),
	}
}

// BuildKit builds images, each step in a container with its own network.
func (p *Set) BuildKit() supervise.Spec {
	return supervise.Spec{
		Name: "buildkitd", Path: p.Helper("buildkitd"),
		Args: []string{"--config", p.s.Data("config", "buildkitd.toml")},
		Env:  p.small(400), Log: p.s.Log("buildkitd"),
		Ready:       socketAnswers(p.s.Run("buildkitd.sock")),
		StopTimeout: 10 * time.Second,
	}
}

func (p *Set) writeRegistryConfig() error {
	return p.writeTemplate("registry.yaml", `version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: {{.Root}}}
  delete: {enabled: true}
  redirect: {disable: true}
  maintenance:
    uploadpurging: {enabled: true, age: 24h, interval: 24h, dryrun: false}
http: {addr: "{{.Addr}}"}
auth: {{"{"}}{{.Auth}}: {path: "{{.Hashes}}"}}
`, map[string]string{
		"Root": p.s.Data("registry"), "Addr": p.s.Registry(),
		"Auth": registryauth.Name, "Hashes": p.registryFiles().Hashes,
	})
}

// registryFiles are where the registry's credentials lie.
func (p *Set) registryFiles() registryauth.Files {
	return registryauth.Files{
		Hashes: p.s.Data("pki", "registry.htpasswd"),
		Push:   p.s.RegistryCredentials(),
		Pull:   p.s.Data("pki", "registry-pull.json"),
	}
}

func (p *Set) ensureRegistryAccounts() error { return p.registryFiles().Ensure(p.s.Registry()) }

// Disk that BuildKit's cache may take, and must leave, before it is pruned.
const (
	buildCacheKeep = "4GB"
	buildCacheMax  = "20GB"
	buildDiskFree  = "5GB"
)

// minParallel is how many build steps may run side by side on a small machine:
// most of them wait for the network, and one that hangs must not stop the
// others.
const minParallel = 4

func (p *Set) writeBuildKitConfig() error {
	return p.writeTemplate("buildkitd.toml", `root = "{{.Root}}"

[grpc]
  address = ["unix://{{.Socket}}"]

[worker.containerd]
  enabled = false

[worker.oci]
  enabled = true
  snapshotter = "overlayfs"
  binary = "{{.Runc}}"
  max-parallelism = {{.Parallel}}
  defaultCgroupParent = "/{{.Cgroup}}"
  networkMode = "cni"
  cniConfigPath = "{{.Network}}"
  cniBinaryPath = "{{.Plugins}}"
  gc = true
  reservedSpace = "{{.Keep}}"
  maxUsedSpace = "{{.Max}}"
  minFreeSpace = "{{.Free}}"

[registry."docker.io"]
  mirrors = ["{{.Registry}}"]

[registry."{{.Registry}}"]
  http = true
  insecure = true
`, map[string]string{
		"Root":     p.s.Data("buildkit"),
		"Socket":   p.s.Run("buildkitd.sock"),
		"Runc":     p.Helper("runc"),
		"Parallel": strconv.Itoa(max(minParallel, runtime.NumCPU())),
		"Cgroup":   p.s.BuildsCgroup(),
		"Network":  p.s.Data("config", "builds.cni.json"),
		"Plugins":  PluginDir,
		"Keep":     buildCacheKeep, "Max": buildCacheMax, "Free": buildDiskFree,
		"Registry": p.s.Registry(),
	})
}

// network is a CNI network: every pod or build has a link of its own to the
// node, which routes between them. That way Services work without a bridge
// calling into the firewall.
func (p *Set) network(name string, first, last netip.Addr) map[string]any {
	return map[string]any{
		"type": "ptp",
		"mtu":  p.mtu,
		"ipam": map[string]any{
			"type": "host-local",
			// Emptied at every start, when no container holds an address.
			"dataDir": p.s.Run("addresses", name),
			"ranges": [][]map[string]string{{{
				"subnet": p.s.PodCIDR, "gateway": p.s.NodeIP,
				"rangeStart": first.String(), "rangeEnd": last.String(),
			}}},
			"routes": []map[string]string{{"dst": "0.0.0.0/0"}},
		},
	}
}

const cniVersion = "1.0.0"

func (p *Set) writePodNetwork() error {
	pods, podErr := json.MarshalIndent(map[string]any{
		"cniVersion": cniVersion, "name": "pods",
		"plugins": []any{
			p.network("pods", p.s.FirstPodIP(), p.s.LastPodIP()),
			// It returns once the pod's network policies are in force.
			map[string]any{"type": "hubship-policy", "socket": p.s.PolicySocket()},
		},
	}, "", "  ")
	builds := p.network("builds", p.s.FirstBuildIP(), p.s.LastBuildIP())
	builds["cniVersion"], builds["name"] = cniVersion, "builds"
	buildConf, buildErr := json.MarshalIndent(builds, "", "  ")
	if err := errors.Join(podErr, buildErr); err != nil {
		return fmt.Errorf("write the pod network: %w", err)
	}
	return errors.Join(
		writeFile(p.s.Data("config", "cni", "10-pods.conflist"), string(pods)),
		writeFile(p.s.Data("config", "builds.cni.json"), string(buildConf)),
	)
}
