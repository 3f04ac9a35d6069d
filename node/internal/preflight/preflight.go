// Package preflight finds out, before anything is changed, why a node could not
// run on this machine.
package preflight

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hubship/hubship/node/internal/network"
	"github.com/hubship/hubship/node/internal/settings"
)

// What a node needs at least, in bytes.
const (
	MinDisk   = 10 << 30
	MinMemory = 4 << 30
)

// Tool is a program that the node runs and does not bring itself.
type Tool struct {
	// Path is looked up in PATH unless it is absolute.
	Path string
	// Package is the Debian package that has it.
	Package string
}

// Tools lists the programs that must be there.
var Tools = []Tool{
	{"nft", "nftables"},
	{"mmdebstrap", "mmdebstrap"},
	{"mount", "mount"},
	{"/usr/lib/cni/ptp", "containernetworking-plugins"},
	{"/usr/lib/cni/host-local", "containernetworking-plugins"},
	{"/usr/lib/cni/loopback", "containernetworking-plugins"},
}

// Helpers lists the programs that lie in node.d beside the node's own.
var Helpers = []string{"nsinit", "etcd", "kube", "containerd", "containerd-shim-runc-v2", "buildkitd", "runc", "coredns", "registry", "pause", "hubship-policy"}

// Check returns every reason why the node of these settings cannot start, each
// with what to do about it. helperDir holds the programs that are built beside
// the node's own. It changes nothing.
func Check(s settings.Settings, helperDir string) []error {
	if runtime.GOOS != "linux" {
		return []error{fmt.Errorf("this is %s: the node runs only on Linux; use a Linux machine, or an existing cluster with --kubeconfig", runtime.GOOS)}
	}
	if os.Geteuid() != 0 {
		return []error{errors.New("not root: the node creates namespaces and mounts; run it as root")}
	}
	var found []error
	found = append(found, programs(helperDir)...)
	found = append(found, disk(s.DataDir)...)
	found = append(found, memory()...)
	found = append(found, port(s)...)
	found = append(found, ranges(s)...)
	found = append(found, link(s)...)
	return found
}

func programs(helperDir string) []error {
	var found []error
	for _, tool := range Tools {
		if _, err := exec.LookPath(tool.Path); err != nil {
			found = append(found, fmt.Errorf("program %s is missing: run apt-get install %s", tool.Path, tool.Package))
		}
	}
	for _, helper := range Helpers {
		path := filepath.Join(helperDir, helper)
		if _, err := exec.LookPath(path); err != nil {
			found = append(found, fmt.Errorf("program %s is missing: run make node", path))
		}
	}
	return found
}

func disk(dir string) []error {
	for {
		var st unix.Statfs_t
		err := unix.Statfs(dir, &st)
		if errors.Is(err, fs.ErrNotExist) {
			dir = filepath.Dir(dir)
			continue
		}
		if err != nil {
			return []error{fmt.Errorf("inspect the disk of %s: %w", dir, err)}
		}
		if free := st.Bavail * uint64(st.Bsize); free < MinDisk {
			return []error{fmt.Errorf("%s has %.1f GiB free: the node needs %d GiB; free some, or set another dataDir", dir, gib(free), MinDisk>>30)}
		}
		return nil
	}
}

func gib(bytes uint64) float64 { return float64(bytes) / (1 << 30) }

func memory() []error {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return []error{fmt.Errorf("look at the memory: %w", err)}
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 || fields[0] != "MemAvailable:" {
			continue
		}
		kib, err := strconv.ParseUint(fields[1], 10, 64)
		if err != nil {
			return []error{fmt.Errorf("look at the memory: %w", err)}
		}
		if kib<<10 < MinMemory {
			return []error{fmt.Errorf("%.1f GiB of memory are available: the node and two hubs need %d GiB; stop something else", gib(kib<<10), MinMemory>>30)}
		}
		return nil
	}
	return nil
}

func port(s settings.Settings) []error {
	listener, err := net.Listen("tcp", s.Registry())
	if err != nil {
		return []error{fmt.Errorf("port %s is taken: %w; stop what listens there, or set another portBase", s.Registry(), err)}
	}
	_ = listener.Close()
	return nil
}

func ranges(s settings.Settings) []error {
	overlaps, err := network.Overlaps(s)
	if err != nil {
		return []error{err}
	}
	var found []error
	for _, overlap := range overlaps {
		found = append(found, fmt.Errorf("address range in use: %s; set another podCIDR and nodeIP, or serviceCIDR", overlap))
	}
	return found
}

func link(s settings.Settings) []error {
	if kind := network.ForeignLink(s); kind != "" {
		return []error{fmt.Errorf("interface %s already exists and is a %s: set another bridge", s.Bridge, kind)}
	}
	return nil
}
