// Package test runs real nodes, with everything in them, and looks at them from
// outside as their users do.
package test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/hubship/hubship/node/internal/network"
	"github.com/hubship/hubship/node/internal/node"
	"github.com/hubship/hubship/node/internal/settings"
)

// binDir is where make node puts the programs.
func binDir(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skipf("%s: the node runs on Linux only, this is %s", t.Name(), runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		t.Skipf("%s: the node needs root", t.Name())
	}
	dir := os.Getenv("HUBSHIP_BIN")
	if dir == "" {
		dir = "../../bin"
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "hubship-node")); err != nil {
		t.Skipf("%s: the programs are not built (%v): run make node", t.Name(), err)
	}
	return dir
}

// instance is one node under test.
type instance struct {
	t        *testing.T
	settings settings.Settings
	program  string
	config   string
	log      string
	cmd      *exec.Cmd
	ended    chan error
}

// newInstance describes the nth node of this run: nothing is shared with other
// nodes of the machine. It is purged when the test ends.
func newInstance(t *testing.T, n int) *instance {
	t.Helper()
	bin := binDir(t)
	dir := t.TempDir()
	// Two runs of the tests may meet on one machine.
	name := fmt.Sprintf("test%d-%d", n, os.Getpid())
	s := settings.Default()
	s.Name, s.DataDir, s.RunDir, s.Bridge = name, filepath.Join(dir, "data"), "/run/hubship/"+name, fmt.Sprintf("hst%d-%d", n, os.Getpid())
	freeRanges(t, &s, n)
	s.BuildReach = []string{neighbour + ":8081"}
	data, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	i := &instance{t: t, settings: s, program: filepath.Join(bin, "hubship-node"), config: filepath.Join(dir, "node.json"), log: filepath.Join(dir, "run.log")}
	if err := os.WriteFile(i.config, data, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if i.cmd != nil {
			i.kill()
		}
		if out, err := i.command("purge"); err != nil {
			t.Errorf("purge node %s: %v: %s", name, err, out)
		}
	})
	return i
}

// as makes a subtest the one that fails; the returned function ends that.
func (i *instance) as(t *testing.T) (restore func()) {
	outer := i.t
	i.t = t
	return func() { i.t = outer }
}

// freeRanges gives the nth node addresses and ports that nobody on the machine
// uses.
func freeRanges(t *testing.T, s *settings.Settings, n int) {
	t.Helper()
	for second := 130 + 40*n; second < 170+40*n; second += 2 {
		s.NodeIP, s.PodCIDR = fmt.Sprintf("10.%d.0.1", second), fmt.Sprintf("10.%d.0.0/24", second)
		s.ServiceCIDR, s.PortBase = fmt.Sprintf("10.%d.0.0/24", second+1), 14000+40*second
		overlaps, err := network.Overlaps(*s)
		if err != nil {
			t.Fatal(err)
		}
		if listener, err := net.Listen("tcp", s.Registry()); err == nil && len(overlaps) == 0 {
			_ = listener.Close()
			return
		} else if err == nil {
			_ = listener.Close()
		}
	}
	t.Fatal("the machine has no free address ranges and ports for a test node")
}

// command runs one of the node's commands to its end.
func (i *instance) command(name string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, i.program, name, "--config", i.config).CombinedOutput()
	return string(out), err
}

// start starts the supervisor.
func (i *instance) start() {
	i.t.Helper()
	log, err := os.OpenFile(i.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		i.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	i.cmd = exec.Command(i.program, "run", "--config", i.config)
	i.cmd.Stdout, i.cmd.Stderr = log, log
	i.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	i.ended = make(chan error, 1)
	go func() {
		// The death signal is bound to the thread that starts the process.
		runtime.LockOSThread()
		err := i.cmd.Start()
		started <- err
		if err == nil {
			i.ended <- i.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		i.t.Fatal(err)
	}
}

// kill kills the supervisor and waits for it.
func (i *instance) kill() {
	_ = i.cmd.Process.Kill()
	<-i.ended
	i.cmd = nil
}

// status asks the control socket.
func (i *instance) status() (node.Status, error) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", i.settings.Socket())
		},
	}}
	var s node.Status
	resp, err := client.Get("http://node/status")
	if err != nil {
		return s, err
	}
	defer func() { _ = resp.Body.Close() }()
	return s, json.NewDecoder(resp.Body).Decode(&s)
}

// waitReady waits until the node says that it is ready, and returns how long
// that took.
func (i *instance) waitReady(timeout time.Duration) time.Duration {
	i.t.Helper()
	began := time.Now()
	for time.Since(began) < timeout {
		select {
		case err := <-i.ended:
			i.ended <- err
			i.t.Fatalf("node %s: its log, and why it ended before it was ready:\n%s%v", i.settings.Name, i.evidence(), err)
		case <-time.After(100 * time.Millisecond):
		}
		if s, err := i.status(); err == nil && s.Ready {
			return time.Since(began)
		}
	}
	i.t.Fatalf("node %s: what it is doing, and its log:\n%sit is not ready after %v", i.settings.Name, i.evidence(), timeout)
	return 0
}

// evidence is what a failed test shows: its end says most.
func (i *instance) evidence() string {
	text := ""
	if s, err := i.status(); err == nil {
		status, _ := json.MarshalIndent(s, "", "  ")
		text = fmt.Sprintf("status: %s\n", status)
	}
	for _, name := range []string{"base-image", "etcd", "containerd", "buildkitd", "registry"} {
		if log, err := os.ReadFile(i.settings.Log(name)); err == nil {
			text += fmt.Sprintf("the end of the log of %s:\n%s\n", name, log[max(0, len(log)-1000):])
		}
	}
	log, _ := os.ReadFile(i.log)
	return text + string(log)
}

func (i *instance) rest() *rest.Config {
	i.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", i.settings.Kubeconfig())
	if err != nil {
		i.t.Fatal(err)
	}
	return config
}

func (i *instance) client() kubernetes.Interface {
	i.t.Helper()
	client, err := kubernetes.NewForConfig(i.rest())
	if err != nil {
		i.t.Fatal(err)
	}
	return client
}

// exec runs a shell script in a pod and returns its output.
func (i *instance) exec(pod, script string) string {
	i.t.Helper()
	return i.execIn("default", pod, script)
}

func (i *instance) execIn(namespace, pod, script string) string {
	i.t.Helper()
	config := i.rest()
	config.GroupVersion, config.APIPath = &schema.GroupVersion{Version: "v1"}, "/api"
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	client, err := rest.RESTClientFor(config)
	if err != nil {
		i.t.Fatal(err)
	}
	url := client.Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Command: []string{"/bin/bash", "-c", script}, Stdout: true, Stderr: true}, scheme.ParameterCodec).URL()
	executor, err := remotecommand.NewWebSocketExecutor(config, "GET", url.String())
	if err != nil {
		i.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(i.t.Context(), time.Minute)
	defer cancel()
	var out, errOut bytes.Buffer
	if err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut}); err != nil {
		i.t.Fatalf("run %q in pod %s: %v: %s%s", script, pod, err, out.String(), errOut.String())
	}
	return strings.TrimSpace(out.String())
}

// eventually tries fn until it succeeds, and fails with its last error.
func eventually(t *testing.T, timeout time.Duration, what string, fn func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(timeout); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if err = fn(); err == nil {
			return
		}
	}
	t.Fatalf("%s: not within %v: %v", what, timeout, err)
}
