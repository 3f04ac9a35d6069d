package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/hubship/hubship/node/internal/registryauth"
)

// The tests run this very program, as the node does.
func TestMain(m *testing.M) {
	if os.Getenv("HUBSHIP_TEST_REGISTRY_PROGRAM") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// start runs a registry and returns its address and its accounts.
func start(t *testing.T) (host string, accounts map[string]authn.Authenticator) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host = l.Addr().String()
	_ = l.Close()
	dir := t.TempDir()
	files := registryauth.Files{Hashes: filepath.Join(dir, "h"), Push: filepath.Join(dir, "push"), Pull: filepath.Join(dir, "pull")}
	if err := files.Ensure(host); err != nil {
		t.Fatal(err)
	}
	accounts = map[string]authn.Authenticator{registryauth.Nobody: authn.Anonymous}
	for _, file := range []string{files.Push, files.Pull} {
		account, password, err := registryauth.Read(file, host)
		if err != nil {
			t.Fatal(err)
		}
		accounts[account] = &authn.Basic{Username: account, Password: password}
	}
	config := filepath.Join(dir, "registry.yaml")
	text := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage:\n  filesystem: {rootdirectory: %s}\n  delete: {enabled: true}\nhttp: {addr: %q}\nauth: {%s: {path: %q}}\n",
		filepath.Join(dir, "data"), host, registryauth.Name, files.Hashes)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "serve", config)
	cmd.Env = append(os.Environ(), "HUBSHIP_TEST_REGISTRY_PROGRAM=1", "OTEL_TRACES_EXPORTER=none")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	t.Cleanup(func() {
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("%s", text)
		}
	})
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		// What the node takes for its health.
		if resp, err := http.Get("http://" + host + "/"); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return host, accounts
			}
		}
	}
	t.Fatal("the registry does not come up")
	return "", nil
}

// A client of everybody's choice, on the real registry: each account pushes,
// pulls, lists and deletes.
func TestAccounts(t *testing.T) {
	host, accounts := start(t)
	image, err := random.Image(1024, 2)
	if err != nil {
		t.Fatal(err)
	}
	repositories := []string{registryauth.Public, "datahub/user", "library/user"}
	may := map[string]struct{ read, readPublic, write bool }{
		registryauth.Pusher: {true, true, true},
		registryauth.Puller: {true, true, false},
		registryauth.Nobody: {false, true, false},
	}
	for _, account := range []string{registryauth.Pusher, registryauth.Puller, registryauth.Nobody} {
		with := []remote.Option{remote.WithAuth(accounts[account]), remote.WithContext(t.Context())}
		for _, repository := range repositories {
			ref, err := name.NewTag(host+"/"+repository+":1", name.Insecure)
			if err != nil {
				t.Fatal(err)
			}
			// What is there already is not written again.
			change := image
			if account != registryauth.Pusher {
				if change, err = random.Image(512, 1); err != nil {
					t.Fatal(err)
				}
			}
			if err := remote.Write(ref, change, with...); (err == nil) != may[account].write {
				t.Errorf("%q pushes %s: %v", account, repository, err)
			}
			want := may[account].read || may[account].readPublic && repository == registryauth.Public
			if err := pull(ref, with); (err == nil) != want {
				t.Errorf("%q pulls %s: %v", account, repository, err)
			}
		}
		registry, err := name.NewRegistry(host, name.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := remote.Catalog(t.Context(), registry, with...); (err == nil) != may[account].write {
			t.Errorf("%q lists: %v", account, err)
		}
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, account := range []string{registryauth.Nobody, registryauth.Puller, registryauth.Pusher} {
		ref, err := name.NewDigest(host+"/datahub/user@"+digest.String(), name.Insecure)
		if err != nil {
			t.Fatal(err)
		}
		if err := remote.Delete(ref, remote.WithAuth(accounts[account])); (err == nil) != may[account].write {
			t.Errorf("%q deletes: %v", account, err)
		}
	}
}

// pull reads an image to its last byte.
func pull(ref name.Reference, with []remote.Option) error {
	img, err := remote.Image(ref, with...)
	if err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		if err := readAll(l); err != nil {
			return err
		}
	}
	return nil
}

func readAll(l v1.Layer) error {
	r, err := l.Compressed()
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, r)
	return errors.Join(err, r.Close())
}
