package test

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/session/auth"
	"google.golang.org/grpc"

	"github.com/hubship/hubship/node/internal/registryauth"
)

// keyring gives BuildKit the registry's credentials, for its own requests.
type keyring struct {
	auth.UnimplementedAuthServer
	i *instance
}

// Register implements session.Attachable.
func (k *keyring) Register(s *grpc.Server) { auth.RegisterAuthServer(s, k) }

// Credentials implements auth.AuthServer.
func (k *keyring) Credentials(_ context.Context, req *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	if k.i == nil || req.Host != k.i.settings.Registry() {
		return &auth.CredentialsResponse{}, nil
	}
	account, password, err := registryauth.Read(k.i.settings.RegistryCredentials(), req.Host)
	if err != nil {
		return nil, err
	}
	return &auth.CredentialsResponse{Username: account, Secret: password}, nil
}

// registry asks the registry with the account of a file, or without one.
func (i *instance) registry(method, path, credentials string) *http.Response {
	i.t.Helper()
	req, err := http.NewRequestWithContext(i.t.Context(), method, "http://"+i.settings.Registry()+path, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	req.Header.Set("Accept", "application/vnd.oci.image.manifest.v1+json")
	if credentials != "" {
		account, password, err := registryauth.Read(credentials, i.settings.Registry())
		if err != nil {
			i.t.Fatal(err)
		}
		req.SetBasicAuth(account, password)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		i.t.Fatal(err)
	}
	return resp
}

// checkRegistry asks the running registry, as each of its accounts and as
// another user of the machine would.
func checkRegistry(t *testing.T, i *instance) {
	defer i.as(t)()
	push, pull := i.settings.RegistryCredentials(), i.settings.Data("pki", "registry-pull.json")
	for _, c := range []struct {
		what, method, path, credentials string
		want                            int
	}{
		{"nobody says hello", "GET", "/v2/", "", 401},
		{"nobody reads the base image", "GET", "/v2/library/debian/manifests/bookworm-slim", "", 200},
		{"nobody reads another image", "GET", "/v2/hubship/coredns/manifests/1.15.0", "", 401},
		{"nobody learns what there is not", "GET", "/v2/hubship/none/manifests/1", "", 401},
		{"nobody lists", "GET", "/v2/_catalog", "", 401},
		{"nobody pushes", "POST", "/v2/library/debian/blobs/uploads/", "", 401},
		{"nobody deletes", "DELETE", "/v2/library/debian/manifests/sha256:" + strings.Repeat("0", 64), "", 401},
		{"nobody mounts another image's layers", "POST", "/v2/library/debian/blobs/uploads/?from=hubship/coredns&mount=sha256:" + strings.Repeat("0", 64), "", 401},
		{"the kubelet reads", "GET", "/v2/hubship/coredns/manifests/1.15.0", pull, 200},
		{"the kubelet pushes", "POST", "/v2/hubship/coredns/blobs/uploads/", pull, 401},
		{"the kubelet lists", "GET", "/v2/_catalog", pull, 401},
		{"hubship lists", "GET", "/v2/_catalog", push, 200},
		{"hubship pushes", "POST", "/v2/test/x/blobs/uploads/", push, 202},
	} {
		resp := i.registry(c.method, c.path, c.credentials)
		_ = resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s: %s, want %d", c.what, resp.Status, c.want)
		}
	}
	// What has a secret in it is root's alone, and so is the way there.
	for _, file := range []string{push, pull, i.settings.Data("pki", "registry.htpasswd"), i.settings.Kubeconfig(), i.settings.Data("config", "registries", i.settings.Registry(), "hosts.toml")} {
		info, err := os.Stat(file)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	for _, dir := range []string{i.settings.DataDir, i.settings.RunDir, i.settings.Data("pki")} {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s is open to others: %v, %v", dir, info, err)
		}
	}
	// The status says where the credentials are, and nothing of them; neither
	// does a log or the arguments of a program.
	status, err := i.status()
	if err != nil || status.RegistryCredentials != push {
		t.Errorf("status: %q, %v", status.RegistryCredentials, err)
	}
	text, err := json.Marshal(status)
	if err != nil {
		t.Fatal(err)
	}
	shown := string(text)
	logs, err := filepath.Glob(i.settings.Data("logs", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(append(logs, processes...), i.log) {
		data, _ := os.ReadFile(file) // A process may have ended since.
		shown += string(data)
	}
	for _, file := range []string{push, pull} {
		account, password, err := registryauth.Read(file, i.settings.Registry())
		if err != nil || strings.Contains(shown, password) {
			t.Errorf("the password of %s is shown (%v)", account, err)
		}
	}
}
