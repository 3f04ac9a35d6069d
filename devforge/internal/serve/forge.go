package serve

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hubship/hubship/devforge/internal/gitserver"
	"github.com/hubship/hubship/devforge/internal/hooks"
	"github.com/hubship/hubship/devforge/internal/host"
	"github.com/hubship/hubship/devforge/internal/oauth"
	"github.com/hubship/hubship/devforge/internal/pages"
	"github.com/hubship/hubship/devforge/internal/refs"
	"github.com/hubship/hubship/devforge/internal/rest"
	"github.com/hubship/hubship/devforge/internal/settings"
	"github.com/hubship/hubship/devforge/internal/store"
	"github.com/hubship/hubship/internal/git"
)

// theForge is an open forge.
type theForge struct {
	s          settings.Settings
	log        *slog.Logger
	host       *host.Host
	repository store.Repository // the one that hubship drives
	api        *rest.API
	sender     *hooks.Sender
	gitToken   [sha256.Size]byte // hash of the token that there was before accounts
}

// open opens the forge, or makes it around the repository that is there. What an
// earlier process left half done is finished.
func open(ctx context.Context, s settings.Settings, log *slog.Logger) (_ *theForge, err error) {
	f := &theForge{s: s, log: log}
	f.host, err = host.Open(ctx, host.Options{Root: s.Repositories, Database: s.Database, Own: s.Own.Login, Log: log})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	own, err := f.accounts(ctx)
	if err != nil {
		return nil, err
	}
	if err := f.adopt(ctx); err != nil {
		return nil, err
	}
	if err := f.ownToken(ctx, own); err != nil {
		return nil, err
	}
	if s.GitToken != "" {
		token, err := gitserver.EnsureToken(s.GitToken)
		if err != nil {
			return nil, err
		}
		f.gitToken = sha256.Sum256([]byte(token))
	}
	f.sender = hooks.New(f.host.Store, nil, log)
	if err := f.guardHooks(); err != nil {
		return nil, err
	}
	f.api, err = rest.New(rest.Options{Host: f.host, Sender: f.sender, URL: s.URL + "/api/v3", GitURL: s.URL + "/git", WebURL: s.URL + "/forge", Log: log})
	if err != nil {
		return nil, err
	}
	f.host.Subscribe(f.api.Hear)
	return f, f.ensureHook(ctx)
}

// close ends what the forge holds open.
func (f *theForge) close() error { return f.host.Close() }

// adopt lets the forge have the repository that hubship drives.
func (f *theForge) adopt(ctx context.Context) error {
	want := f.s.Repository
	var err error
	f.repository, err = f.host.Find(ctx, want.Owner, want.Name)
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	owner, err := f.host.Store.AccountByLogin(ctx, want.Owner)
	if err != nil {
		return err
	}
	n := host.NewRepository{Name: want.Name, DefaultBranch: want.DefaultBranch, Description: "What the hubs are"}
	there := filepath.Join(f.s.Repositories, want.Name+".git")
	if _, err := os.Stat(filepath.Join(there, "HEAD")); err == nil {
		g, err := git.Open(there)
		if err != nil {
			return err
		}
		n.Dir = want.Name
		n.DefaultBranch, err = g.DefaultBranch(ctx)
		if err = errors.Join(err, g.Close()); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for the repository %s: %w", want.Name, err)
	} else if n.DefaultBranch == "" {
		n.DefaultBranch = defaultBranch
	}
	f.repository, err = f.host.CreateRepository(ctx, owner, n)
	return err
}

// defaultBranch is that of a repository that nobody says one for.
const defaultBranch = "main"

// public is what the forge serves to everybody.
func (f *theForge) public() (http.Handler, error) {
	git, err := f.gitServer()
	if err != nil {
		return nil, err
	}
	web, err := pages.New(pages.Options{
		Host: f.host, API: f.api, URL: f.s.URL + "/forge", APIURL: f.s.URL + "/api/v3", GitURL: f.s.URL + "/git",
		Secure:     f.s.Secure(),
		Repository: f.s.Repository.Owner + "/" + f.s.Repository.Name, Own: f.s.Own.Login, Runs: f.s.Runs, Log: f.log,
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/git/", http.StripPrefix("/git", git))
	mux.Handle("/api/v3/", f.api)
	mux.Handle("/forge/", web)
	if f.s.OAuth != nil {
		signIn, err := f.signIn()
		if err != nil {
			return nil, err
		}
		mux.Handle("/forge/login/oauth/", signIn)
		mux.Handle("/api/v3/applications/", signIn)
	}
	// As at GitHub: there are clients that take owner and name from the address of
	// a clone.
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, ".git/") {
			git.ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	})
	return mux, nil
}

// signIn lets people sign in to hubship with their account here.
func (f *theForge) signIn() (http.Handler, error) {
	o := f.s.OAuth
	secret, err := gitserver.ReadToken(o.Secret)
	if err != nil {
		return nil, fmt.Errorf("the secret of hubship's OAuth client: %w", err)
	}
	return oauth.New("/forge", "/api/v3", oauth.Options{
		Store: f.host.Store, Client: oauth.Client{ID: o.ClientID, Secret: secret, Redirect: o.Redirect},
		Visitor: func(r *http.Request) (oauth.Visitor, error) {
			who, still, err := pages.Visitor(f.host.Store, f.s.Secure(), r)
			return oauth.Visitor{Account: who, Still: still}, err
		},
		SignIn: func(back string) string { return "/forge/-/signin?" + url.Values{"next": {back}}.Encode() },
		Life:   time.Duration(o.Days) * 24 * time.Hour, Log: f.log,
	})
}

// gitServer serves Git to the accounts, and to who has the token that there was
// before them.
func (f *theForge) gitServer() (*gitserver.Server, error) {
	// The old one stands for the repository's owner, and the rules hold for it.
	opts := gitserver.Options{Log: f.log, OnPush: f.tellPusher}
	f.host.Serve(&opts)
	accounts := opts.Authenticate
	opts.Authenticate = func(ctx context.Context, secret string, write bool) (string, bool) {
		given := sha256.Sum256([]byte(secret))
		if f.s.GitToken != "" && subtle.ConstantTimeCompare(given[:], f.gitToken[:]) == 1 {
			return f.s.Repository.Owner, true
		}
		return accounts(ctx, secret, write)
	}
	return gitserver.New(opts)
}

// tellPusher says where to see what becomes of a push to a protected branch.
func (f *theForge) tellPusher(ctx context.Context, dir string, updates []refs.Update, _ string) []string {
	if dir != f.repository.Dir {
		return nil
	}
	for _, u := range updates {
		p, err := f.host.Protection(ctx, f.repository, u.Branch)
		if err != nil {
			f.log.Error("embedded forge: read what protects a branch", "branch", u.Branch, "error", err)
		}
		if p != nil && !u.Deleted() {
			return []string{fmt.Sprintf("hubship: follow what becomes of this push at %s/ or with `hubship history`", f.s.People())}
		}
	}
	return nil
}
