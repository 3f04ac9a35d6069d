package install

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// GitHub says which repository at GitHub carries the process, in place of the
// embedded forge. What is secret stands in files that it names.
type GitHub struct {
	// URL is the base of the API: empty for github.com, https://HOST/api/v3/
	// for GitHub Enterprise.
	URL        string `json:"url,omitempty"`
	Repository string `json:"repository"` // owner/name
	// One of the two says who hubship is there.
	TokenFile string     `json:"tokenFile,omitempty"` // absolute path
	App       *GitHubApp `json:"app,omitempty"`
	// WebhookSecretFile has what deliveries are signed with, an absolute path;
	// empty when there is no webhook, and polls alone find what happens.
	WebhookSecretFile string `json:"webhookSecretFile,omitempty"`
	// OAuth lets people sign in with their account there; nil lets nobody.
	OAuth *GitHubOAuth `json:"oauth,omitempty"`
}

// GitHubOAuth is what people sign in to hubship's pages with: an OAuth App, or
// a GitHub App, which has a client ID and a client secret as well.
type GitHubOAuth struct {
	ClientID         string `json:"clientID"`
	ClientSecretFile string `json:"clientSecretFile"` // absolute path
}

// GitHubApp is a GitHub App that is installed on the repository.
type GitHubApp struct {
	ID      string `json:"id"`      // its App ID or client ID
	KeyFile string `json:"keyFile"` // its private key, PEM; an absolute path
}

func (g *GitHub) problems() []error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, err := forge.ParseRepository(g.Repository); err != nil {
		bad("github %q: expected OWNER/NAME, such as berkeley-dsep-infra/datahub", g.Repository)
	}
	if g.URL != "" {
		u, err := url.Parse(g.URL)
		switch {
		case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
			// It is not shown: somebody may have put a password into it.
			bad("github-url: expected the API's base URL without user and query, such as https://github.example.edu/api/v3/")
		case u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())):
			bad("github-url %q: expected https, since the token is sent there", g.URL)
		}
	}
	switch {
	case g.TokenFile == "" && g.App == nil:
		bad("hubship has no identity on GitHub: give --github-token-file, or --github-app-id and --github-app-key-file")
	case g.TokenFile != "" && g.App != nil:
		bad("both a token and an App are set for GitHub: choose one")
	case g.App != nil && (g.App.ID == "" || g.App.KeyFile == ""):
		bad("a GitHub App needs both --github-app-id and --github-app-key-file")
	}
	if o := g.OAuth; o != nil && (o.ClientID == "" || o.ClientSecretFile == "") {
		bad("signing in needs both --github-oauth-client-id and --github-oauth-client-secret-file")
	}
	for _, f := range g.files() {
		if !filepath.IsAbs(f.path) {
			bad("%s %q: expected an absolute path", f.flag, f.path)
		}
	}
	return errs
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// secretFile is a file with a secret and the option that names it.
type secretFile struct{ flag, path string }

func (g *GitHub) files() []secretFile {
	all := []secretFile{{"github-token-file", g.TokenFile}, {"github-webhook-secret-file", g.WebhookSecretFile}}
	if g.App != nil {
		all = append(all, secretFile{"github-app-key-file", g.App.KeyFile})
	}
	if g.OAuth != nil {
		all = append(all, secretFile{"github-oauth-client-secret-file", g.OAuth.ClientSecretFile})
	}
	return slices.DeleteFunc(all, func(f secretFile) bool { return f.path == "" })
}

// Check looks at the files with secrets: whether they can be read, and by
// hubship alone.
func (g *GitHub) Check() error {
	var errs []error
	for _, f := range g.files() {
		if _, err := ReadSecret(f.path); err != nil {
			errs = append(errs, fmt.Errorf("--%s: %w", f.flag, err))
		}
	}
	return errors.Join(errs...)
}

// maxSecret bounds a file with a secret, in bytes.
const maxSecret = 64 << 10

// ReadSecret returns what a file with a secret holds, without blanks around
// it. A file that everybody on the machine can read is refused. No error shows
// anything of it.
func ReadSecret(file string) (string, error) {
	info, err := os.Stat(file)
	if err != nil {
		return "", model.WithHint(fmt.Errorf("read a secret: %w", err), "name a file that exists and that hubship's user can read")
	}
	switch {
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("read a secret: %s is not a file", file)
	case info.Mode().Perm()&0o007 != 0:
		return "", model.WithHint(fmt.Errorf("read a secret: everybody can read %s (mode %04o)", file, info.Mode().Perm()), "chmod 600 "+file)
	case info.Size() > maxSecret:
		return "", fmt.Errorf("read a secret: %s has %d bytes, which is too large for a secret", file, info.Size())
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", model.WithHint(fmt.Errorf("read a secret: %w", err), "hubship's user must be able to read it")
	}
	secret := strings.TrimSpace(string(raw))
	if secret == "" {
		return "", fmt.Errorf("read a secret: %s is empty", file)
	}
	return secret, nil
}

// Web is where people look at the forge: https://github.com, or the host of
// the API.
func (g *GitHub) Web() string {
	u, err := url.Parse(g.URL)
	if err != nil || g.URL == "" {
		return "https://github.com"
	}
	return u.Scheme + "://" + strings.TrimPrefix(u.Host, "api.")
}
