package image

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
)

func TestFileKeychain(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	file := filepath.Join(t.TempDir(), "config.json")
	write := func(password string) {
		auth := base64.StdEncoding.EncodeToString([]byte("hubship:" + password))
		if err := os.WriteFile(file, []byte(`{"auths": {"127.0.0.1:17420": {"auth": "`+auth+`"}}}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(host string) (authn.AuthConfig, error) {
		registry, err := name.NewRegistry(host)
		if err != nil {
			t.Fatal(err)
		}
		a, err := FileKeychain(file).Resolve(registry)
		if err != nil {
			return authn.AuthConfig{}, err
		}
		c, err := a.Authorization()
		return *c, err
	}
	if _, err := ask("127.0.0.1:17420"); err == nil {
		t.Error("a missing file is taken for none")
	}
	for _, password := range []string{"first", "second"} { // it is read anew
		write(password)
		if c, err := ask("127.0.0.1:17420"); err != nil || c.Username != "hubship" || c.Password != password {
			t.Errorf("%+v, %v", c, err)
		}
	}
	if c, err := ask("registry.example.edu"); err != nil || c.Password != "" || c.Username != "" {
		t.Errorf("another registry gets %+v, %v", c, err)
	}
	if err := os.WriteFile(file, []byte(`{"auths": "topsecret`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ask("127.0.0.1:17420"); err == nil || strings.Contains(err.Error(), "topsecret") {
		t.Errorf("a broken file: %v", err)
	}
}
