package programs

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/hubship/hubship/node/internal/registryauth"
	"github.com/hubship/hubship/node/internal/settings"
	"github.com/hubship/hubship/node/internal/supervise"
)

type nowhere struct{}

func (nowhere) DialLoopback(int) (net.Conn, error) { return nil, errors.New("nobody there") }

// set prepares the programs of one of two nodes that share no setting.
func set(t *testing.T, second bool) *Set {
	t.Helper()
	s := settings.Default()
	s.Name, s.RunDir = "one", "/run/hubship/one"
	if second {
		s.Name, s.RunDir, s.Bridge, s.PortBase = "two", "/run/hubship/two", "hubship1", 18500
		s.NodeIP, s.PodCIDR, s.ServiceCIDR = "10.221.0.1", "10.221.0.0/24", "10.222.0.0/24"
	}
	s.DataDir = filepath.Join(t.TempDir(), s.Name)
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	p := New(s, "/opt/node.d", 1400, nowhere{})
	if err := p.Prepare(); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *Set) all() []supervise.Spec {
	return []supervise.Spec{
		p.Etcd(), p.APIServer(), p.ControllerManager(), p.Scheduler(), p.Kubelet(), p.KubeProxy(),
		p.Containerd(), p.Registry(), p.BuildKit(),
	}
}

// everything returns all text that configures the programs of a node.
func everything(t *testing.T, p *Set) string {
	t.Helper()
	var b strings.Builder
	for _, spec := range p.all() {
		b.WriteString(spec.Path + " " + strings.Join(spec.Args, "\n") + "\n" + spec.Log + "\n")
	}
	err := filepath.WalkDir(p.s.Data("config"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		b.WriteString(path + "\n" + string(data) + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTwoNodesShareNothing(t *testing.T) {
	one, two := everything(t, set(t, false)), everything(t, set(t, true))
	for text, foreign := range map[string][]string{
		one: {"/two", "hubship-two", "10.221.", "10.222.", "185[0-9][0-9]"},
		two: {"/one", "hubship-one", "10.201.", "10.202.", "174[0-9][0-9]"},
	} {
		for _, pattern := range foreign {
			if found := regexp.MustCompile(`.*` + pattern + `.*`).FindString(text); found != "" {
				t.Errorf("one node's configuration names the other's %s: %s", pattern, found)
			}
		}
	}
}

func TestConfigurationIsYAML(t *testing.T) {
	p := set(t, false)
	for _, name := range []string{"kubelet.yaml", "kube-proxy.yaml", "registry.yaml"} {
		data, err := os.ReadFile(p.s.Data("config", name))
		if err != nil {
			t.Fatal(err)
		}
		var v map[string]any
		if err := yaml.UnmarshalStrict(data, &v); err != nil || len(v) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Other users of the machine see every process's arguments.
func TestNoKeyInArguments(t *testing.T) {
	p := set(t, false)
	keys, err := filepath.Glob(p.s.Data("pki", "*.key"))
	if err != nil || len(keys) == 0 {
		t.Fatalf("no keys: %v", err)
	}
	text := ""
	for _, spec := range p.all() {
		text += strings.Join(append(spec.Args, spec.Env...), " ")
	}
	for _, key := range keys {
		data, err := os.ReadFile(key)
		if err != nil {
			t.Fatal(err)
		}
		if line := strings.Split(string(data), "\n")[1]; strings.Contains(text, line) {
			t.Errorf("%s is in the arguments", key)
		}
		if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600 (%v)", key, info.Mode().Perm(), err)
		}
	}
	for _, file := range []string{p.registryFiles().Push, p.registryFiles().Pull} {
		account, password, err := registryauth.Read(file, p.s.Registry())
		if err != nil || strings.Contains(text, password) {
			t.Errorf("the password of %s is in the arguments (%v)", account, err)
		}
	}
}

// The registry is told who its accounts are, and of them the container runtime
// has the one that reads, in files of root's alone.
func TestRegistryAccounts(t *testing.T) {
	p := set(t, false)
	var config struct {
		Auth map[string]map[string]string
	}
	data, err := os.ReadFile(p.s.Data("config", "registry.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &config); err != nil || config.Auth[registryauth.Name]["path"] != p.registryFiles().Hashes {
		t.Errorf("%v\n%s", err, data)
	}
	_, pull, err := registryauth.Read(p.registryFiles().Pull, p.s.Registry())
	if err != nil {
		t.Fatal(err)
	}
	_, push, err := registryauth.Read(p.registryFiles().Push, p.s.Registry())
	if err != nil {
		t.Fatal(err)
	}
	basic := func(account, password string) string {
		return base64.StdEncoding.EncodeToString([]byte(account + ":" + password))
	}
	text := everything(t, p)
	if n := strings.Count(text, basic(registryauth.Puller, pull)); n != 2 {
		t.Errorf("the account that reads is in %d files, want the registry's own and its mirror's", n)
	}
	if strings.Contains(text, push) || strings.Contains(text, basic(registryauth.Pusher, push)) {
		t.Error("the account that pushes is in a configuration")
	}
	err = filepath.WalkDir(p.s.Data("config"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestProxyOfTheMachineIsNotUsedForTheNode(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://proxy.example:3128")
	t.Setenv("NO_PROXY", "intranet.example")
	p := set(t, false)
	env := strings.Join(p.Env(), "\n")
	for _, want := range []string{"HTTPS_PROXY=http://proxy.example:3128", "NO_PROXY=intranet.example,127.0.0.1", "10.201.0.0/24", "10.202.0.0/24"} {
		if !strings.Contains(env, want) {
			t.Errorf("%s is missing in:\n%s", want, env)
		}
	}
	t.Setenv("NO_PROXY", "")
	if env := strings.Join(p.Env(), "\n"); !strings.Contains(env, "NO_PROXY=127.0.0.1") {
		t.Errorf("without NO_PROXY the proxy would get the node's own traffic:\n%s", env)
	}
}
