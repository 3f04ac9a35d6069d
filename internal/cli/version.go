package cli

import (
	"runtime"

	"github.com/spf13/cobra"
)

func (a *command) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  args(cobra.NoArgs),
		RunE:  func(*cobra.Command, []string) error { return a.printVersion() },
	}
}

// printVersion is `hubship version`, and `hubship --version`.
func (a *command) printVersion() error {
	if a.term.JSONOutput() {
		return a.term.JSON(map[string]string{"version": Version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
	}
	a.term.Printf("hubship %s (%s, %s/%s)\n", Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
