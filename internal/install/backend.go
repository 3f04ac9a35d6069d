package install

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// files are those that an existing cluster's registry and BuildKit are used
// with, and the options that name them.
func (c *Cluster) files() []secretFile {
	return []secretFile{
		{"registry-credentials", c.RegistryCredentials},
		{"buildkit-ca", c.BuildKitCA}, {"buildkit-cert", c.BuildKitCert}, {"buildkit-key", c.BuildKitKey},
	}
}

// guarded says what keeps the registry and BuildKit from being used safely. Who
// may use BuildKit runs what they like on its machine, and who stands in its
// place gets the registry's credentials: over a network it takes mutual TLS.
func (c *Cluster) guarded() []error {
	var errs []error
	for _, f := range c.files() {
		if f.path != "" && !filepath.IsAbs(f.path) {
			errs = append(errs, fmt.Errorf("--%s %q: expected an absolute path", f.flag, f.path))
		}
	}
	overNetwork := strings.HasPrefix(c.BuildKit, "tcp://")
	for _, f := range c.files()[1:] {
		switch {
		case overNetwork && f.path == "":
			errs = append(errs, fmt.Errorf("--%s is missing: BuildKit at %s needs mutual TLS (buildkitd --tlscacert, --tlscert, --tlskey); otherwise use unix://", f.flag, c.BuildKit))
		case !overNetwork && f.path != "":
			errs = append(errs, fmt.Errorf("--%s is only for BuildKit over tcp://, but BuildKit is at %q", f.flag, c.BuildKit))
		}
	}
	return errs
}

// CheckFiles looks at the files: whether they are there, and those with secrets
// closed to others.
func (c *Cluster) CheckFiles() error {
	var errs []error
	for _, f := range c.files() {
		var err error
		switch {
		case f.path == "":
			continue
		case f.path == c.RegistryCredentials || f.path == c.BuildKitKey:
			_, err = ReadSecret(f.path)
		default:
			_, err = os.Stat(f.path)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s: %w", f.flag, err))
		}
	}
	return errors.Join(errs...)
}
