package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/term"
)

func (a *command) accountCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "account",
		Short: "Manage the embedded forge's accounts, roles, passwords and tokens",
		Long: `Account manages the accounts of the embedded forge, through the running server's
socket: only people who may run hubship on this machine can do this. If the forge
is GitHub, manage people and permissions there.

Contributors can read, fork, propose changes and comment. Reviewers can also push
to unprotected branches, give reviews that count, let the checks of first-time
contributors run, and merge. Maintainers can also protect branches and set
webhooks.`,
		Example: `  hubship account add rita --role reviewer
  hubship account token rita
  hubship account list`,
		Args: subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.accountAddCommand(), a.accountListCommand(), a.accountTokenCommand(), a.accountPasswordCommand(),
		a.accountRoleCommand(), a.accountDisableCommand(), a.accountEnableCommand())
	return cmd
}

// subcommand refuses what is no command below this one.
func subcommand(cmd *cobra.Command, given []string) error {
	if len(given) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	return model.Usage(fmt.Errorf("unknown command %q for %q: expected one of %v", given[0], cmd.CommandPath(), names), fmt.Sprintf("see `%s --help`", cmd.CommandPath()))
}

func (a *command) accountAddCommand() *cobra.Command {
	n := model.NewAccount{Role: model.RoleContributor}
	var file string
	cmd := &cobra.Command{
		Use:   "add LOGIN [--role ROLE]",
		Short: "Create an account",
		Long: `Add creates an account. Without --password-file it generates a password and
prints it, only this once: hubship stores only a hash.`,
		Example: `  hubship account add carl
  hubship account add rita --name "Rita Lin" --role reviewer
  hubship account add mia --role maintainer --password-file mia.txt`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			n.Login = given[0]
			if !slices.Contains(model.AccountRoles, n.Role) {
				return unknownRole(n.Role)
			}
			password, generated, err := a.choosePassword(file)
			if err != nil {
				return err
			}
			n.Password = password
			made, err := a.server().AddAccount(cmd.Context(), n)
			if err != nil {
				return err
			}
			a.term.Note("added account %s as %s", a.term.Bold(made.Login), made.Role)
			return a.handOut(made, generated)
		},
	}
	cmd.Flags().StringVar(&n.Role, "role", n.Role, "contributor, reviewer or maintainer")
	cmd.Flags().StringVar(&n.Name, "name", "", "name shown in commits and on pages (default: the login)")
	passwordFlag(cmd, &file)
	_ = cmd.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(model.AccountRoles, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func unknownRole(role string) error {
	return model.Usage(fmt.Errorf("%q is not a role", role), "use contributor, reviewer or maintainer")
}

func (a *command) accountListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the accounts",
		Example: `  hubship account list
  hubship account list -o json`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := a.server().Accounts(cmd.Context())
			if err != nil {
				return err
			}
			if a.term.JSONOutput() {
				return a.term.JSON(all)
			}
			rows := [][]string{{"LOGIN", "NAME", "ROLE", "STATE", "ADDED"}}
			now := time.Now()
			for _, one := range all {
				role, state := one.Role, a.term.Good("active")
				if one.Organization {
					role = a.term.Faint("organization")
				}
				if one.Disabled {
					state = a.term.Doubt("disabled")
				}
				rows = append(rows, []string{one.Login, one.Name, role, state, term.Ago(now, one.Created) + " ago"})
			}
			a.term.Table(rows...)
			return nil
		},
	}
}

func (a *command) accountPasswordCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "password LOGIN",
		Short: "Replace an account's password",
		Long: `Password replaces an account's password with the one in a file, or with a
generated one, which is printed only this once.`,
		Example: `  hubship account password carl
  hubship account password carl --password-file - < carl.txt`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			password, generated, err := a.choosePassword(file)
			if err != nil {
				return err
			}
			if err := a.server().SetAccountPassword(cmd.Context(), given[0], password); err != nil {
				return err
			}
			a.term.Note("account %s has a new password", a.term.Bold(given[0]))
			if generated == "" && !a.term.JSONOutput() {
				return nil
			}
			return a.handOut(model.Account{Login: given[0]}, generated)
		},
	}
	passwordFlag(cmd, &file)
	cmd.ValidArgsFunction = a.completeLogins
	return cmd
}

func (a *command) accountRoleCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "role LOGIN ROLE",
		Short:   "Change an account's role",
		Example: `  hubship account role carl reviewer`,
		Args:    args(cobra.ExactArgs(2)),
		ValidArgsFunction: func(cmd *cobra.Command, given []string, text string) ([]string, cobra.ShellCompDirective) {
			if len(given) == 1 {
				return model.AccountRoles, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeLogins(cmd, given, text)
		},
		RunE: func(cmd *cobra.Command, given []string) error {
			if !slices.Contains(model.AccountRoles, given[1]) {
				return unknownRole(given[1])
			}
			return a.changed(a.server().SetAccountRole(cmd.Context(), given[0], given[1]))
		},
	}
}

func (a *command) accountDisableCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "disable LOGIN",
		Aliases: []string{"remove"},
		Short:   "Disable an account, at once",
		Long: `Disable locks an account: its password and its tokens stop working at once.
Everything it wrote stays, under its name, which nobody else can take.`,
		Example:           `  hubship account disable carl`,
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeLogins,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.changed(a.server().SetAccountDisabled(cmd.Context(), given[0], true))
		},
	}
}

func (a *command) accountEnableCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "enable LOGIN",
		Short:             "Enable a disabled account",
		Example:           `  hubship account enable carl`,
		Args:              args(cobra.ExactArgs(1)),
		ValidArgsFunction: a.completeLogins,
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.changed(a.server().SetAccountDisabled(cmd.Context(), given[0], false))
		},
	}
}

// changed prints an account as it is now.
func (a *command) changed(one model.Account, err error) error {
	if err != nil {
		return err
	}
	if a.term.JSONOutput() {
		return a.term.JSON(one)
	}
	state := one.Role
	if one.Disabled {
		state += ", disabled"
	}
	a.term.Printf("%s: %s\n", one.Login, state)
	return nil
}

// completeLogins completes the login of somebody, if a server answers soon.
func (a *command) completeLogins(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
	defer cancel()
	all, err := a.server().Accounts(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var logins []string
	for _, one := range all {
		if !one.Organization {
			logins = append(logins, one.Login)
		}
	}
	return logins, cobra.ShellCompDirectiveNoFileComp
}
