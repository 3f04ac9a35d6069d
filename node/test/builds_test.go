package test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// neighbour is a host of a private network around the machine.
const neighbour = "172.31.77.2"

// startNeighbour makes a host behind an interface of the machine, which answers
// at two ports.
func startNeighbour(t *testing.T) {
	t.Helper()
	for _, program := range []string{"ip", "perl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not there: apt-get install iproute2 perl-base", program)
		}
	}
	ns := fmt.Sprintf("hst-%d", os.Getpid())
	link := fmt.Sprintf("hsn%d", os.Getpid())
	run := func(args ...string) error {
		out, err := exec.Command("ip", args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
		}
		return nil
	}
	if err := run("netns", "add", ns); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(run("netns", "delete", ns)); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(
		run("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", ns),
		run("address", "add", "172.31.77.1/30", "dev", link),
		run("link", "set", link, "up"),
		run("-n", ns, "address", "add", neighbour+"/30", "dev", "eth0"),
		run("-n", ns, "link", "set", "eth0", "up"),
		run("-n", ns, "route", "add", "default", "via", "172.31.77.1"),
	); err != nil {
		t.Fatal(err)
	}
	for _, port := range []string{"8080", "8081"} {
		server := exec.Command("ip", "netns", "exec", ns, "perl", "-e", strings.Replace(server, "8080", port, 1))
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = server.Process.Kill()
			_ = server.Wait()
		})
		eventually(t, 10*time.Second, "the neighbour listens", func() error {
			if !connects(net.JoinHostPort(neighbour, port)) {
				return errors.New("refused")
			}
			return nil
		})
	}
}

// checkBuildNetwork has a build try everything that it must not reach, each of
// which somebody serves, and what it needs.
func checkBuildNetwork(t *testing.T, a, b *instance) {
	defer a.as(t)()
	startNeighbour(t)
	listener, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	machine := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	core := a.client().CoreV1()
	service, err := core.Services("default").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	web, err := core.Pods("default").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := a.settings
	tries := map[string]string{
		"a private network":         neighbour + "/8080",
		"a pod":                     web.Status.PodIP + "/8080",
		"a Service":                 service.Spec.ClusterIP + "/80",
		"the API as a Service":      s.KubernetesIP().String() + "/443",
		"the cluster's name server": s.DNSIP().String() + "/53",
		"the other node":            fmt.Sprintf("%s/%d", b.settings.NodeIP, b.settings.Port(0)),
		"the loopback's registry":   fmt.Sprintf("127.0.0.1/%d", s.Port(20)),
		"link-local":                "169.254.169.254/80",
		"a carrier's network":       "100.64.0.1/80",
	}
	for _, offset := range []int{0, 1, 2, 3, 4, 20} {
		tries[fmt.Sprintf("the node, port +%d", offset)] = fmt.Sprintf("%s/%d", s.NodeIP, s.Port(offset))
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range addrs {
		if ip := addr.(*net.IPNet).IP.To4(); ip != nil {
			tries["the machine at "+ip.String()] = ip.String() + "/" + machine
		}
	}
	var script strings.Builder
	for what, at := range tries {
		fmt.Fprintf(&script, "(timeout 3 bash -c '</dev/tcp/%s' 2>/dev/null && echo \"%s at %s\" >> /reached) &\n", at, what, at)
	}
	// What the settings allow, and names and packages from the outside.
	fmt.Fprintf(&script, "timeout 5 bash -c '</dev/tcp/%s/8081' || echo \"not what buildReach lists\" >> /reached\n", neighbour)
	script.WriteString("apt-get update -q || echo 'not the outside' >> /reached\nwait\ntouch /reached\n! grep . /reached\n")
	dir := t.TempDir()
	for name, content := range map[string]string{
		"try.sh":     script.String(),
		"Dockerfile": "FROM debian:bookworm-slim\nCOPY try.sh /\nRUN bash /try.sh\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a.build(dir, s.Registry()+"/test/tries:1")
	// Containers may make packets of their own; only their own address counts.
	status, err := a.status()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range status.Components {
		if c.Name != "containerd" {
			continue
		}
		out, err := exec.Command("nsenter", "-t", strconv.Itoa(c.PID), "-n", "sh", "-c", "cat /proc/sys/net/ipv4/conf/veth*/rp_filter").CombinedOutput()
		if err != nil || strings.Trim(string(out), "1\n") != "" || len(out) == 0 {
			t.Errorf("the links of containers take forged addresses: %q, %v", out, err)
		}
	}
	// A pod does reach the neighbour: it was the rules for builds that refused.
	if got := a.exec("look", "timeout 3 bash -c '</dev/tcp/"+neighbour+"/8080' && echo open"); got != "open" {
		t.Errorf("a pod does not reach the private network: %q", got)
	}
}

// checkBuildLimits wants bounds on what all builds take together.
func checkBuildLimits(t *testing.T, i *instance) {
	for what, files := range map[string][2]string{
		"memory":    {"memory.max", "memory/*/memory.limit_in_bytes"},
		"processes": {"pids.max", "pids/*/pids.max"},
	} {
		paths := []string{"/sys/fs/cgroup/" + i.settings.BuildsCgroup() + "/" + files[0]}
		paths = append(paths, "/sys/fs/cgroup/"+strings.Replace(files[1], "*", i.settings.BuildsCgroup(), 1))
		var data []byte
		var err error
		for _, path := range paths {
			if data, err = os.ReadFile(path); err == nil {
				break
			}
		}
		limit, parseErr := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
		if err != nil || parseErr != nil || limit == 0 || limit > 1<<42 {
			t.Errorf("%s of builds: %q, %v", what, data, err)
		}
	}
}
