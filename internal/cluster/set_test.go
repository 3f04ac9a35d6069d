package cluster

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// kubeconfig has a current-context that points elsewhere than anybody asks
// for, as at incident I1.
const kubeconfig = `
apiVersion: v1
kind: Config
current-context: prod
clusters:
- {name: dev, cluster: {server: DEV}}
- {name: prod, cluster: {server: PROD}}
users:
- {name: u, user: {token: t}}
contexts:
- {name: dev, context: {cluster: dev, user: u}}
- {name: prod, context: {cluster: prod, user: u}}
`

func writeConfig(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func versionServer(t *testing.T, version string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"gitVersion": "` + version + `"}`))
	}))
	t.Cleanup(s.Close)
	return s
}

func TestCurrentContextIsIgnored(t *testing.T) {
	dev, prod := versionServer(t, "v1.0.0-dev"), versionServer(t, "v1.0.0-prod")
	path := writeConfig(t, strings.NewReplacer("DEV", dev.URL, "PROD", prod.URL).Replace(kubeconfig))
	t.Setenv("KUBECONFIG", path)
	set := New(Options{Embedded: Embedded{Kubeconfig: path, Context: "dev"}})
	for _, c := range []model.Cluster{{Name: "named", Kubeconfig: path, Context: "dev"}, {Name: "local", Embedded: true}} {
		conn, err := set.Conn(c)
		if err != nil {
			t.Fatal(err)
		}
		v, err := conn.Discovery.ServerVersion()
		if err != nil {
			t.Fatal(err)
		}
		if v.GitVersion != "v1.0.0-dev" {
			t.Errorf("cluster %s is %s: the current context was used", c.Name, v.GitVersion)
		}
	}
}

func TestConnErrors(t *testing.T) {
	path := writeConfig(t, kubeconfig)
	tests := []struct {
		name    string
		cluster model.Cluster
		opts    Options
		want    string
		code    int
	}{
		{"no context", model.Cluster{Name: "c", Kubeconfig: path}, Options{}, "needs a kubeconfig and a context", model.ExitUsage},
		{"no kubeconfig", model.Cluster{Name: "c", Context: "dev"}, Options{}, "needs a kubeconfig and a context", model.ExitUsage},
		{"unknown context", model.Cluster{Name: "c", Kubeconfig: path, Context: "dve"}, Options{}, `no context "dve"`, model.ExitFailed},
		{"no file", model.Cluster{Name: "c", Kubeconfig: path + "x", Context: "dev"}, Options{}, "find kubeconfig", model.ExitFailed},
		{"no embedded node", model.Cluster{Name: "c", Embedded: true}, Options{}, "this installation has none", model.ExitFailed},
		{"not a kubeconfig", model.Cluster{Name: "c", Kubeconfig: writeConfig(t, "{"), Context: "dev"}, Options{}, "read kubeconfig", model.ExitFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.opts).Conn(tt.cluster)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want one about %q", err, tt.want)
			}
			if model.ExitCodeOf(err) != tt.code || model.HintOf(err) == "" {
				t.Errorf("exit code %d, hint %q", model.ExitCodeOf(err), model.HintOf(err))
			}
		})
	}
	_, err := New(Options{}).Conn(model.Cluster{Name: "c", Kubeconfig: path, Context: "dve"})
	if hint := model.HintOf(err); !strings.Contains(hint, `"dev", "prod"`) {
		t.Errorf("the hint does not list the contexts: %q", hint)
	}
}

func TestConnIsSharedUntilTheFileChanges(t *testing.T) {
	s := versionServer(t, "v1")
	path := writeConfig(t, strings.ReplaceAll(kubeconfig, "DEV", s.URL))
	c := model.Cluster{Name: "c", Kubeconfig: path, Context: "dev"}
	set := New(Options{})
	first, err := set.Conn(c)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := set.Conn(c); again != first {
		t.Error("the connection was made twice")
	}
	other := versionServer(t, "v2")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(kubeconfig, "DEV", other.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, time.Now(), time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	second, err := set.Conn(c)
	if err != nil {
		t.Fatal(err)
	}
	if v, err := second.Discovery.ServerVersion(); err != nil || v.GitVersion != "v2" {
		t.Errorf("the changed file was not read: %v, %v", v, err)
	}
}
