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
		Short: "Write a starter deployment repository",
		Long: `Init writes a deployment repository to start from: hubship.yaml, a hub chart,
images and one hub with a staging and a prod environment. Its secrets are
encrypted for an age key, and contain a newly generated password.

Key and password are those of the installation in --data if there is one;
otherwise they are written beside DIR. Never commit the key to Git.`,
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
			a.term.Printf("deployment repository: %s\nkey to its secrets: %s (keep it safe, and out of Git)\nits hubs' password: in %s\n", dir, key, password)
			return nil
		},
	}
	cmd.Flags().StringVar(&key, "age-key", "", "file with the age identity to encrypt for; created if it does not exist")
	cmd.Flags().StringVar(&password, "password-file", "", "file with the hubs' password; created if it does not exist")
	return cmd
}
