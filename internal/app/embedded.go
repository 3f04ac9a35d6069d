package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/hubship/hubship/internal/bootstrap"
	"github.com/hubship/hubship/internal/clientaddr"
	"github.com/hubship/hubship/internal/devforge"
	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/github"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/server"
	"github.com/hubship/hubship/internal/server/signin"
)

// embedded is the embedded forge as hubship sees it: a program that it starts, and
// reaches as it reaches GitHub. hubship reads the deployment repository from a
// copy, as with any forge.
type embedded struct {
	launcher *devforge.Launcher
	base     string // address of the HTTP port, without a slash at its end
	client   *github.Client
	hook     *github.Webhook
	// transport reaches the forge without the HTTP port, which may not be open yet.
	transport http.RoundTripper
	door      http.Handler // for everybody, at the HTTP port
	accounts  http.Handler // for the command line
}

// hookEvents are those that the controller has a use for.
var hookEvents = []string{"push", "pull_request", "pull_request_review", "issue_comment"}

// openEmbedded makes sure that the forge of an installation runs, with the current
// program file and settings. A new one adopts the starter repository.
func openEmbedded(ctx context.Context, p install.Paths, s install.Settings, log *slog.Logger) (*embedded, error) {
	program, err := devforge.Find()
	if err != nil {
		return nil, err
	}
	told, err := devforge.SettingsOf(p, s, devforge.Ways{
		Hooks: server.HooksPath, Events: hookEvents, Callback: signin.CallbackPath, Days: int(signin.Life / (24 * time.Hour)),
	})
	if err != nil {
		return nil, err
	}
	digest, err := told.Write(p.ForgeSettings)
	if err != nil {
		return nil, err
	}
	e := &embedded{launcher: devforge.New(p, program, digest, log), base: told.URL, transport: devforge.Transport(p.ForgeSocket)}
	if err := e.begin(ctx, p); err != nil {
		return nil, err
	}
	if err := e.launcher.Ensure(ctx); err != nil {
		if _, first := os.Stat(p.ForgeToken); first != nil || ctx.Err() != nil {
			return nil, err
		}
		// The way to the hubs is through this server, however the forge is.
		log.Error("the embedded forge could not be started; hubship tries again", "error", err)
	}
	trusted, err := clientaddr.ParsePrefixes(s.TrustedProxies)
	if err != nil {
		return nil, err
	}
	e.door, e.accounts = devforge.Door(p.ForgeSocket, trusted, log), devforge.Accounts(p.ForgeAdmin, log)
	return e, e.connect(p)
}

// begin lays down the deployment repository before the forge's first start. One
// that runs has it.
func (e *embedded) begin(ctx context.Context, p install.Paths) error {
	if _, running := e.launcher.Running(ctx); running {
		return nil
	}
	return layDown(ctx, p)
}

// layDown makes the deployment repository that the forge adopts, if it is not there.
func layDown(ctx context.Context, p install.Paths) error {
	g, err := bootstrap.WithStarter(ctx, p)
	if err != nil {
		return err
	}
	return g.Close()
}

// connect makes the way from hubship to its own forge, which is the one that it
// would take to GitHub, and back.
func (e *embedded) connect(p install.Paths) error {
	token, err := install.ReadSecret(p.ForgeToken)
	if err != nil {
		return err
	}
	name := forge.Repository{Owner: install.RepositoryOwner, Name: install.RepositoryName}
	if e.client, err = github.New(github.Options{URL: e.base + "/api/v3/", Repository: name, Token: token, Transport: e.transport}); err != nil {
		return err
	}
	secret, err := install.ReadSecret(p.HookSecret)
	if err != nil {
		return err
	}
	e.hook, err = github.NewWebhook(name, secret)
	return err
}

// openCopy opens hubship's copy of the deployment repository. Where there is none it
// is made of what is on this machine, which nobody may write to meanwhile: a new
// installation's is the starter.
func openCopy(ctx context.Context, p install.Paths, s install.Settings, log *slog.Logger) (*git.Repo, error) {
	if _, err := os.Stat(filepath.Join(p.Repository, "HEAD")); errors.Is(err, fs.ErrNotExist) {
		if err := devforge.New(p, "", "", log).Stop(ctx); err != nil {
			return nil, fmt.Errorf("make the copy of the deployment repository: %w", err)
		}
		if s.GitHub == nil {
			if err := layDown(ctx, p); err != nil {
				return nil, err
			}
		}
	}
	return bootstrap.Open(ctx, p, s)
}
