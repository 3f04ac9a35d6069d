package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/demo"
	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/forge/github"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
)

func (a *command) demoCommand() *cobra.Command {
	var broken bool
	var hub string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play through the process on the running installation",
		Long: `Demo plays a contributor and a reviewer on the running installation, for real,
with accounts on the embedded forge. The contributor forks the deployment
repository, adds a package and opens a pull request; hubship builds it and tries
it out in a sandbox; the reviewer reviews and merges it; it is deployed to staging
and imported there; the promotion is merged, and prod imports it.

With --broken the package cannot be imported, and its check stops it. Then comes a
package that fails only in a user's server, which nobody notices in review:
staging fails and is rolled back, prod never changes, the promotion is refused,
and the revert, which opens by itself, is merged without building anything.

The demo checks everything it says; the first assertion that fails ends it with
an error.`,
		Example: `  hubship demo
  hubship demo --broken
  hubship demo -o json | jq '.steps'`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := install.Load(a.data)
			if err != nil {
				return err
			}
			if s.GitHub != nil {
				return model.Usage(errors.New("the demo needs the embedded forge, and this installation's forge is GitHub"),
					"bring up another installation for it, without --github: `hubship up --data DIR --name demo`")
			}
			play := demo.Run
			if broken {
				play = demo.Broken
			}
			players := &players{command: a, settings: s, tokens: map[string]string{}}
			res, err := play(cmd.Context(), demo.Options{
				Server: a.server(), Forge: players.forge, Web: loopbackClient(s.Port), Hub: hub, Reporter: &stage{a},
			})
			if err != nil {
				return err
			}
			return a.printDemo(res)
		},
	}
	cmd.Flags().BoolVar(&broken, "broken", false, "play it with a package that fails on import")
	a.hubFlag(cmd, &hub, "hub to play with (default: the first)")
	return cmd
}

// players are the accounts that the demo plays with.
type players struct {
	*command
	settings install.Settings
	tokens   map[string]string // by login
}

// demoRoles are what the accounts of the demo may do.
var demoRoles = map[string]string{demo.Contributor: model.RoleContributor, demo.Reviewer: model.RoleReviewer}

// demoToken bounds how long a token of the demo opens anything.
const demoToken = 2 * time.Hour

// forge is a repository as an account sees it. The account is made when it is
// not there.
func (p *players) forge(ctx context.Context, login string, repo forge.Repository) (forge.Participant, error) {
	if p.tokens[login] == "" {
		_, err := p.server().AddAccount(ctx, model.NewAccount{Login: login, Name: "The demo's " + demoRoles[login], Role: demoRoles[login]})
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		token, err := p.server().AccountToken(ctx, login, []string{"repo"}, demoToken)
		if err != nil {
			return nil, err
		}
		p.term.Hide(token)
		p.tokens[login] = token
	}
	if repo == (forge.Repository{}) {
		repo = forge.Repository{Owner: install.RepositoryOwner, Name: install.RepositoryName}
	}
	return github.New(github.Options{
		URL: p.settings.URL() + "api/v3/", Repository: repo, Token: p.tokens[login], Transport: loopbackClient(p.settings.Port).Transport,
	})
}

func (a *command) printDemo(res demo.Result) error {
	if a.term.JSONOutput() {
		return a.term.JSON(res)
	}
	rows := [][]string{{"STEP", "SECONDS", "BUILD", "DEPLOY", "VERIFY"}}
	part := func(s float64) string {
		if s == 0 {
			return ""
		}
		return fmt.Sprintf("%.1f", s)
	}
	for _, s := range res.Steps {
		rows = append(rows, []string{s.Name, fmt.Sprintf("%.1f", s.Seconds), part(s.Build), part(s.Deploy), part(s.Verify)})
	}
	a.term.Table(rows...)
	a.term.Printf("%s on hub %s: %d assertions checked in %.0f s\n", res.Package, res.Hub, len(res.Assertions), res.Seconds)
	return nil
}

// stage tells the demo on standard error.
type stage struct{ *command }

func (s *stage) Say(format string, args ...any) { s.term.Note("%s", fmt.Sprintf(format, args...)) }

func (s *stage) Line(env string, l model.Line) {
	if l.Level != model.LevelDebug { // a build's output is long
		s.term.Note("  %s | %s", env, lineText(s.term, l))
	}
}

func (s *stage) Begin(step string) func(error) {
	phase := s.term.Phase(step)
	return func(err error) {
		if err != nil {
			phase.Fail("")
			return
		}
		phase.Done("")
	}
}
