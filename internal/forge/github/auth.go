package github

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	gh "github.com/google/go-github/v89/github"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// credentials are who a Client is.
type credentials interface {
	// token returns a token that is valid now.
	token(ctx context.Context) (string, error)
	// refused says that the server did not take a token. It returns true when
	// there may be another.
	refused(token string) bool
	// login asks for the account's name; api carries the token.
	login(ctx context.Context, api *gh.Client) (string, *gh.Response, error)
	// redact takes what is secret out of a text.
	redact(text string) string
}

// token is the credentials of a person or a machine account.
type token string

func (t token) token(context.Context) (string, error) { return string(t), nil }
func (t token) refused(string) bool                   { return false }
func (t token) redact(text string) string             { return strings.ReplaceAll(text, string(t), "[redacted]") }

func (t token) login(ctx context.Context, api *gh.Client) (string, *gh.Response, error) {
	u, resp, err := api.Users.Get(ctx, "")
	return u.GetLogin(), resp, err
}

// freshness is how long a token must be valid for at least, to be used.
const freshness = 5 * time.Minute

// installation is the credentials of a GitHub App that is installed on the
// repository: tokens for this repository alone, each valid for an hour.
type installation struct {
	app  App
	repo forge.Repository
	api  *gh.Client // as the App itself

	// asking is held while a new token is asked for.
	asking chan struct{}

	mu      sync.Mutex
	id      int64 // of the installation, once known
	value   string
	expires time.Time
}

// newInstallation checks that the key can be read.
func newInstallation(app App, repo forge.Repository, base *url.URL, next http.RoundTripper) (*installation, error) {
	if _, err := readKey(app.KeyFile); err != nil {
		return nil, err
	}
	in := &installation{app: app, repo: repo, asking: make(chan struct{}, 1)}
	var err error
	in.api, err = newAPI(base, &authorized{next: next, host: base.Host, who: appItself(app)})
	return in, err
}

func (in *installation) current() string {
	in.mu.Lock()
	defer in.mu.Unlock()
	if time.Until(in.expires) < freshness {
		return ""
	}
	return in.value
}

func (in *installation) token(ctx context.Context) (string, error) {
	if t := in.current(); t != "" {
		return t, nil
	}
	select {
	case in.asking <- struct{}{}:
		defer func() { <-in.asking }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if t := in.current(); t != "" {
		return t, nil // somebody else asked
	}
	if err := in.renew(ctx); err != nil {
		return "", err
	}
	return in.current(), nil
}

func (in *installation) renew(ctx context.Context) error {
	in.mu.Lock()
	id := in.id
	in.mu.Unlock()
	if id == 0 {
		found, _, err := in.api.Apps.GetRepositoryInstallation(ctx, in.repo.Owner, in.repo.Name)
		if err != nil {
			return in.failed(err, "find the App's installation on "+in.repo.String())
		}
		id = found.GetID()
	}
	t, _, err := in.api.Apps.CreateInstallationToken(ctx, id, &gh.InstallationTokenOptions{Repositories: []string{in.repo.Name}})
	if err != nil {
		in.mu.Lock()
		in.id = 0 // it may have been installed anew
		in.mu.Unlock()
		return in.failed(err, "get a token for the App's installation on "+in.repo.String())
	}
	if t.GetToken() == "" || time.Until(t.GetExpiresAt().Time) < freshness {
		return &failure{kind: forge.ErrUnavailable, message: "the App's token is not valid long enough; is this machine's clock right?"}
	}
	in.mu.Lock()
	in.id, in.value, in.expires = id, t.GetToken(), t.GetExpiresAt().Time
	in.mu.Unlock()
	return nil
}

// failed names what the App did. The reasons of its own failures differ from
// those of a request.
func (in *installation) failed(err error, what string) error {
	f := classify(err, in.redact)
	f.message = what + ": " + f.message
	switch {
	case errors.Is(f.kind, forge.ErrNotFound):
		f.hint = "install the App on the repository, and check its ID"
	case f.status == http.StatusUnauthorized:
		f.hint = "check the App's ID, that its private key was not revoked, and this machine's clock"
	}
	return f
}

func (in *installation) refused(token string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.value == token {
		in.value, in.expires = "", time.Time{}
	}
	return true
}

func (in *installation) redact(text string) string {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.value == "" {
		return text
	}
	return strings.ReplaceAll(text, in.value, "[redacted]")
}

func (in *installation) login(ctx context.Context, _ *gh.Client) (string, *gh.Response, error) {
	app, resp, err := in.api.Apps.Get(ctx, "")
	if err != nil {
		return "", resp, in.failed(err, "ask for the App's name")
	}
	return app.GetSlug() + "[bot]", resp, nil
}

// appItself signs requests as the App, not as one of its installations.
type appItself App

func (a appItself) refused(string) bool       { return false }
func (a appItself) redact(text string) string { return text }
func (a appItself) login(context.Context, *gh.Client) (string, *gh.Response, error) {
	return "", nil, errors.New("GitHub: the App itself has no login")
}

func (a appItself) token(context.Context) (string, error) {
	key, err := readKey(a.KeyFile)
	if err != nil {
		return "", &failure{kind: forge.ErrForbidden, message: err.Error(), hint: model.HintOf(err)}
	}
	return signed(a.ID, key, time.Now())
}

// signed is a JSON Web Token that says who the App is, for some minutes. Its
// beginning lies in the past, for clocks that differ.
func signed(issuer string, key *rsa.PrivateKey, now time.Time) (string, error) {
	claims, err := json.Marshal(map[string]any{"iss": issuer, "iat": now.Add(-time.Minute).Unix(), "exp": now.Add(9 * time.Minute).Unix()})
	if err != nil {
		return "", err
	}
	text := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"RS256","typ":"JWT"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		return "", errors.New("GitHub: sign with the App's private key: the key does not work")
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// maxKey bounds the bytes of a private key's file.
const maxKey = 64 << 10

// readKey reads an App's private key. Nothing of the file is in the errors.
func readKey(name string) (*rsa.PrivateKey, error) {
	const hint = "download a private key on the App's settings page, and name its file"
	file, err := os.Open(name)
	if err != nil {
		return nil, model.WithHint(fmt.Errorf("GitHub: the App's private key: %w", err), hint)
	}
	defer func() { _ = file.Close() }()
	raw, err := io.ReadAll(io.LimitReader(file, maxKey))
	if err != nil {
		return nil, model.WithHint(fmt.Errorf("GitHub: the App's private key: %w", err), hint)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, model.WithHint(fmt.Errorf("GitHub: the App's private key: %s has no PEM block", name), hint)
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, nil
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if key, ok := parsed.(*rsa.PrivateKey); err == nil && ok {
		return key, nil
	}
	return nil, model.WithHint(fmt.Errorf("GitHub: the App's private key: %s has no RSA key", name), hint)
}
