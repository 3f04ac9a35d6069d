package cli

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/demo"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
)

func (a *command) demoCommand() *cobra.Command {
	var broken bool
	var hub string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Play the process against the running installation",
		Long: `Demo plays a contributor against the running installation, for real: it clones
the deployment repository, adds a package, pushes to staging, watches it built,
deployed and imported, promotes it, and sees it imported on prod. With --broken
the package installs but raises on import: staging fails and is rolled back,
prod never changes, the promotion is refused, and a revert goes through without
building anything.

Everything it tells is checked; what does not hold ends it with an error.`,
		Example: `  hubship demo
  hubship demo --broken
  hubship demo -o json | jq '.steps'`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := install.Load(a.data)
			if err != nil {
				return err
			}
			raw, err := os.ReadFile(install.At(a.data).GitToken)
			if err != nil {
				return model.WithHint(fmt.Errorf("read the token of the deployment repository: %w", err), "bring the installation up with `hubship up`")
			}
			token := strings.TrimSpace(string(raw))
			a.term.Hide(token)
			play := demo.Run
			if broken {
				play = demo.Broken
			}
			res, err := play(cmd.Context(), demo.Options{
				Server: a.server(), CloneURL: s.CloneURL(), Token: token, Web: loopbackClient(s.Port),
				Hub: hub, By: caller(), Stage: &stage{a},
			})
			if err != nil {
				return err
			}
			return a.printDemo(res)
		},
	}
	cmd.Flags().BoolVar(&broken, "broken", false, "play it with a package that raises on import")
	a.hubFlag(cmd, &hub, "hub to play with (default: the first)")
	return cmd
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
	a.term.Printf("%s on hub %s: %d claims checked in %.0f s\n", res.Package, res.Hub, len(res.Claims), res.Seconds)
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
