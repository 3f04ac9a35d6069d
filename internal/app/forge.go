package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/hubship/hubship/internal/config"
	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/github"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/pulls"
	"github.com/hubship/hubship/internal/pulls/repository"
	"github.com/hubship/hubship/internal/repo"
	"github.com/hubship/hubship/internal/runplan"
	"github.com/hubship/hubship/internal/server"
	"github.com/hubship/hubship/internal/server/signin"
	"github.com/hubship/hubship/internal/store"
)

// forgeRuntime carries changes by pull requests: a forge, and the controller that
// keeps it in line with what happens.
type forgeRuntime struct {
	forge   forge.Forge
	url     string // of the repository there, for people
	control *pulls.Controller
	hook    *github.Webhook // nil: nothing is delivered, polls find what happens
	local   *embedded       // nil: the forge is GitHub
	signIn  *entrance
	// repository is hubship's copy.
	repository *repo.Repository
	log        *slog.Logger
}

// deps are what a forgeRuntime works with.
type deps struct {
	paths      install.Paths
	settings   install.Settings
	repository *repo.Repository // hubship's copy
	engine     pulls.Engine
	memory     pulls.ReportCache
	keep       signin.Keep
	log        *slog.Logger
}

// newForgeRuntime finds the forge of the installation. An embedded one is started
// unless it runs already, and goes on to run when hubship's server ends.
func newForgeRuntime(ctx context.Context, with deps) (_ *forgeRuntime, err error) {
	p := &forgeRuntime{url: with.settings.ForgeURL(), repository: with.repository, log: with.log}
	if g := with.settings.GitHub; g != nil {
		if err := p.openGitHub(*g); err != nil {
			return nil, err
		}
	} else {
		p.local, err = openEmbedded(ctx, with.paths, with.settings, with.log)
		if err != nil {
			return nil, err
		}
		p.forge, p.hook = p.local.client, p.local.hook
	}
	run := with.settings.RunURL
	p.control, err = pulls.New(pulls.Options{
		Forge: p.forge, Engine: with.engine, Reports: with.memory, Plans: runplan.Folder(with.paths.Plans),
		Repository: repository.Repository{Repository: with.repository, Forge: p.forge},
		RunURL:     run, PlanURL: func(id string) string { return run(id) + "/plan" }, HubURL: with.settings.HubURL,
		Protect: p.local != nil, ProcessFiles: config.ProcessFiles, Logger: with.log,
	})
	if err == nil {
		p.signIn, err = newEntrance(p, with)
	}
	return p, err
}

// openGitHub makes the way to GitHub.
func (p *forgeRuntime) openGitHub(g install.GitHub) error {
	name, err := forge.ParseRepository(g.Repository)
	if err != nil {
		return err
	}
	opts := github.Options{URL: g.URL, Repository: name}
	if g.App != nil {
		opts.App = &github.App{ID: g.App.ID, KeyFile: g.App.KeyFile}
	} else if opts.Token, err = install.ReadSecret(g.TokenFile); err != nil {
		return err
	}
	if p.forge, err = github.New(opts); err != nil {
		return err
	}
	if g.WebhookSecretFile == "" {
		return nil
	}
	secret, err := install.ReadSecret(g.WebhookSecretFile)
	if err != nil {
		return err
	}
	p.hook, err = github.NewWebhook(name, secret)
	return err
}

// fill reads GitHub before the runs of an earlier process are taken up, if
// hubship's copy was lost: without it they would find nothing of what they are
// about, and blame the change. The embedded forge's repository was at hand
// (bootstrap.Open).
func (p *forgeRuntime) fill(ctx context.Context, history *store.Store) error {
	if p.local != nil {
		return nil
	}
	branches, err := p.repository.Git().Branches(ctx)
	if err != nil || len(branches) > 0 {
		return err
	}
	underWay, err := history.List(ctx, model.RunFilter{Active: true, Limit: 1})
	if err != nil || len(underWay) == 0 {
		return err // the first look of the controller brings everything
	}
	if err := p.control.Fill(ctx); err != nil {
		return model.WithHint(fmt.Errorf("hubship's copy of the deployment repository is lost, run %s needs it, and GitHub cannot be read: %w", underWay[0].ID, err),
			"start hubship again when GitHub answers: `hubship up`")
	}
	return nil
}

// run works until ctx ends.
func (p *forgeRuntime) run(ctx context.Context) {
	var group sync.WaitGroup
	group.Go(func() { p.control.Run(ctx) })
	if p.local != nil {
		group.Go(func() { p.local.launcher.Supervise(ctx) })
	}
	group.Wait()
}

// mount adds what the forge has to be reached by.
func (p *forgeRuntime) mount(o *server.Options) {
	if p.hook != nil {
		o.Hooks = p.control.Deliveries(p.hook)
	}
	p.signIn.mount(o)
	if p.local != nil {
		o.Forge, o.Accounts = p.local.door, p.local.accounts
	}
}

// problems are what keeps the forge from working, as far as it is hubship's to
// know.
func (p *forgeRuntime) problems() []string {
	if p.local == nil {
		return nil
	}
	if why := p.local.launcher.Trouble(); why != "" {
		return []string{"the embedded forge is not running, and hubship is trying to start it again: " + why}
	}
	return nil
}

// status is how hubship stands with the forge.
func (p *forgeRuntime) status() *model.ForgeStatus {
	s := p.control.State()
	return &model.ForgeStatus{Repository: s.Repository.String(), URL: p.url, Open: s.Open, Waiting: s.Waiting, Polled: s.Polled, Trouble: s.Trouble}
}

// revert opens the pull request that takes another one back.
func (p *forgeRuntime) revert(ctx context.Context, number int, by string) (model.Reversion, error) {
	opened, err := p.control.Revert(ctx, number, by)
	if errors.Is(err, forge.ErrNotFound) {
		err = model.Usage(err, "name a merged pull request of "+p.url)
	}
	if err != nil {
		return model.Reversion{}, err
	}
	pr, err := p.forge.PullRequest(ctx, opened)
	if err != nil {
		return model.Reversion{}, fmt.Errorf("#%d reverts #%d: %w", opened, number, err)
	}
	return model.Reversion{Pull: number, Number: opened, URL: pr.URL}, nil
}
