package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/attest"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/term"
)

func (a *command) keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Manage the keys that sign evidence and provenance",
		Long: `Key manages the installation's signing keys: ed25519, in the folder signing-keys
in the data directory, readable only by their owner. The server creates the first
one when it first starts. The newest key signs; every key in the folder is
trusted.

After a rotation the old key is still trusted, until it is removed. Then anything
signed only with that key no longer counts: releases are verified again, and
images rebuilt.`,
		Example: `  hubship key list
  hubship key rotate
  hubship key export > hubship.pub`,
		Args: subcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.keyListCommand(), a.keyRotateCommand(), a.keyRemoveCommand(), a.keyExportCommand())
	return cmd
}

// signingKey is a key as the command prints it.
type signingKey struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Signs   bool      `json:"signs"` // it is the newest
	PEM     string    `json:"pem"`   // the public key
}

func describeKey(k attest.Public, signs bool) (signingKey, error) {
	pem, err := k.PEM()
	return signingKey{ID: k.ID, Created: k.Created, Signs: signs, PEM: string(pem)}, err
}

func (a *command) signingKeys() (*attest.Folder, error) {
	return attest.FindFolder(install.At(a.data).SigningKeys)
}

func (a *command) keyListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the signing keys, newest first",
		Long:  `List shows the keys whose signatures are trusted, newest first.`,
		Args:  args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			keys, err := a.signingKeys()
			if err != nil {
				return err
			}
			public, err := keys.Public()
			if err != nil {
				return err
			}
			list := make([]signingKey, 0, len(public))
			rows := [][]string{{"KEY", "CREATED", "SIGNS"}}
			for i, k := range public {
				one, err := describeKey(k, i == 0)
				if err != nil {
					return err
				}
				list = append(list, one)
				signs := a.term.Faint("no, only trusted")
				if one.Signs {
					signs = a.term.Good("yes")
				}
				rows = append(rows, []string{short(k.ID), term.Ago(time.Now(), k.Created) + " ago", signs})
			}
			if a.term.JSONOutput() {
				return a.term.JSON(list)
			}
			a.term.Table(rows...)
			return nil
		},
	}
}

func (a *command) keyRotateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rotate",
		Short: "Create a new key, which signs from now on",
		Long: `Rotate creates a new key, which signs from now on, also in a running server. The
other keys are trusted until they are removed.`,
		Args: args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			keys, err := a.signingKeys()
			if err != nil {
				return err
			}
			made, err := keys.Rotate()
			if err != nil {
				return err
			}
			return a.printKey(made, true, "key %s signs from now on\n")
		},
	}
}

func (a *command) keyRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "remove KEY",
		Short: "Stop trusting a key",
		Long: `Remove deletes a key, named by its ID or the beginning of it. What it has signed
no longer counts, and the key cannot be restored. The newest key cannot be
removed: create another one first.`,
		Example: `  hubship key rotate && hubship key remove 3f9a`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			keys, err := a.signingKeys()
			if err != nil {
				return err
			}
			gone, err := keys.Remove(given[0])
			if err != nil {
				return err
			}
			return a.printKey(gone, false, "removed key %s: what it signed is no longer trusted\n")
		},
		ValidArgsFunction: a.completeKeys,
	}
}

func (a *command) keyExportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "export [KEY]",
		Short: "Print a public key",
		Long: `Export prints a public key as PEM, for "hubship evidence verify", for cosign or
for OpenSSL; by default the newest. A private key is never printed.`,
		Example: `  hubship key export > hubship.pub`,
		Args:    args(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			keys, err := a.signingKeys()
			if err != nil {
				return err
			}
			id := ""
			if len(given) > 0 {
				id = given[0]
			}
			newest, err := keys.Find("")
			if err != nil {
				return err
			}
			key, err := keys.Find(id)
			if err != nil {
				return err
			}
			one, err := describeKey(key, key.ID == newest.ID)
			if err != nil {
				return err
			}
			if a.term.JSONOutput() {
				return a.term.JSON(one)
			}
			a.term.Printf("%s", one.PEM)
			return nil
		},
		ValidArgsFunction: a.completeKeys,
	}
}

func (a *command) printKey(k attest.Public, signs bool, text string) error {
	one, err := describeKey(k, signs)
	if err != nil {
		return err
	}
	if a.term.JSONOutput() {
		return a.term.JSON(one)
	}
	a.term.Printf(text, short(k.ID))
	return nil
}

func (a *command) completeKeys(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	keys, err := a.signingKeys()
	if err != nil || len(given) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	public, _ := keys.Public()
	var ids []string
	for _, k := range public {
		ids = append(ids, k.ID)
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}
