package test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hubship/hubship/node/internal/cgroup"
)

const (
	// coldTimeout covers the making of the base image over a slow network.
	coldTimeout = 10 * time.Minute
	warmTimeout = 2 * time.Minute
)

// TestTwoNodes is the life of two nodes on one machine, from their first start
// to the last trace.
func TestTwoNodes(t *testing.T) {
	before := forwarding(t)
	a, b := newInstance(t, 0), newInstance(t, 1)

	a.start()
	t.Logf("first node ready after %v, base image included", a.waitReady(coldTimeout).Round(time.Second))
	// The base image is the same for both and takes most of the time.
	copyTree(t, a.settings.Data("registry"), b.settings.Data("registry"))
	b.start()
	t.Logf("second node ready after %v", b.waitReady(warmTimeout).Round(100*time.Millisecond))

	t.Run("status", func(t *testing.T) { checkStatus(t, a) })
	t.Run("a second run is refused", func(t *testing.T) {
		out, err := a.command("run")
		if err == nil || !strings.Contains(out, fmt.Sprintf("process %d runs the node", a.cmd.Process.Pid)) {
			t.Errorf("got %v: %s", err, out)
		}
	})
	a.deploy()
	b.deploy()
	t.Run("pods", func(t *testing.T) { checkPods(t, a); checkPods(t, b) })
	t.Run("isolation", func(t *testing.T) { checkIsolation(t, a, b) })
	t.Run("network policies", func(t *testing.T) { checkPolicies(t, a) })
	t.Run("registry", func(t *testing.T) { checkRegistry(t, a) })
	t.Run("sockets", func(t *testing.T) { checkSockets(t, a) })
	t.Run("build", func(t *testing.T) { checkBuild(t, a) })
	t.Run("what builds reach", func(t *testing.T) { checkBuildNetwork(t, a, b) })
	t.Run("what builds may take", func(t *testing.T) { checkBuildLimits(t, a) })
	t.Run("everything killed", func(t *testing.T) { checkKill(t, a, b) })
	t.Run("stop and start", func(t *testing.T) { checkStop(t, b) })
	t.Run("purge", func(t *testing.T) {
		for _, i := range []*instance{a, b} {
			i.kill()
			if out, err := i.command("purge"); err != nil {
				t.Errorf("%v: %s", err, out)
			}
			checkGone(t, i)
		}
		if after := forwarding(t); after != before {
			t.Errorf("forwarding was %s and is %s", before, after)
		}
	})
}

func forwarding(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

func checkStatus(t *testing.T, i *instance) {
	defer i.as(t)()
	s, err := i.status()
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"supervisor", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "containerd", "buildkitd", "registry"}
	var total int64
	have := map[string]bool{}
	for _, c := range s.Components {
		have[c.Name] = true
		total += c.RSSBytes
		if c.PID == 0 || c.State != "running" {
			t.Errorf("%s: %+v", c.Name, c)
		}
	}
	for _, name := range want {
		if !have[name] {
			t.Errorf("%s is missing", name)
		}
	}
	for _, step := range s.Steps {
		if step.State != "done" {
			t.Errorf("step %s is %s: %s", step.Name, step.State, step.Detail)
		}
	}
	// 1.3 GiB is what two hubs leave of the 2.5 GiB that all may take.
	if const13 := int64(13 << 30 / 10); total > const13 {
		t.Errorf("the node's programs take %d MiB, want at most %d", total>>20, const13>>20)
	}
	t.Logf("the node's programs take %d MiB", total>>20)
	if s.PID != i.cmd.Process.Pid || s.Registry != i.settings.Registry() || s.Context != i.settings.Context() {
		t.Errorf("got %+v", s)
	}
}

