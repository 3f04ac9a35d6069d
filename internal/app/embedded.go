package app

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/hubship/hubship/internal/bootstrap"
	"github.com/hubship/hubship/internal/clientaddr"
	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/github"
	"github.com/hubship/hubship/internal/forge/local"
	"github.com/hubship/hubship/internal/forge/local/hooks"
	"github.com/hubship/hubship/internal/forge/local/host"
	"github.com/hubship/hubship/internal/forge/local/pages"
	"github.com/hubship/hubship/internal/forge/local/rest"
	"github.com/hubship/hubship/internal/forge/local/store"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/repo"
)

// Accounts that every embedded forge has, beside install.RepositoryOwner.
const (
	ownLogin   = "hubship" // hubship's own
	adminLogin = "admin"   // the first person's
)

// repositoryDir is the folder of the deployment repository below the forge's
// root: install.Paths.ForgeRepository.
const repositoryDir = "deployment"

// embedded is the forge that hubship serves itself. What hubship makes of its
// deployment repository it makes of a copy, as with any forge.
type embedded struct {
	host       *host.Host
	repository store.Repository
	fleets     *repo.Repository // the same, read
	api        *rest.API
	sender     *hooks.Sender
	base       string // address of the HTTP port, without a slash at its end
	client     *github.Client
	hook       *github.Webhook
	gitToken   [sha256.Size]byte // hash of the token that there was before accounts
	trusted    []netip.Prefix    // reverse proxies
	log        *slog.Logger
}

// openEmbedded opens the embedded forge of an installation, or makes it around
// the deployment repository that is there. What an earlier process left half
// done is finished. The caller closes its host.
func openEmbedded(ctx context.Context, p install.Paths, s install.Settings, log *slog.Logger) (_ *embedded, err error) {
	e := &embedded{log: log}
	g, err := bootstrap.WithStarter(ctx, p)
	if err != nil {
		return nil, err
	}
	e.fleets = repo.New(g, repo.Options{Process: processOf(g, s)})
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	e.host, err = host.Open(ctx, host.Options{Root: p.Repositories, Database: p.Forge, Own: ownLogin, Log: log})
	if err != nil {
		return nil, err
	}
	own, err := e.accounts(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := e.takeOver(ctx); err != nil {
		return nil, err
	}
	if e.trusted, err = clientaddr.ParsePrefixes(s.TrustedProxies); err != nil {
		return nil, err
	}
	base := fmt.Sprintf("http://localhost:%d", s.Port)
	e.base = base
	e.sender = hooks.New(e.host.Store, nil, log)
	if err := guardHooks(e.sender, s); err != nil {
		return nil, err
	}
	e.api, err = rest.New(rest.Options{Host: e.host, Sender: e.sender, URL: base + "/api/v3", GitURL: base + "/git", WebURL: base + "/forge", Log: log})
	if err != nil {
		return nil, err
	}
	e.host.Subscribe(e.api.Hear)
	if err := e.connect(ctx, p, own, base, s.Port); err != nil {
		return nil, err
	}
	gitToken, err := local.EnsureToken(p.GitToken)
	if err != nil {
		return nil, err
	}
	e.gitToken = sha256.Sum256([]byte(gitToken))
	return e, nil
}

// close ends what the forge holds open.
func (e *embedded) close() error {
	var errs []error
	if e.host != nil {
		errs = append(errs, e.host.Close())
	}
	return errors.Join(append(errs, e.fleets.Git().Close())...)
}

// accounts makes the accounts that are missing, and returns hubship's own.
func (e *embedded) accounts(ctx context.Context, p install.Paths) (own store.Account, err error) {
	for _, n := range []store.NewAccount{
		{Login: install.RepositoryOwner, Kind: store.Organization},
		{Login: ownLogin, Role: store.Maintainer},
		{Login: adminLogin, Role: store.Maintainer},
	} {
		a, err := e.host.Store.AccountByLogin(ctx, n.Login)
		if errors.Is(err, store.ErrNotFound) {
			if n.Login == adminLogin {
				if n.Password, err = forgePassword(p); err != nil {
					return own, err
				}
			}
			a, err = e.host.Store.CreateAccount(ctx, n)
		} else if err == nil && n.Login == adminLogin {
			err = e.separatePasswords(ctx, p, a)
		}
		if err != nil {
			return own, fmt.Errorf("account %s of the embedded forge: %w", n.Login, err)
		}
		if n.Login == ownLogin {
			own = a
		}
	}
	return own, nil
}

// takeOver lets the forge have the deployment repository.
func (e *embedded) takeOver(ctx context.Context) error {
	var err error
	e.repository, err = e.host.Find(ctx, install.RepositoryOwner, install.RepositoryName)
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	owner, err := e.host.Store.AccountByLogin(ctx, install.RepositoryOwner)
	if err != nil {
		return err
	}
	head, err := e.fleets.Git().DefaultBranch(ctx)
	if err != nil {
		return err
	}
	e.repository, err = e.host.CreateRepository(ctx, owner, host.NewRepository{
		Name: install.RepositoryName, Dir: repositoryDir, DefaultBranch: head, Description: "What the hubs are",
	})
	return err
}

// pages are the forge for people.
func (e *embedded) pages(s install.Settings) (http.Handler, error) {
	return pages.New(pages.Options{
		Host: e.host, API: e.api, URL: e.base + "/forge", APIURL: e.base + "/api/v3", GitURL: e.base + "/git",
		Secure:     strings.HasPrefix(s.PeopleURL(), "https://"),
		Repository: forge.Repository{Owner: install.RepositoryOwner, Name: install.RepositoryName}, Own: ownLogin, Runs: s.RunURL(""),
		TrustedProxies: e.trusted, Log: e.log,
	})
}

// connect makes the way from hubship to its own forge, which is the one that it
// would take to GitHub, and back.
func (e *embedded) connect(ctx context.Context, p install.Paths, own store.Account, base string, port int) error {
	token, err := e.ownToken(ctx, p.ForgeToken, own)
	if err != nil {
		return err
	}
	name := forge.Repository{Owner: install.RepositoryOwner, Name: install.RepositoryName}
	e.client, err = github.New(github.Options{URL: base + "/api/v3/", Repository: name, Token: token, Transport: loopback(port)})
	if err != nil {
		return err
	}
	secret, err := local.EnsureToken(p.HookSecret)
	if err != nil {
		return err
	}
	if e.hook, err = github.NewWebhook(name, secret); err != nil {
		return err
	}
	return e.ensureHook(ctx, ownHook(port), secret)
}

// loopback reaches the HTTP port also where the name localhost is not known.
func loopback(port int) http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	var d net.Dialer
	t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	}
	return t
}

