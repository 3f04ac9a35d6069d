package register

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/model"
)

const kubeconfig = `apiVersion: v1
kind: Config
current-context: other
clusters:
- {name: k, cluster: {server: "https://k.example.org:6443", certificate-authority: ca.crt}}
- {name: k2, cluster: {server: "https://K.example.org:6443/"}}
- {name: l, cluster: {server: "https://l.example.org"}}
users:
- {name: u, user: {tokenFile: token}}
- {name: x, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: /bin/evil, interactiveMode: Never}}}
contexts:
- {name: campus, context: {cluster: k, user: u}}
- {name: again, context: {cluster: k2, user: u}}
- {name: program, context: {cluster: l, user: x}}
- {name: other, context: {cluster: l, user: u}}
`

func TestAdd(t *testing.T) {
	from := t.TempDir()
	for name, text := range map[string]string{"config": kubeconfig, "ca.crt": "a certificate", "token": "a-token\n"} {
		if err := os.WriteFile(filepath.Join(from, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := At(filepath.Join(t.TempDir(), "clusters"))
	file := filepath.Join(from, "config")
	if _, err := r.Cluster(t.Context(), "campus"); !errors.Is(err, model.ErrUnknownCluster) {
		t.Errorf("an empty register: %v", err)
	}
	for name, q := range map[string]New{
		"a path":        {Name: "../campus", Kubeconfig: file, Context: "campus"},
		"no context":    {Name: "campus", Kubeconfig: file, Context: "none"},
		"a program":     {Name: "campus", Kubeconfig: file, Context: "program"},
		"no kubeconfig": {Name: "campus", Kubeconfig: filepath.Join(from, "none"), Context: "campus"},
	} {
		if e, err := r.Add(q); err == nil {
			t.Errorf("%s: %+v", name, e)
		}
	}
	e, err := r.Add(New{Name: "campus", Kubeconfig: file, Context: "campus"})
	if err != nil || e.Server != "https://k.example.org:6443" || e.Exec {
		t.Fatalf("%+v, %v", e, err)
	}
	// What the file says later has no say.
	if err := os.RemoveAll(from); err != nil {
		t.Fatal(err)
	}
	c, err := r.Cluster(t.Context(), "campus")
	if err != nil || c.Context != "campus" || c.Embedded {
		t.Fatalf("%+v, %v", c, err)
	}
	data, err := os.ReadFile(c.Kubeconfig)
	info, _ := os.Stat(c.Kubeconfig)
	if err != nil || info.Mode().Perm() != 0o600 || !strings.Contains(string(data), "token: a-token") || strings.Contains(string(data), "evil") || strings.Contains(string(data), from) {
		t.Errorf("%v %v:\n%s", err, info.Mode(), data)
	}
	// One cluster has one name.
	if err := os.MkdirAll(from, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(from, "token"), []byte("t"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Add(New{Name: "second", Kubeconfig: file, Context: "again"}); err == nil || !strings.Contains(err.Error(), "as campus") {
		t.Errorf("a second name: %v", err)
	}
	if _, err := r.Add(New{Name: "campus", Kubeconfig: file, Context: "again"}); err == nil {
		t.Error("it was replaced unasked")
	}
	if e, err := r.Add(New{Name: "prog", Kubeconfig: file, Context: "program", Exec: true}); err != nil || !e.Exec {
		t.Errorf("%+v, %v", e, err)
	}
	if err := r.AddEmbedded(Local); err != nil {
		t.Fatal(err)
	}
	if c, err := r.Cluster(t.Context(), Local); err != nil || !c.Embedded {
		t.Errorf("%+v, %v", c, err)
	}
	if all, err := r.List(); err != nil || len(all) != 3 {
		t.Errorf("%+v, %v", all, err)
	}
	if err := r.Remove(t.Context(), "campus"); err != nil {
		t.Error(err)
	}
	if err := r.Remove(t.Context(), "campus"); !errors.Is(err, model.ErrUnknownCluster) {
		t.Errorf("removed twice: %v", err)
	}
}