func checkPods(t *testing.T, i *instance) {
	defer i.as(t)()
	i.reach()
	// Bash has no HTTP client but opens TCP connections.
	ask := `exec 3<>/dev/tcp/web/80 && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && tail -1 <&3`
	if got := i.exec("look", ask); got != "hello" {
		t.Errorf("over the Service's name: got %q", got)
	}
	if got := i.exec("web", "echo kept > /data/file && cat /data/file && id -u"); got != "kept\n1000" {
		t.Errorf("in the volume: got %q", got)
	}
	data, err := os.ReadFile(i.settings.Data("volumes", "default", "data", "file"))
	if err != nil || string(data) != "kept\n" {
		t.Errorf("the volume's file on the machine: %q, %v", data, err)
	}
	logs, err := i.client().CoreV1().Pods("default").GetLogs("web", &corev1.PodLogOptions{}).DoRaw(t.Context())
	if err != nil || !strings.Contains(string(logs), "listening") {
		t.Errorf("logs: %q, %v", logs, err)
	}
}

// checkIsolation looks for ways between the nodes, to the machine, and out.
func checkIsolation(t *testing.T, a, b *instance) {
	defer a.as(t)()
	nodePort := fmt.Sprintf("%s/%d", b.settings.NodeIP, b.settings.Port(0))
	// Somebody listens there; only the firewall can refuse.
	listener, err := net.Listen("tcp", a.settings.HostIP().String()+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	if !connects(listener.Addr().String()) {
		t.Fatal("the machine does not reach itself")
	}
	tries := map[string]string{
		"the other node":        nodePort,
		"the machine":           strings.Replace(listener.Addr().String(), ":", "/", 1),
		"an unclaimed Service":  strings.TrimSuffix(a.settings.ServiceCIDR, "0/24") + "250/80",
		"an unclaimed pod":      a.settings.LastPodIP().String() + "/80",
		"the registry":          fmt.Sprintf("%s/%d", a.settings.NodeIP, a.settings.Port(20)),
		"the database":          fmt.Sprintf("%s/%d", a.settings.NodeIP, a.settings.Port(1)),
		"the kubelet":           fmt.Sprintf("%s/%d", a.settings.NodeIP, a.settings.Port(3)),
		"the machine's service": "169.254.169.254/80",
	}
	for what, addr := range tries {
		got := a.exec("look", "timeout 2 bash -c '</dev/tcp/"+addr+"' 2>/dev/null && echo open || echo closed")
		if got != "closed" {
			t.Errorf("a pod reaches %s at %s", what, addr)
		}
	}
	if got := a.exec("look", fmt.Sprintf("timeout 2 bash -c '</dev/tcp/%s/%d' && echo open", a.settings.KubernetesIP(), 443)); got != "open" {
		t.Errorf("a pod does not reach the API: %q", got)
	}
	for _, port := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9} {
		for _, host := range []string{"127.0.0.1", a.settings.NodeIP} {
			if addr := fmt.Sprintf("%s:%d", host, a.settings.Port(port)); connects(addr) {
				t.Errorf("the machine reaches %s, which is the node's own", addr)
			}
		}
	}
}

func checkBuild(t *testing.T, i *instance) {
	defer i.as(t)()
	dir := t.TempDir()
	api := fmt.Sprintf("%s/%d", i.settings.NodeIP, i.settings.Port(0))
	dockerfile := `FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y python3-pip && rm -rf /var/lib/apt/lists/*
RUN pip install --break-system-packages idna==3.10
RUN ! timeout 2 bash -c '</dev/tcp/` + api + `'
CMD ["python3", "-c", "import idna; print('idna', idna.__version__)"]
`
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o600); err != nil {
		t.Fatal(err)
	}
	image := i.settings.Registry() + "/test/built:1"
	i.build(dir, image)
	i.checkTag("test/built")
	built := pod("built")
	built.Spec.Containers[0].Image, built.Spec.Containers[0].Command = image, nil
	built.Spec.RestartPolicy = corev1.RestartPolicyNever
	core := i.client().CoreV1()
	if _, err := core.Pods("default").Create(t.Context(), built, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "the built image runs", func() error {
		logs, err := core.Pods("default").GetLogs("built", &corev1.PodLogOptions{}).DoRaw(t.Context())
		if err == nil && strings.TrimSpace(string(logs)) != "idna 3.10" {
			err = fmt.Errorf("got %q", logs)
		}
		return err
	})
}

