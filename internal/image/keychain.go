package image

import (
	"fmt"
	"os"

	"github.com/docker/cli/cli/config"
	"github.com/google/go-containerregistry/pkg/authn"
)

// FileKeychain has the credentials of a docker configuration file, which is
// read each time they are needed: a file that was replaced holds at once. What
// it does not name, docker's own configuration is asked for. An empty name is
// docker's own alone.
func FileKeychain(file string) authn.Keychain {
	if file == "" {
		return authn.DefaultKeychain
	}
	return authn.NewMultiKeychain(fileKeychain(file), authn.DefaultKeychain)
}

type fileKeychain string

// Resolve implements authn.Keychain. A file that cannot be read is an error: to
// go on without credentials would only say later, and less clearly, what is
// wrong. No error shows anything of what is in it.
func (f fileKeychain) Resolve(of authn.Resource) (authn.Authenticator, error) {
	in, err := os.Open(string(f))
	if err != nil {
		return nil, fmt.Errorf("read the registry's credentials: %w", err)
	}
	defer in.Close()
	file, err := config.LoadFromReader(in)
	if err != nil {
		return nil, fmt.Errorf("read the registry's credentials: %s is not a docker configuration file", string(f))
	}
	for _, key := range []string{of.String(), of.RegistryStr()} {
		// Docker has Docker Hub under an address of its own.
		if key == dockerHub {
			key = authn.DefaultAuthKey
		}
		c, err := file.GetAuthConfig(key)
		if err != nil {
			return nil, fmt.Errorf("read the registry's credentials for %s from %s: its helper failed", of.RegistryStr(), string(f))
		}
		if c.Username == "" && c.Password == "" && c.Auth == "" && c.IdentityToken == "" && c.RegistryToken == "" {
			continue
		}
		return authn.FromConfig(authn.AuthConfig{
			Username: c.Username, Password: c.Password, Auth: c.Auth,
			IdentityToken: c.IdentityToken, RegistryToken: c.RegistryToken,
		}), nil
	}
	return authn.Anonymous, nil
}
