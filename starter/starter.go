// Package starter holds the deployment repository that `hubship init` and
// `hubship up` lay down: one hub, its chart, its images and its values.
//
// It holds no secret. Whoever lays it down generates the password of the
// try-out and writes it, encrypted, under [PasswordKey] into
// deployments/datahub/secrets/ENV.yaml.
package starter

import (
	"embed"
	"io/fs"
)

// Hub is the name of the one hub in the repository.
const Hub = "datahub"

// PasswordKey is the dotted path, in the encrypted secrets file of each
// environment, of the password with which everybody logs in to the try-out.
// The chart refuses to render without it.
const PasswordKey = "jupyterhub.hub.config.DummyAuthenticator.password"

// all: is needed for names that start with "." or "_".
//
//go:embed all:files
var files embed.FS

// Files returns the repository, with hubship.yaml at its root. The files are
// laid down as they are.
func Files() fs.FS {
	// Sub fails for an invalid path only, and this one is a constant.
	root, _ := fs.Sub(files, "files")
	return root
}