// tokenName is what hubship's own token is called.
const tokenName = "hubship's server"

// ownToken returns a token of hubship's own account: that of the file, or a new
// one when that does not work.
func (e *embedded) ownToken(ctx context.Context, file string, own store.Account) (string, error) {
	secret, err := local.ReadToken(file)
	if err == nil {
		var a store.Account
		if a, _, err = e.host.Store.Bearer(ctx, secret); err == nil && a.ID == own.ID {
			return secret, nil
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, store.ErrDenied) {
		return "", err
	}
	old, err := e.host.Store.Tokens(ctx, own.ID)
	if err != nil {
		return "", err
	}
	for _, t := range old {
		if t.Name == tokenName {
			if err := e.host.Store.RevokeToken(ctx, own.ID, t.ID); err != nil {
				return "", err
			}
		}
	}
	if _, secret, err = e.host.Store.CreateToken(ctx, own.ID, tokenName, []string{store.ScopeRepo}, 0); err != nil {
		return "", err
	}
	return secret, install.WriteSecret(file, secret)
}

// hookEvents are those that the controller has a use for.
const hookEvents = "push,pull_request,pull_request_review,issue_comment"

// ensureHook has the forge deliver its events to hubship. The hook is known by
// its secret; its address changes with the port.
func (e *embedded) ensureHook(ctx context.Context, url, secret string) error {
	all, err := e.host.Store.Hooks(ctx, e.repository.ID)
	if err != nil {
		return err
	}
	for _, h := range all {
		if h.Secret != secret {
			continue
		}
		if h.URL == url && h.Events == hookEvents && h.Active && h.ContentType == "json" {
			return nil
		}
		h.URL, h.Events, h.Active, h.ContentType = url, hookEvents, true, "json"
		return e.host.Store.PutHook(ctx, &h)
	}
	err = e.host.Store.AddHook(ctx, &store.Hook{Repository: e.repository.ID, URL: url, ContentType: "json", Secret: secret, Events: hookEvents, Active: true})
	if errors.Is(err, store.ErrTooManyHooks) {
		e.log.Warn("the embedded forge does not notify hubship; changes are noticed within a minute", "error", err)
		return nil
	}
	return err
}

// gitServer serves Git to the accounts, and to who has the token that there was
// before them.
func (e *embedded) gitServer() (*local.Server, error) {
	// The server has no token that opens everything: the old one stands for
	// the repository's owner, and the rules hold for it.
	opts := local.Options{Token: rand.Text() + rand.Text(), Log: e.log}
	opts.OnPush = func(ctx context.Context, dir string, updates []forge.RefUpdate, _ string) []string {
		if dir != e.repository.Dir {
			return nil
		}
		return e.tellPusher(ctx, updates)
	}
	e.host.Serve(&opts)
	accounts := opts.Authenticate
	opts.Authenticate = func(ctx context.Context, secret string, write bool) (string, bool) {
		given := sha256.Sum256([]byte(secret))
		if subtle.ConstantTimeCompare(given[:], e.gitToken[:]) == 1 {
			return install.RepositoryOwner, true
		}
		return accounts(ctx, secret, write)
	}
	return local.New(opts)
}

// tellPusher says where to see what becomes of a push to an environment's
// branch.
func (e *embedded) tellPusher(ctx context.Context, updates []forge.RefUpdate) []string {
	now, err := e.fleets.Now(ctx)
	if err != nil {
		return []string{"hubship: the push was accepted, but nothing will be deployed: " + err.Error()}
	}
	var lines []string
	for _, u := range updates {
		env, ok := now.EnvironmentOfBranch(u.Branch)
		if !ok || u.Deleted() {
			continue
		}
		if _, err := e.fleets.Fleet(ctx, u.New); err != nil {
			lines = append(lines, "hubship: the push was accepted, but nothing will be deployed: "+err.Error())
		} else {
			lines = append(lines, fmt.Sprintf("hubship: %s deploys %.12s; follow it at %s/ or find its run with `hubship history`", env.Name, u.New, e.base))
		}
	}
	return lines
}
