package programs

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker/config"

	"github.com/hubship/hubship/node/internal/registryauth"
)

// The container runtime itself reads the files: it shows the account that reads
// to the node's registry and its mirror, and to nobody else.
func TestRuntimeShowsItsAccount(t *testing.T) {
	p := set(t, false)
	_, password, err := registryauth.Read(p.registryFiles().Pull, p.s.Registry())
	if err != nil {
		t.Fatal(err)
	}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(registryauth.Puller+":"+password))
	hosts := config.ConfigureHosts(t.Context(), config.HostOptions{HostDir: config.HostDirFromRoot(p.s.Data("config", "registries"))})
	for _, registry := range []string{p.s.Registry(), "docker.io"} {
		found, err := hosts(registry)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %d hosts, %v", registry, len(found), err)
		}
		for n, h := range found {
			ours := strings.HasPrefix(h.Host, "127.0.0.1:")
			if n == 0 && !ours {
				t.Errorf("%s is first asked of %s", registry, h.Host)
			}
			if got := h.Header.Get("Authorization"); (got == want) != ours || got != "" && !ours {
				t.Errorf("%s: %s is shown %q", registry, h.Host, got)
			}
			if ours && h.Scheme != "http" {
				t.Errorf("%s: %s by %s", registry, h.Host, h.Scheme)
			}
		}
	}
}
