package helm

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hubship/hubship/internal/outbound"
)

// What a chart names is asked only where the guard lets it: its repository, the
// addresses in that repository's index, where those redirect to, and where a
// registry sends for tokens.
func TestADependencyReachesNothingInside(t *testing.T) {
	t.Setenv("HELM_REPOSITORY_CACHE", t.TempDir())
	var reached atomic.Int32
	inside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached.Add(1)
		_, _ = w.Write([]byte(depChart(t, "1.2.0")))
	}))
	defer inside.Close()
	port := inside.URL[strings.LastIndexByte(inside.URL, ':'):]
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		index := func(at string) {
			_, _ = fmt.Fprintf(w, "apiVersion: v1\nentries: {dep: [{apiVersion: v2, name: dep, version: 1.2.0, urls: [%q]}]}\n", at)
		}
		switch {
		case r.URL.Path == "/absolute/index.yaml":
			index(inside.URL + "/dep-1.2.0.tgz")
		case r.URL.Path == "/named/index.yaml":
			index("http://localhost" + port + "/dep-1.2.0.tgz")
		case r.URL.Path == "/moves/index.yaml":
			index("moved.tgz")
		case r.URL.Path == "/file/index.yaml":
			index("file:///etc/hostname")
		case r.URL.Path == "/moves/moved.tgz" || r.URL.Path == "/gone/index.yaml":
			http.Redirect(w, r, "http://localhost"+port+"/dep-1.2.0.tgz", http.StatusFound)
		case strings.HasPrefix(r.URL.Path, "/v2/"):
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://localhost%s/token",service="x"`, port))
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer front.Close()
	host := strings.TrimPrefix(front.URL, "http://")
	policy, err := outbound.ParsePolicy([]string{host})
	if err != nil {
		t.Fatal(err)
	}
	via := outbound.New(outbound.Options{Policy: policy, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }}).Transport(outbound.TransportOptions{})
	for _, repository := range []string{
		inside.URL, "http://localhost" + port, "oci://localhost" + port + "/charts", "oci://" + strings.TrimPrefix(inside.URL, "http://") + "/charts",
		front.URL + "/absolute", front.URL + "/named", front.URL + "/moves", front.URL + "/gone", front.URL + "/file", "oci://" + host + "/charts", "ftp://" + host, "s3://bucket",
	} {
		r := NewRenderer(RendererOptions{Charts: Charts{CacheDir: t.TempDir(), Transport: via}})
		_, err := renderNeeding(t, r, needing(repository, "1.2.0", ""))
		if err == nil {
			t.Errorf("%s: rendered", repository)
		} else if strings.HasPrefix(repository, "http") && !strings.Contains(err.Error(), "only from the Internet") && !strings.Contains(err.Error(), "not http(s)://") {
			t.Errorf("%s: %v", repository, err)
		}
	}
	if reached.Load() != 0 {
		t.Errorf("what is inside was asked %d times", reached.Load())
	}
}

// A server asks registries as anybody: what somebody on its machine has signed
// in to is not for a change to read. A person's own command may.
func TestADependencyIsFetchedWithoutTheMachinesCredentials(t *testing.T) {
	t.Setenv("HELM_REPOSITORY_CACHE", t.TempDir())
	var signedIn atomic.Int32
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, _, ok := r.BasicAuth(); ok {
			signedIn.Add(1)
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer front.Close()
	host := strings.TrimPrefix(front.URL, "http://")
	home := t.TempDir()
	for name, dir := range map[string]string{"config.json": "DOCKER_CONFIG", "registry/config.json": "HELM_CONFIG_HOME"} {
		at := filepath.Join(home, dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, fmt.Appendf(nil, `{"auths": {%q: {"auth": "dTpw"}}}`, host), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv(dir, filepath.Join(home, dir))
	}
	policy, err := outbound.ParsePolicy([]string{host})
	if err != nil {
		t.Fatal(err)
	}
	guarded := outbound.New(outbound.Options{Policy: policy, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }}).Transport(outbound.TransportOptions{})
	for _, via := range []http.RoundTripper{guarded, nil} {
		signedIn.Store(0)
		r := NewRenderer(RendererOptions{Charts: Charts{CacheDir: t.TempDir(), Transport: via}})
		if _, err := renderNeeding(t, r, needing("oci://"+host+"/charts", "1.2.0", "")); err == nil {
			t.Error("rendered")
		}
		if sent := signedIn.Load() > 0; sent != (via == nil) {
			t.Errorf("guarded %v: credentials were sent: %v", via != nil, sent)
		}
	}
}
