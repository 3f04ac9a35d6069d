// Package cli is the command line: it parses, asks the server or the engine,
// and prints. One file holds one command.
//
// Results go to standard output and progress to standard error. The exit code
// is 0 when done, 1 when something failed, 2 for a wrong use and 3 when a gate
// refused.
package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/term"
)

// Version of the program, stamped when it is built.
var Version = "dev"

// command is what every command shares.
type command struct {
	streams term.Streams
	term    *term.Term

	data    string
	output  string
	quiet   bool
	noColor bool
}

// Run runs the command line and returns the exit code. It is the whole
// program: it reads no other standard streams than those given.
func Run(ctx context.Context, streams term.Streams, args []string) int {
	a := &command{streams: streams, term: term.New(streams, term.Options{})}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(streams.In)
	root.SetOut(streams.Out)
	root.SetErr(streams.Err)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return model.ExitDone
	}
	return a.term.Error("hubship", asUsage(err))
}

// root assembles the commands.
func (a *command) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "hubship",
		Short: "Ship changes to JupyterHubs, staging first",
		Long: `hubship ships changes to JupyterHubs, staging first: a change is built and
tried out before it is merged, deployed to staging and tested there the way a user
would; only what passed there can be promoted to prod.

Exit codes: 0 done, 1 failed, 2 usage error, 3 refused by a gate.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.setUp(cmd) },
	}
	version := root.Flags().Bool("version", false, "print the version")
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		if *version {
			return a.printVersion()
		}
		return cmd.Help()
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return model.Usage(err, fmt.Sprintf("see `%s --help`", cmd.CommandPath()))
	})
	data := os.Getenv("HUBSHIP_DATA")
	if data == "" {
		data = install.DefaultData
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.data, "data", data, "data directory of the installation (environment HUBSHIP_DATA)")
	flags.StringVarP(&a.output, "output", "o", "text", "output format: text or json; for a plan also markdown or html")
	flags.BoolVar(&a.quiet, "quiet", false, "print no progress on standard error")
	flags.BoolVar(&a.noColor, "no-color", false, "use no colours (environment NO_COLOR)")
	_ = root.MarkPersistentFlagDirname("data")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(planFormats, cobra.ShellCompDirectiveNoFileComp))

	const around, process, inside = "around", "process", "inside"
	root.AddGroup(
		&cobra.Group{ID: around, Title: "Installation:"},
		&cobra.Group{ID: process, Title: "Process:"},
		&cobra.Group{ID: inside, Title: "Other:"},
	)
	add := func(group string, cmds ...*cobra.Command) {
		for _, c := range cmds {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(around, a.upCommand(), a.downCommand(), a.statusCommand(), a.demoCommand(), a.initCommand(), a.kubeconfigCommand())
	add(process, a.planCommand(), a.renderCommand(), a.deployCommand(), a.verifyCommand(), a.promoteCommand(), a.revertCommand(), a.rollbackCommand(), a.resumeCommand(),
		a.cancelCommand(), a.historyCommand(), a.logsCommand())
	add(inside, a.serveCommand(), a.schemaCommand(), a.versionCommand())
	add(around, a.accountCommand(), a.clusterCommand(), a.keyCommand())
	add(process, a.evidenceCommand())
	root.SetHelpCommandGroupID(inside)
	root.SetCompletionCommandGroupID(inside)
	return root
}

// outputsKey is the annotation of a command that prints in other formats than
// text and JSON: it lists all of them.
const outputsKey = "hubship.io/outputs"

// setUp applies the global options.
func (a *command) setUp(cmd *cobra.Command) error {
	formats := []string{"text", "json"}
	if more := cmd.Annotations[outputsKey]; more != "" {
		formats = strings.Fields(more)
	}
	if !slices.Contains(formats, a.output) {
		return model.Usage(fmt.Errorf("--output %q is not one of %s", a.output, strings.Join(formats, ", ")), "use -o json or omit it")
	}
	abs, err := filepath.Abs(a.data)
	if err != nil {
		return model.Usage(fmt.Errorf("--data %q: %w", a.data, err), "name a directory")
	}
	a.data = abs
	a.term = term.New(a.streams, term.Options{JSON: a.output == "json", Quiet: a.quiet, NoColor: a.noColor})
	return nil
}

// args makes a wrong number of arguments a wrong use.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := check(cmd, given); err != nil {
			return model.Usage(err, fmt.Sprintf("see `%s --help`", cmd.CommandPath()))
		}
		return nil
	}
}

// required returns an error that names every option left empty.
func required(cmd *cobra.Command, names ...string) error {
	var missing []string
	for _, n := range names {
		if cmd.Flags().Lookup(n).Value.String() == "" {
			missing = append(missing, "--"+n)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return model.Usage(fmt.Errorf("%s: %s must be given", cmd.CommandPath(), strings.Join(missing, " and ")),
		fmt.Sprintf("see `%s --help`; `hubship status` lists environments and hubs", cmd.CommandPath()))
}

// asUsage marks what only the command line parser reports by text.
func asUsage(err error) error {
	var known *model.Error
	if errors.As(err, &known) {
		return err
	}
	if text := err.Error(); strings.HasPrefix(text, "unknown command") || strings.HasPrefix(text, "if any flags in the group") {
		return model.Usage(err, "see `hubship --help`")
	}
	return err
}

// caller names who runs the command, for the history.
func caller() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", os.Getuid())
}

// short is a commit as people read it.
func short(commit string) string { return commit[:min(len(commit), 10)] }