// checkTag wants exactly one tag of a repository in the registry.
func (i *instance) checkTag(repository string) {
	i.t.Helper()
	resp := i.registry(http.MethodGet, "/v2/"+repository+"/tags/list", i.settings.RegistryCredentials())
	defer func() { _ = resp.Body.Close() }()
	var tags struct{ Tags []string }
	if err := json.NewDecoder(resp.Body).Decode(&tags); err != nil || len(tags.Tags) != 1 {
		i.t.Errorf("the registry has tags %v of %s (%v)", tags.Tags, repository, err)
	}
}

// checkKill kills every process of a node in the middle of its work.
func checkKill(t *testing.T, a, b *instance) {
	defer a.as(t)()
	defer b.as(t)()
	s, err := a.status()
	if err != nil {
		t.Fatal(err)
	}
	pids := cgroup.Processes(a.settings.CgroupName())
	for _, c := range s.Components {
		pids = append(pids, c.PID)
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGKILL) // Some went with others.
	}
	<-a.ended
	a.start()
	t.Logf("ready %v after everything was killed", a.waitReady(warmTimeout).Round(100*time.Millisecond))
	a.waitPods(time.Minute, "web", "look")
	a.reach()
	if got := a.exec("web", "cat /data/file"); got != "kept" {
		t.Errorf("the volume has %q", got)
	}
	a.checkTag("test/built")
	b.reach() // The other node took no notice.

	t.Run("one program killed", func(t *testing.T) {
		s, err := a.status()
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range s.Components {
			if c.Name == "kube-apiserver" {
				if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
			}
		}
		eventually(t, time.Minute, "the API server is back", func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			_, err := a.client().CoreV1().Nodes().Get(ctx, a.settings.NodeName(), metav1.GetOptions{})
			return err
		})
		a.reach()
	})
}

func checkStop(t *testing.T, i *instance) {
	defer i.as(t)()
	began := time.Now()
	if out, err := i.command("stop"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := <-i.ended; err != nil {
		t.Errorf("the supervisor ended with %v", err)
	}
	t.Logf("stopped in %v", time.Since(began).Round(100*time.Millisecond))
	checkNothingRuns(t, i)
	i.start()
	t.Logf("ready %v after a stop", i.waitReady(warmTimeout).Round(100*time.Millisecond))
	i.waitPods(time.Minute, "web")
	i.reach()
	if got := i.exec("web", "cat /data/file"); got != "kept" {
		t.Errorf("the volume has %q", got)
	}
}

// checkGone wants no trace of a purged node.
func checkGone(t *testing.T, i *instance) {
	checkNothingRuns(t, i)
	for _, path := range []string{i.settings.DataDir, i.settings.RunDir} {
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left (%v)", path, err)
		}
	}
}

// checkNothingRuns wants no process, mount, interface, route, table, cgroup or
// socket of a node on the machine.
func checkNothingRuns(t *testing.T, i *instance) {
	t.Helper()
	for what, command := range map[string][]string{
		"process":   {"ps", "-eo", "pid,args"},
		"mount":     {"cat", "/proc/self/mountinfo"},
		"interface": {"cat", "/proc/net/dev"},
		"table":     {"nft", "list", "tables"},
	} {
		out, err := exec.Command(command[0], command[1:]...).Output()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		for _, line := range strings.Split(string(out), "\n") {
			for _, trace := range []string{i.settings.DataDir, i.settings.RunDir + "/", i.settings.Bridge + ":", i.settings.Table()} {
				if strings.Contains(line, trace) {
					t.Errorf("%s is left: %s", what, line)
				}
			}
		}
	}
	if left := cgroup.Processes(i.settings.CgroupName()); len(left) > 0 {
		t.Errorf("processes are left in the cgroup: %v", left)
	}
	for _, pattern := range []string{"/sys/fs/cgroup/" + i.settings.CgroupName(), "/sys/fs/cgroup/*/" + i.settings.CgroupName(), i.settings.RunDir} {
		if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
			t.Errorf("left: %v (%v)", left, err)
		}
	}
}
