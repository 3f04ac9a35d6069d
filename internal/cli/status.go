package cli

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/node"
	"github.com/hubship/hubship/internal/term"
)

func (a *command) statusCommand() *cobra.Command {
	var password, forgePassword, withNode bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what is running, what is verified and what is in progress",
		Example: `  hubship status
  hubship status -o json | jq '.environments[].releases[] | {url, inSync}'
  hubship status --node
  hubship status --show-password
  hubship status --show-forge-password`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case password:
				return a.showPassword(install.At(a.data).Password, "the hubs' password",
					"the first `hubship up` generates it; your own repository has its own logins")
			case forgePassword:
				return a.showPassword(install.At(a.data).ForgePassword, "the forge's first password",
					"`hubship up` generates it with the embedded forge; `hubship account password LOGIN` sets a new one")
			case withNode:
				return a.showNode(cmd.Context())
			}
			st, err := a.server().Status(cmd.Context())
			if err != nil {
				return err
			}
			if a.term.JSONOutput() {
				return a.term.JSON(st)
			}
			a.printStatus(st)
			return nil
		},
	}
	cmd.Flags().BoolVar(&password, "show-password", false, "print only the generated password of the trial hubs")
	cmd.Flags().BoolVar(&forgePassword, "show-forge-password", false, "print only the generated first password of the embedded forge's admin")
	cmd.Flags().BoolVar(&withNode, "node", false, "show the embedded node's components and their memory instead")
	cmd.MarkFlagsMutuallyExclusive("show-password", "show-forge-password", "node")
	return cmd
}

// showPassword is the way to a generated password for whoever may read it.
func (a *command) showPassword(file, what, hint string) error {
	raw, err := os.ReadFile(file)
	if err != nil {
		return model.WithHint(fmt.Errorf("read %s: %w", what, err), hint)
	}
	a.term.Reveal("%s\n", strings.TrimSpace(string(raw)))
	return nil
}

func (a *command) showNode(ctx context.Context) error {
	s, err := install.Load(a.data)
	if err != nil {
		return err
	}
	if s.Node == nil {
		return model.Usage(fmt.Errorf("the installation %s uses an existing cluster", s.Name), "it has no embedded node to show")
	}
	st, err := node.NewClient(s.NodeSocket()).Status(ctx)
	if err != nil {
		return model.WithHint(err, "bring it up with `hubship up`")
	}
	if a.term.JSONOutput() {
		return a.term.JSON(st)
	}
	ready := a.term.Good("ready")
	if !st.Ready {
		ready = a.term.Doubt(st.Phase)
	}
	a.term.Printf("node %s: %s, Kubernetes %s, context %s\n", st.Name, ready, st.Version, st.Context)
	rows := [][]string{{"COMPONENT", "STATE", "PID", "RESTARTS", "MEMORY", "LAST ERROR"}}
	var sum int64
	for _, c := range st.Components {
		sum += c.RSSBytes
		rows = append(rows, []string{c.Name, c.State, fmt.Sprint(c.PID), fmt.Sprint(c.Restarts), mebi(c.RSSBytes), c.LastError})
	}
	a.term.Table(append(rows, []string{"total", "", "", "", mebi(sum), ""})...)
	return nil
}

func mebi(bytes int64) string { return fmt.Sprintf("%d MiB", bytes>>20) }

func (a *command) printStatus(st model.Status) {
	now := time.Now()
	a.term.Printf("dashboard   %s\nrepository  %s\n", st.Dashboard, st.Repository)
	a.printForge(st.Forge, now)
	for _, p := range st.Problems {
		a.term.Printf("%s %s\n", a.term.Bad("problem:"), p)
	}
	for _, e := range st.Environments {
		a.term.Printf("\n%s  branch %s at %s %s\n", a.term.Strong(e.Name), e.Branch, short(e.Commit), a.term.Faint(e.Subject))
		if e.Active != nil {
			a.term.Printf("  run %s: %s of %s, created %s ago\n", e.Active.ID, e.Active.Kind, short(e.Active.Commit), term.Ago(now, e.Active.Created))
		}
		rows := [][]string{{"  HUB", "STATE", "REVISION", "COMMIT", "UPDATED", "EVIDENCE", "URL"}}
		for _, r := range e.Releases {
			rows = append(rows, []string{"  " + r.Observed.Target.Hub, a.releaseState(r), fmt.Sprint(r.Observed.Revision),
				short(r.Observed.Commit), term.Ago(now, r.Observed.Updated), a.evidence(r, now), r.URL})
		}
		a.term.Table(rows...)
		for _, r := range e.Releases {
			if r.Error != "" {
				a.term.Printf("  %s %s: %s\n", a.term.Bad("problem:"), r.Observed.Target, r.Error)
			}
			for _, why := range r.Refused {
				a.term.Printf("  %s %s: %s\n", a.term.Doubt("not trusted:"), r.Observed.Target, why)
			}
			if r.Halt != nil {
				a.term.Printf("  %s %s, %s ago: %s\n", a.term.Bad("halted:"), r.Observed.Target, term.Ago(now, r.Halt.Since), r.Halt.Reason)
				a.term.Printf("    %s\n", a.term.Faint(fmt.Sprintf("merge a fix or a revert, or clear it: hubship resume --env %s --hub %s", e.Name, r.Observed.Target.Hub)))
			}
			for _, w := range r.Observed.Waiting {
				a.term.Printf("  %s %s\n", a.term.Doubt("waiting:"), w)
			}
		}
	}
}

// printForge says how hubship stands with the forge.
func (a *command) printForge(f *model.ForgeStatus, now time.Time) {
	if f == nil {
		return
	}
	what := "not read yet"
	if !f.Polled.IsZero() {
		what = fmt.Sprintf("%d open", f.Open)
		if f.Waiting > 0 {
			what += fmt.Sprintf(", %d waiting", f.Waiting)
		}
		what += " " + a.term.Faint("("+term.Ago(now, f.Polled)+" ago)")
	}
	a.term.Printf("pulls       %s %s\n", f.URL, what)
	if f.Trouble != "" {
		a.term.Printf("%s the forge cannot be read: %s\n", a.term.Bad("problem:"), f.Trouble)
	}
}

func (a *command) releaseState(r model.ReleaseStatus) string {
	switch {
	case r.Error != "":
		return a.term.Bad("unknown")
	case r.Halt != nil:
		return a.term.Bad("halted")
	case r.Observed.Status == model.Absent:
		return a.term.Doubt("absent")
	case r.Observed.Status != model.Deployed:
		return a.term.Bad(string(r.Observed.Status))
	case !r.InSync:
		return a.term.Doubt("behind")
	case !r.Observed.Ready:
		return a.term.Doubt("not ready")
	default:
		return a.term.Good("ok")
	}
}

func (a *command) evidence(r model.ReleaseStatus, now time.Time) string {
	if r.Evidence == nil {
		return a.term.Faint("none")
	}
	return a.term.Good("passed") + " " + term.Ago(now, r.Evidence.Verified.Finished) + " ago"
}
