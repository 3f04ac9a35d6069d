// Package github speaks to GitHub, to GitHub Enterprise and to hubship's own
// embedded forge, which all have GitHub's REST API.
package github

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	gh "github.com/google/go-github/v89/github"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// DefaultURL is the API of github.com.
const DefaultURL = "https://api.github.com/"

// DefaultPatience is how long a call waits altogether before it gives up.
const DefaultPatience = 30 * time.Second

const (
	attempts       = 4                // of one call
	answerLimit    = 30 * time.Second // of one attempt
	maxAnswer      = 32 << 20         // bytes
	defaultBackoff = 500 * time.Millisecond
	perPage        = 100
	maxPages       = 100
)

// Options are the settings of a Client. Either Token or App says who it is.
type Options struct {
	// URL is the base of the API: empty for github.com, https://HOST/api/v3/
	// for GitHub Enterprise. Plain HTTP is for this machine only.
	URL        string
	Repository forge.Repository
	// Token is that of a person or a machine account.
	Token string
	// App is a GitHub App that is installed on the repository.
	App *App
	// Patience is how long a call waits altogether, for the end of a rate
	// limit or between attempts; 0 means DefaultPatience.
	Patience time.Duration
	// Transport carries the requests; nil means http.DefaultTransport.
	Transport http.RoundTripper
}

// App is a GitHub App.
type App struct {
	ID      string // its App ID or client ID
	KeyFile string // its private key, PEM; read again for each new token, about once an hour
}

// Validate says what is wrong with the options.
func (o Options) Validate() error {
	if err := o.Repository.Validate(); err != nil {
		return fmt.Errorf("GitHub: %w", err)
	}
	if _, err := o.base(); err != nil {
		return err
	}
	switch {
	case o.Token == "" && o.App == nil:
		return model.WithHint(errors.New("GitHub: neither a token nor an App is set"), "set one of them")
	case o.Token != "" && o.App != nil:
		return model.WithHint(errors.New("GitHub: both a token and an App are set"), "set one of them")
	case strings.ContainsFunc(o.Token, func(c rune) bool { return c <= ' ' || c > '~' }):
		return model.WithHint(errors.New("GitHub: the token has a blank or a character that no token has"), "check how it was copied, and its file for a line's end")
	case o.App != nil && (o.App.ID == "" || o.App.KeyFile == ""):
		return model.WithHint(errors.New("GitHub: the App's ID or the file of its private key is not set"), "both are on the App's settings page")
	case o.Patience < 0:
		return errors.New("GitHub: the patience is negative")
	}
	return nil
}

// base is the URL of the API, with a slash at its end.
func (o Options) base() (*url.URL, error) {
	raw := o.URL
	if raw == "" {
		raw = DefaultURL
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		// The URL is not shown: somebody may have put a password into it.
		return nil, model.WithHint(errors.New("GitHub: the API's URL is none"), "for GitHub Enterprise it is https://HOST/api/v3/, without user or query")
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return nil, model.WithHint(fmt.Errorf("GitHub: the API at %s would get the token unencrypted", u.Host), "use https")
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Client is a forge.Forge, with all capabilities.
type Client struct {
	repo     forge.Repository
	base     *url.URL
	api      *gh.Client
	auth     credentials
	patience time.Duration
	backoff  time.Duration // before the second attempt
	// writing lets one writing request go at a time, as GitHub wants it.
	writing chan struct{}

	mu     sync.Mutex
	login  string // once known
	remote string // URL, once known
}

var (
	_ forge.Forge       = (*Client)(nil)
	_ forge.Participant = (*Client)(nil)
	_ forge.Checks      = (*Client)(nil)
	_ forge.Protections = (*Client)(nil)
	_ forge.Deployments = (*Client)(nil)
	_ forge.Labels      = (*Client)(nil)
	_ forge.Forks       = (*Client)(nil)
)

// New returns a Client. It sends nothing yet.
func New(opts Options) (*Client, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	base, err := opts.base()
	if err != nil {
		return nil, err
	}
	below := opts.Transport
	if below == nil {
		below = http.DefaultTransport
	}
	below = &bounded{next: below}
	c := &Client{repo: opts.Repository, base: base, patience: opts.Patience, backoff: defaultBackoff, writing: make(chan struct{}, 1)}
	if c.patience == 0 {
		c.patience = DefaultPatience
	}
	if opts.App == nil {
		c.auth = token(opts.Token)
	} else if c.auth, err = newInstallation(*opts.App, opts.Repository, base, below); err != nil {
		return nil, err
	}
	if c.api, err = newAPI(base, &authorized{next: newCache(below), host: base.Host, who: c.auth}); err != nil {
		return nil, err
	}
	return c, nil
}

func newAPI(base *url.URL, transport http.RoundTripper) (*gh.Client, error) {
	at := base.String()
	api, err := gh.NewClient(gh.WithTransport(transport), gh.WithURLs(&at, &at), gh.WithUserAgent("hubship"))
	if err != nil {
		return nil, fmt.Errorf("GitHub: %w", err)
	}
	return api, nil
}

// Repository implements forge.Forge.
func (c *Client) Repository() forge.Repository { return c.repo }

// Login implements forge.Forge.
func (c *Client) Login(ctx context.Context) (string, error) {
	c.mu.Lock()
	login := c.login
	c.mu.Unlock()
	if login != "" {
		return login, nil
	}
	login, err := call(ctx, c, reads, "ask "+c.base.Host+" who we are", func(ctx context.Context) (string, *gh.Response, error) {
		return c.auth.login(ctx, c.api)
	})
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	c.login = login
	c.mu.Unlock()
	return login, nil
}

// Remote implements forge.Forge.
func (c *Client) Remote(ctx context.Context) (forge.Remote, error) {
	c.mu.Lock()
	remote := c.remote
	c.mu.Unlock()
	what := fmt.Sprintf("ask how to fetch %s", c.repo)
	if remote == "" {
		r, err := call(ctx, c, reads, what, func(ctx context.Context) (*gh.Repository, *gh.Response, error) {
			return c.api.Repositories.Get(ctx, c.repo.Owner, c.repo.Name)
		})
		if err != nil {
			return forge.Remote{}, err
		}
		if remote, err = c.cloneURL(r.GetCloneURL()); err != nil {
			return forge.Remote{}, fmt.Errorf("%s: %w", what, err)
		}
		c.mu.Lock()
		c.remote = remote
		c.mu.Unlock()
	}
	password, err := call(ctx, c, reads, what, func(ctx context.Context) (string, *gh.Response, error) {
		password, err := c.auth.token(ctx)
		return password, nil, err
	})
	if err != nil {
		return forge.Remote{}, err
	}
	return forge.NewRemote(remote, "x-access-token", password), nil
}

// cloneURL checks the URL that git will send the token to: it must be that of
// the forge.
func (c *Client) cloneURL(raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%w: the forge names no URL to clone from", forge.ErrInvalid)
	}
	if u.Scheme != c.base.Scheme || u.Host != c.base.Host && "api."+u.Host != c.base.Host {
		return "", model.WithHint(fmt.Errorf("%w: the API at %s has its repositories at %s, which would get the token", forge.ErrInvalid, c.base.Host, u.Host),
			"check the URL of the API, and the forge's own idea of its name")
	}
	return u.String(), nil
}
