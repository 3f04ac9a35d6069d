package cli

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/bootstrap"
	"github.com/hubship/hubship/internal/install"
)

func (a *command) initCommand() *cobra.Command {
	var key, password string
	cmd := &cobra.Command{
		Use:   "init DIR",
		Short: "Write out the starter deployment repository",
		Long: `Init writes a deployment repository to start from: hubship.yaml, a hub chart,
images and one hub with a staging and a prod environment. Its secrets are
encrypted for an age key, and hold a password that is generated now.

Key and password are those of the installation in --data if there is one,
otherwise they are written beside DIR; the key never belongs into Git.`,
		Example: `  hubship init my-hubs && cd my-hubs && git init -b staging && git add . && git commit -m Start`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			dir, err := filepath.Abs(given[0])
			if err != nil {
				return err
			}
			paths := install.At(a.data)
			if key == "" {
				key, password = dir+".age-key", dir+".password"
				if _, err := os.Stat(paths.AgeKey); err == nil {
					key, password = paths.AgeKey, paths.Password
				}
			}
			if password == "" {
				password = dir + ".password"
			}
			if err := bootstrap.Write(dir, key, password); err != nil {
				return err
			}
			if a.term.JSONOutput() {
				return a.term.JSON(map[string]string{"dir": dir, "ageKey": key, "password": password})
			}
			a.term.Printf("deployment repository: %s\nkey that opens its secrets: %s (keep it, and out of Git)\npassword of its hubs: in %s\n", dir, key, password)
			return nil
		},
	}
	cmd.Flags().StringVar(&key, "age-key", "", "file of the age identity to encrypt for; made if it does not exist")
	cmd.Flags().StringVar(&password, "password-file", "", "file of the hubs' password; made if it does not exist")
	return cmd
}
