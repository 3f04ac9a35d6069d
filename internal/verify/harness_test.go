package verify_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/verify"
	"github.com/hubship/hubship/internal/verify/jupyter"
)

// service is an account of the test hub that verification uses.
type service struct {
	Name   string   `json:"name"`
	Token  string   `json:"token"`
	Scopes []string `json:"scopes"`
}

// hub is the real JupyterHub that all tests of this binary share.
type hub struct {
	base     *url.URL
	dir      string
	log      string // path of its log
	process  *exec.Cmd
	exited   chan struct{}
	services map[string]service
	admin    *jupyter.Client
}

// Users of the test hub. Each has a service, named after it, with exactly the
// documented scopes for it.
var users = map[string]string{ // name -> how its server misbehaves
	"good": "", "imports": "", "dying": "", "stuck": "", "leftover": "", "pending": "", "removing": "",
	"cancelled": "", "exits": "exits", "hangs": "hangs", "hangs-cancel": "hangs", "refused": "refused",
	"bad": "bad kernel and page", "an-admin": "", "weak": "", "other": "", "guarded": "",
}

var (
	sharedHub   *hub
	sharedErr   error
	sharedStart sync.Once
)

func TestMain(m *testing.M) {
	code := m.Run()
	if sharedHub != nil {
		sharedHub.stop()
	}
	os.Exit(code)
}

// startedHub returns the shared hub, starting it for the first test that asks.
// It skips the test where the machine lacks Python or Node.
func startedHub(t *testing.T) *hub {
	t.Helper()
	t.Parallel()
	if testing.Short() {
		t.Skip("skipped: -short, and this test runs a real JupyterHub")
	}
	for _, program := range []string{"python3", "node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("skipped: %s is not installed, and this test runs a real JupyterHub (Debian: apt-get install python3-venv nodejs npm)", program)
		}
	}
	if err := exec.Command("python3", "-c", "import venv, ensurepip").Run(); err != nil {
		t.Skip("skipped: python3 cannot make virtual environments, and this test runs a real JupyterHub (Debian: apt-get install python3-venv)")
	}
	sharedStart.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		sharedHub, sharedErr = startHub(ctx)
	})
	if sharedErr != nil {
		t.Fatal(sharedErr)
	}
	t.Cleanup(func() {
		if t.Failed() {
			data, _ := os.ReadFile(sharedHub.log)
			t.Logf("the end of the hub's log:\n%s", data[max(0, len(data)-8000):])
		}
	})
	return sharedHub
}

// install makes the environment that the hub runs in, once per content of its
// pinned requirements, in the user's cache folder or HUBSHIP_TEST_VENV.
func install(ctx context.Context) (string, error) {
	python, err := exec.CommandContext(ctx, "python3", "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask python3 for its version: %w", err)
	}
	sum := sha256.New()
	sum.Write(python)
	for _, name := range []string{"requirements.txt", "package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join("testdata", "hub", name))
		if err != nil {
			return "", err
		}
		sum.Write(data)
	}
	root := os.Getenv("HUBSHIP_TEST_VENV")
	if root == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		root = filepath.Join(cache, "hubship-test")
	}
	dir := filepath.Join(root, fmt.Sprintf("hub-%x", sum.Sum(nil)[:8]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := os.Create(filepath.Join(root, "lock"))
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	done := filepath.Join(dir, "complete")
	if _, err := os.Stat(done); err == nil {
		return dir, nil
	}
	requirements, err := filepath.Abs(filepath.Join("testdata", "hub", "requirements.txt"))
	if err != nil {
		return "", err
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join("testdata", "hub", name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return "", err
		}
	}
	for _, args := range [][]string{
		{"python3", "-m", "venv", "--clear", filepath.Join(dir, "venv")},
		{filepath.Join(dir, "venv", "bin", "pip"), "install", "--quiet", "--no-deps", "-r", requirements},
		{"npm", "ci", "--no-audit", "--no-fund"},
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
		}
	}
	return dir, os.WriteFile(done, nil, 0o644)
}

