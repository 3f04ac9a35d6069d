package install

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/model"
)

func TestSaveLoad(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if _, err := Load(data); !errors.Is(err, fs.ErrNotExist) || model.HintOf(err) == "" {
		t.Fatalf("Load of nothing: %v (hint %q)", err, model.HintOf(err))
	}
	want := Default()
	want.Port = 9090
	if err := Save(data, want); err != nil {
		t.Fatal(err)
	}
	got, err := Load(data)
	if err != nil {
		t.Fatal(err)
	}
	if got.Port != 9090 || got.Name != "default" || *got.Node != *want.Node || got.Cluster != nil {
		t.Fatalf("got %+v", got)
	}
	info, err := os.Stat(data)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("data directory: %v %v", info.Mode(), err)
	}
	if err := os.WriteFile(At(data).Settings, []byte(`{"version":1,"prot":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(data); err == nil || !strings.Contains(err.Error(), "prot") {
		t.Fatalf("unknown key accepted: %v", err)
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Settings)
		want   string
	}{
		"good":             {func(*Settings) {}, ""},
		"name":             {func(s *Settings) { s.Name = "A b" }, "name"},
		"port":             {func(s *Settings) { s.Port = 0 }, "port 0"},
		"port within node": {func(s *Settings) { s.Port = 17410 }, "one of the node's ports"},
		"bridge":           {func(s *Settings) { s.Node.Bridge = "a-very-long-name0" }, "bridge"},
		"not a range":      {func(s *Settings) { s.Node.PodCIDR = "10.0.0.1/24" }, "pod-cidr"},
		"overlap":          {func(s *Settings) { s.Node.ServiceCIDR = "10.201.0.0/16" }, "overlap"},
		"ephemeral ports":  {func(s *Settings) { s.Node.PortBase = 40000 }, "port-base"},
		"both":             {func(s *Settings) { s.Cluster = &Cluster{} }, "choose one"},
		"neither":          {func(s *Settings) { s.Node = nil }, "neither"},
		"existing, incomplete": {func(s *Settings) {
			s.Node, s.Cluster = nil, &Cluster{Kubeconfig: "/k", Registry: "r:5000", BuildKit: "tcp://b:1"}
		}, "--context is missing"},
		"existing, relative": {func(s *Settings) {
			s.Node, s.Cluster = nil, &Cluster{Kubeconfig: "k", Context: "c", Registry: "r", BuildKit: "tcp://b:1"}
		}, "absolute path"},
		"public, no scheme":  {func(s *Settings) { s.PublicURL = "hubship.example.edu" }, "public-url"},
		"public, credential": {func(s *Settings) { s.PublicURL = "https://a:b@hubship.example.edu/" }, "public-url"},
		"public":             {func(s *Settings) { s.PublicURL = "https://hubship.example.edu/ops" }, ""},
		"existing": {func(s *Settings) {
			s.Node, s.Cluster = nil, &Cluster{Kubeconfig: "/k", Context: "c", Registry: "r", BuildKit: "tcp://b:1", BuildKitCA: "/ca", BuildKitCert: "/c", BuildKitKey: "/k"}
		}, ""},
		"existing, by socket": {func(s *Settings) {
			s.Node, s.Cluster = nil, &Cluster{Kubeconfig: "/k", Context: "c", Registry: "r", RegistryCredentials: "/r", BuildKit: "unix:///b"}
		}, ""},
		"BuildKit without TLS": {func(s *Settings) {
			s.Node, s.Cluster = nil, &Cluster{Kubeconfig: "/k", Context: "c", Registry: "r", BuildKit: "tcp://b:1"}
		}, "--buildkit-ca is missing"},
		"BuildKit without a client's key": {func(s *Settings) {
			s.Node, s.Cluster = nil, &Cluster{Kubeconfig: "/k", Context: "c", Registry: "r", BuildKit: "tcp://b:1", BuildKitCA: "/ca", BuildKitCert: "/c"}
		}, "--buildkit-key is missing"},
		"TLS for a socket": {func(s *Settings) {
			s.Node, s.Cluster = nil, &Cluster{Kubeconfig: "/k", Context: "c", Registry: "r", BuildKit: "unix:///b", BuildKitCA: "/ca"}
		}, "tcp://"},
		"relative credentials": {func(s *Settings) {
			s.Node, s.Cluster = nil, &Cluster{Kubeconfig: "/k", Context: "c", Registry: "r", RegistryCredentials: "r.json", BuildKit: "unix:///b"}
		}, "absolute path"},
	} {
		t.Run(name, func(t *testing.T) {
			s := Default()
			c.change(&s)
			err := s.Validate()
			switch {
			case c.want == "" && err != nil:
				t.Fatal(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestChanged(t *testing.T) {
	old := Default()
	port := Default()
	port.Port = 9000
	if err := old.Changed(port); err != nil {
		t.Fatalf("the port may change: %v", err)
	}
	bridge := Default()
	bridge.Node.Bridge = "other0"
	err := old.Changed(bridge)
	if err == nil || model.ExitCodeOf(err) != model.ExitUsage || !strings.Contains(err.Error(), "other0") {
		t.Fatalf("got %v", err)
	}
	existing := Settings{Version: 1, Name: "default", Port: 8080, Cluster: &Cluster{Context: "c"}}
	if err := old.Changed(existing); err == nil {
		t.Fatal("the kind of cluster changed without an error")
	}
}

func TestRunURL(t *testing.T) {
	s := Default()
	if got := s.RunURL("r1"); got != "http://localhost:8080/runs/r1" {
		t.Error(got)
	}
	for _, public := range []string{"https://hubship.example.edu/ops", "https://hubship.example.edu/ops/"} {
		s.PublicURL = public
		if got := s.RunURL("r1"); got != "https://hubship.example.edu/ops/runs/r1" {
			t.Error(got)
		}
	}
}

func TestNodeFile(t *testing.T) {
	s := Default()
	n := s.NodeFile("/data")
	if n.NodeIP != "10.201.0.1" || n.DataDir != "/data/node" || n.RunDir != "/run/hubship/default" {
		t.Fatalf("%+v", n)
	}
	if s.Registry() != "127.0.0.1:17420" {
		t.Fatal(s.Registry())
	}
}

// What was stored before BuildKit had to take TLS can be read, so that `hubship
// up` can put it right, and cannot be stored again.
func TestPlainBuildKitOfBefore(t *testing.T) {
	data := t.TempDir()
	s := Default()
	s.Node, s.Cluster = nil, &Cluster{Kubeconfig: "/k", Context: "c", Registry: "r", BuildKit: "tcp://b:1"}
	if err := Save(data, s); err == nil {
		t.Error("BuildKit without TLS is stored")
	}
	if err := writeJSON(At(data).Settings, s); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(data); err != nil {
		t.Error(err)
	}
}

func TestFilesOfTheBackend(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("x"), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := Cluster{RegistryCredentials: file("r", 0o600), BuildKitCA: file("ca", 0o644), BuildKitCert: file("c", 0o644), BuildKitKey: file("k", 0o600)}
	if err := good.CheckFiles(); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(*Cluster){
		"registry-credentials": func(c *Cluster) { c.RegistryCredentials = file("open", 0o644) },
		"buildkit-key":         func(c *Cluster) { c.BuildKitKey = file("open2", 0o604) },
		"buildkit-ca":          func(c *Cluster) { c.BuildKitCA = filepath.Join(dir, "none") },
	} {
		c := good
		change(&c)
		if err := c.CheckFiles(); err == nil || !strings.Contains(err.Error(), "--"+what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
