package cli

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
)

// upBackend are the files that an existing cluster's registry and BuildKit are
// used with, as given.
type upBackend struct{ registryCredentials, buildkitCA, buildkitCert, buildkitKey string }

// backendFlags are the options that name them.
var backendFlags = []string{"registry-credentials", "buildkit-ca", "buildkit-cert", "buildkit-key"}

func (b *upBackend) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&b.registryCredentials, "registry-credentials", "", "Docker configuration file with the registry's credentials (default: that of hubship's user)")
	f.StringVar(&b.buildkitCA, "buildkit-ca", "", "file with the CA of BuildKit's certificate, PEM; for tcp://")
	f.StringVar(&b.buildkitCert, "buildkit-cert", "", "file with hubship's certificate for BuildKit, PEM; for tcp://")
	f.StringVar(&b.buildkitKey, "buildkit-key", "", "file with that certificate's private key, PEM; for tcp://")
}

func (b upBackend) apply(changed func(string) bool, to *install.Cluster) error {
	for _, g := range []struct {
		flag, given string
		field       *string
	}{
		{"registry-credentials", b.registryCredentials, &to.RegistryCredentials},
		{"buildkit-ca", b.buildkitCA, &to.BuildKitCA},
		{"buildkit-cert", b.buildkitCert, &to.BuildKitCert},
		{"buildkit-key", b.buildkitKey, &to.BuildKitKey},
	} {
		if !changed(g.flag) {
			continue
		}
		if *g.field = ""; g.given == "" {
			continue // taken away
		}
		abs, err := filepath.Abs(g.given)
		if err != nil {
			return model.Usage(fmt.Errorf("--%s %q: %w", g.flag, g.given, err), "name a file")
		}
		*g.field = abs
	}
	return nil
}