func startHub(ctx context.Context) (_ *hub, err error) {
	env, err := install(ctx)
	if err != nil {
		return nil, fmt.Errorf("install the test hub: %w", err)
	}
	dir, err := os.MkdirTemp("", "hubship-verify-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(dir)
		}
	}()
	h := &hub{dir: dir, log: filepath.Join(dir, "hub.log"), services: map[string]service{}, exited: make(chan struct{})}
	site := filepath.Join(dir, "site")
	if err := installWheels(ctx, filepath.Join(env, "venv", "bin", "pip"), dir, site); err != nil {
		return nil, err
	}
	badKernel := filepath.Join(dir, "bad")
	if err := writeBadKernel(badKernel, filepath.Join(env, "venv", "bin", "python")); err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	for user := range users {
		h.services[user] = service{Name: "tests-" + user, Token: rand.Text(), Scopes: verify.Scopes(user)}
	}
	weak := h.services["weak"]
	weak.Scopes = weak.Scopes[:2]
	h.services["weak"] = weak
	h.services["boss"] = service{Name: "boss", Token: rand.Text(), Scopes: []string{"admin:users", "admin:servers", "access:servers"}}
	var blocked []string
	for user := range users {
		if user != "an-admin" { // JupyterHub would make none of who is blocked
			blocked = append(blocked, user)
		}
	}
	var all []service
	for _, s := range h.services {
		all = append(all, s)
	}
	settings, err := json.Marshal(map[string]any{
		"port": ports[0], "hubPort": ports[1], "proxyPort": ports[2], "dir": dir, "site": site,
		"proxy":    filepath.Join(env, "node_modules", ".bin", "configurable-http-proxy"),
		"services": all, "misbehave": users, "admin": "an-admin", "blocked": blocked, "badKernel": badKernel, "slowSpawn": 0,
	})
	if err != nil {
		return nil, err
	}
	config, err := filepath.Abs(filepath.Join("testdata", "hub", "jupyterhub_config.py"))
	if err != nil {
		return nil, err
	}
	logFile, err := os.Create(h.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = logFile.Close() }()
	h.process = exec.Command(filepath.Join(env, "venv", "bin", "jupyterhub"), "-f", config)
	h.process.Dir = dir
	h.process.Env = append(os.Environ(), "HUBSHIP_TEST_HUB="+string(settings),
		"CONFIGPROXY_AUTH_TOKEN="+rand.Text(), "PATH="+filepath.Join(env, "venv", "bin")+":"+os.Getenv("PATH"))
	h.process.Stdout, h.process.Stderr = logFile, logFile
	h.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := h.process.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = h.process.Wait()
		close(h.exited)
	}()
	h.base = &url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", ports[0]), Path: "/"}
	h.admin = jupyter.New(h.base, http.DefaultTransport, h.services["boss"].Token)
	if err := h.wait(ctx); err != nil {
		h.stop()
		data, _ := os.ReadFile(h.log)
		return nil, fmt.Errorf("start the test hub: %w\n%s", err, data)
	}
	return h, nil
}

