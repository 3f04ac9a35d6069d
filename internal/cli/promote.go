package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/model"
)

func (a *command) promoteCommand() *cobra.Command {
	var req model.PromoteRequest
	var detach bool
	cmd := &cobra.Command{
		Use:   "promote [--env ENVIRONMENT] [--hub HUB]...",
		Short: "Promote what passed on staging to prod",
		Long: `Promote merges the pull request from one environment's branch into the next
one's, as the Merge button at the forge does; this deploys and verifies it there.
It is refused, with the reason, unless every hub that the merge changes has
evidence that the same inputs passed verification in the previous environment.

It reads the forge first, even with --dry-run, and fails if the forge cannot be
read.`,
		Example: `  hubship promote --dry-run
  hubship promote
  hubship promote --env prod --hub datahub`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			req.By = caller()
			if err := a.announcePromotion(cmd, req); err != nil {
				return err
			}
			p, err := a.server().Promote(ctx, req)
			if err != nil && p.Into == "" {
				return err
			}
			if err != nil || p.Refused != "" {
				return errors.Join(a.printPromotion(p, req.DryRun), refused(p, err))
			}
			if p.Run != nil && !detach {
				run, err := a.follow(ctx, p.Run.ID)
				if err != nil {
					return err
				}
				p.Run = &run
			}
			if err := a.printPromotion(p, req.DryRun); err != nil {
				return err
			}
			if p.Run != nil && p.Run.State.Final() {
				if err := outcome(*p.Run); err != nil {
					return err
				}
				a.term.Note("%s", a.term.Green(fmt.Sprintf("🎉 %s runs what %s proved. Celebrate!", p.Into, p.From)))
			}
			return nil
		},
	}
	a.envFlag(cmd, &req.Environment, "environment to promote into (default: the only one that comes after another)")
	a.hubsFlag(cmd, &req.Hubs)
	cmd.Flags().BoolVar(&req.DryRun, "dry-run", false, "only print what would happen")
	detachFlag(cmd, &detach)
	return cmd
}

// refused is the error of a promotion that did not happen. That there was
// nothing to promote is none.
func refused(p model.Promotion, err error) error {
	switch {
	case err != nil:
		return err
	case len(p.Commits) == 0:
		return nil
	default:
		return model.RefusedBy(fmt.Errorf("promotion from %s into %s refused: %s", p.From, p.Into, p.Refused),
			fmt.Sprintf("`hubship status` shows evidence and halts; `hubship history --env %s` shows what was tried", p.From))
	}
}

// announcePromotion names the releases that a promotion writes to.
func (a *command) announcePromotion(cmd *cobra.Command, req model.PromoteRequest) error {
	verb := "promote into"
	if req.DryRun {
		verb = "check a promotion into"
	}
	if req.Environment != "" {
		return a.announce(cmd.Context(), verb, req.Environment, req.Hubs)
	}
	st, err := a.server().Status(cmd.Context())
	if err != nil {
		return err
	}
	var after []string
	for _, e := range st.Environments {
		if e.After != "" {
			after = append(after, e.Name)
		}
	}
	switch len(after) {
	case 0:
		return errors.New("no environment comes after another, so there is none to promote into")
	case 1:
		return a.announce(cmd.Context(), verb, after[0], req.Hubs)
	default:
		return model.Usage(fmt.Errorf("several environments come after another: %v", after), "choose one with --env")
	}
}

func (a *command) printPromotion(p model.Promotion, dry bool) error {
	if a.term.JSONOutput() {
		return a.term.JSON(p)
	}
	switch {
	case p.Refused != "" && len(p.Commits) == 0:
		a.term.Printf("promotion from %s into %s: nothing to do: %s\n", p.From, p.Into, p.Refused)
	case p.Refused != "":
		a.term.Printf("promotion of %s from %s into %s: %s\n", short(p.Head), p.From, p.Into, a.term.Bad("refused"))
	case p.Merge != "" && p.Pull != 0:
		a.term.Printf("promotion of %s from %s into %s: pull request #%d merged as %s\n", short(p.Head), p.From, p.Into, p.Pull, short(p.Merge))
	case p.Merge != "":
		a.term.Printf("promotion of %s from %s into %s: merged as %s\n", short(p.Head), p.From, p.Into, short(p.Merge))
	case dry:
		a.term.Printf("promotion of %s from %s into %s: %s\n", short(p.Head), p.From, p.Into, a.term.Good("would be merged"))
	default:
		a.term.Printf("promotion of %s from %s into %s: nothing to do\n", short(p.Head), p.From, p.Into)
	}
	for _, c := range p.Commits {
		a.term.Printf("  %s\n", c)
	}
	for _, h := range p.Hubs {
		word := a.term.Good("allowed")
		if !h.Allowed {
			word = a.term.Bad("held back")
		}
		a.term.Printf("  hub %s: %s\n", h.Hub, word)
		for _, r := range h.Reasons {
			a.term.Printf("    %s\n", r)
		}
		if h.Proof != nil {
			a.term.Printf("    %s\n", a.term.Faint(fmt.Sprintf("verified in %s at %s by run %s", h.Proof.Environment, short(h.Proof.Commit), h.Proof.Run)))
		}
	}
	if p.Run != nil {
		return a.printRun(*p.Run)
	}
	return nil
}