// wait returns once the hub answers through its proxy and has loaded roles.
func (h *hub) wait(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		_, err := h.admin.Identity(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-h.exited:
			return errors.New("it exited")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// stop ends the hub, which ends its proxy and servers, and removes its files.
func (h *hub) stop() {
	if h.process != nil && h.process.Process != nil {
		_ = h.process.Process.Signal(syscall.SIGTERM)
		select {
		case <-h.exited:
		case <-time.After(30 * time.Second):
			_ = syscall.Kill(-h.process.Process.Pid, syscall.SIGKILL)
			<-h.exited
		}
	}
	_ = os.RemoveAll(h.dir)
}

// freePorts returns ports of loopback that nothing listens on.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// writeBadKernel writes a kernel named python3 whose process ends at once.
func writeBadKernel(dir, python string) error {
	dir = filepath.Join(dir, "kernels", "python3")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	spec, err := json.Marshal(map[string]any{
		"argv":         []string{python, "-c", "raise SystemExit(1)", "{connection_file}"},
		"display_name": "Bad", "language": "python",
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "kernel.json"), spec, 0o644)
}

// wheels are distributions that the tests import, by file.
var wheels = map[string]map[string]string{
	"hubship-fine 1.2.3":    {"hubship_fine/__init__.py": "x = 1\n", "hubship_fine/sub.py": "raise ValueError('submodules are not imported')\n"},
	"hubship-raises 0.1":    {"hubship_raises.py": "print('looking for the library')\nraise OSError('libhubship.so.3: cannot open shared object file')\n"},
	"hubship-exits 0.1":     {"hubship_exits.py": "import sys\nsys.exit(7)\n"},
	"hubship-kills 0.1":     {"hubship_kills.py": "import os, sys\nprint('last words', flush=True)\nsys.stdout.flush()\nimport time; time.sleep(0.3)\nos._exit(9)\n"},
	"hubship-sleeps 0.1":    {"hubship_sleeps.py": "import time\ndef forever():\n    time.sleep(600)\nforever()\n"},
	"hubship-stuck 0.1":     {"hubship_stuck.py": "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(600)\n"},
	"hubship-data 2.0":      {"hubship_data-2.0.data/data/share/hubship/table.csv": "a,b\n"},
	"Hubship.Names 3.1":     {"othername/__init__.py": "", "second.py": "", "_private.py": "raise ValueError\n", "tests/__init__.py": "raise ValueError\n"},
	"hubship-space 0.2":     {"hubspace/inner/__init__.py": "import hubspace.inner.deep\n", "hubspace/inner/deep.py": ""},
	"hubship-space-bad 0.2": {"hubspace/bad/__init__.py": "1/0\n"},
	"hubship-floods 0.1":    {"hubship_floods.py": "for i in range(2000):\n    print('line', i, flush=True)\nraise RuntimeError('after the flood')\n"},
	"hubship-chatty 0.1":    {"hubship_chatty.py": "for i in range(2000):\n    print('line', i)\n"},
	"hubship-colour 0.1":    {"hubship_colour.py": "raise ValueError('\\x1b[31mred\\x1b[0m')\n"},
}

// installWheels builds the wheels and installs them with pip into site.
func installWheels(ctx context.Context, pip, dir, site string) error {
	args := []string{"install", "--quiet", "--no-deps", "--no-index", "--target", site}
	for dist, files := range wheels {
		name, version, _ := strings.Cut(dist, " ")
		path := filepath.Join(dir, strings.NewReplacer("-", "_", ".", "_").Replace(strings.ToLower(name))+"-"+version+"-py3-none-any.whl")
		data, err := wheel(name, version, files)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return err
		}
		args = append(args, path)
	}
	if out, err := exec.CommandContext(ctx, pip, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("install the test packages: %w\n%s", err, out)
	}
	return nil
}

// wheel builds a wheel.
func wheel(name, version string, files map[string]string) ([]byte, error) {
	info := strings.NewReplacer("-", "_", ".", "_").Replace(strings.ToLower(name)) + "-" + version + ".dist-info/"
	all := map[string]string{
		info + "METADATA": "Metadata-Version: 2.1\nName: " + name + "\nVersion: " + version + "\n",
		info + "WHEEL":    "Wheel-Version: 1.0\nGenerator: hubship\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
	}
	for path, text := range files {
		all[path] = text
	}
	var paths []string
	for path := range all {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	var record strings.Builder
	for _, path := range paths {
		sum := sha256.Sum256([]byte(all[path]))
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", path, base64.RawURLEncoding.EncodeToString(sum[:]), len(all[path]))
	}
	fmt.Fprintf(&record, "%sRECORD,,\n", info)
	all[info+"RECORD"] = record.String()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, path := range append(paths, info+"RECORD") {
		w, err := z.Create(path)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write([]byte(all[path])); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// discreet is a transport that fails a request with a token in its URL.
type discreet struct {
	http.RoundTripper
	tokens []string
}

func (d discreet) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, token := range d.tokens {
		if strings.Contains(r.URL.String(), token) {
			return nil, errors.New("a token is part of the URL")
		}
	}
	return d.RoundTripper.RoundTrip(r)
}

// target is the release that the test hub stands for.
func (h *hub) target() model.Target {
	return model.Target{Hub: "test", Environment: "staging", Cluster: "local", Namespace: "test", Release: "test", Host: h.base.Host}
}
