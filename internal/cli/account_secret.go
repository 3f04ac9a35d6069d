package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/model"
)

// maxPasswordFile bounds what is read as a password, in bytes.
const maxPasswordFile = 4 << 10

func passwordFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "password-file", "", "file with the password, - for standard input (default: one is generated)")
	_ = cmd.MarkFlagFilename("password-file")
}

// choosePassword returns the password of a file, or a new one, which is
// generated then. No password is ever an argument: others on the machine can
// read those.
func (a *command) choosePassword(file string) (password, generated string, err error) {
	if file == "" {
		generated = rand.Text()[:24]
		return generated, generated, nil
	}
	in := io.Reader(a.streams.In)
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", "", model.Usage(fmt.Errorf("read the password: %w", err), "name a file that contains only the password")
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxPasswordFile))
	if err != nil {
		return "", "", fmt.Errorf("read the password: %w", err)
	}
	password = strings.TrimRight(string(raw), "\r\n")
	if password == "" {
		return "", "", model.Usage(errors.New("the password file is empty"), "write the password to it, or omit --password-file")
	}
	a.term.Hide(password)
	return password, "", nil
}

// handOut prints an account, and a generated password, which stands alone on
// standard output for scripts.
func (a *command) handOut(one model.Account, generated string) error {
	if a.term.JSONOutput() {
		return a.term.JSON(struct {
			Login    string `json:"login"`
			Role     string `json:"role,omitempty"`
			Password string `json:"password,omitempty"` // when it was generated
		}{one.Login, one.Role, generated})
	}
	if generated != "" {
		a.term.Note("its password (it is not shown again):")
		a.term.Reveal("%s\n", generated)
	}
	return nil
}

// tokenScopes are those that tokens of the embedded forge have.
var tokenScopes = []string{"repo", "repo:status", "admin:repo_hook", "read"}

func (a *command) accountTokenCommand() *cobra.Command {
	var scopes []string
	var expires string
	cmd := &cobra.Command{
		Use:   "token LOGIN",
		Short: "Create a token for an account, and print it once",
		Long: `Token creates a token for git and for clients of GitHub's API. It is printed only
this once: hubship stores only a hash. Give it to git as the password; the
account's own password opens only the pages.

Scopes: repo allows everything that the account may do, except webhooks;
repo:status allows reading, and writing statuses; admin:repo_hook allows reading,
and setting webhooks; read allows reading.`,
		Example: `  hubship account token carl
  hubship account token carl --scope read --expires 12h
  hubship account token bot --scope repo:status --expires never`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			lifetime, err := lifetimeOf(expires)
			if err != nil {
				return err
			}
			secret, err := a.server().AccountToken(cmd.Context(), given[0], scopes, lifetime)
			if err != nil {
				return err
			}
			ends := "never expires"
			var at *time.Time
			if lifetime > 0 {
				t := time.Now().UTC().Add(lifetime).Truncate(time.Second)
				at, ends = &t, "expires "+t.Format("2006-01-02 15:04 MST")
			}
			if a.term.JSONOutput() {
				return a.term.JSON(struct {
					Login   string     `json:"login"`
					Scopes  []string   `json:"scopes"`
					Expires *time.Time `json:"expires,omitempty"` // never, without
					Token   string     `json:"token"`
				}{given[0], scopes, at, secret})
			}
			a.term.Note("a token for account %s (it is not shown again); scopes %s; it %s:", a.term.Bold(given[0]), strings.Join(scopes, ", "), ends)
			a.term.Reveal("%s\n", secret)
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&scopes, "scope", []string{"repo"}, "what it may do; can be repeated")
	cmd.Flags().StringVar(&expires, "expires", "90d", "how long it is valid, such as 12h or 30d, or never")
	_ = cmd.RegisterFlagCompletionFunc("scope", cobra.FixedCompletions(tokenScopes, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("expires", cobra.FixedCompletions([]string{"12h", "30d", "90d", "never"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.ValidArgsFunction = a.completeLogins
	return cmd
}

// maxLifetime is the longest that a token is given, if it ends at all.
const maxLifetime = 10 * 365 * 24 * time.Hour

// lifetimeOf reads how long a token works; 0 is for ever.
func lifetimeOf(text string) (time.Duration, error) {
	if text == "never" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n int
		if n, err = strconv.Atoi(days); err == nil && n <= int(maxLifetime/(24*time.Hour)) {
			d = time.Duration(n) * 24 * time.Hour
		}
	}
	if err != nil || d < time.Minute || d > maxLifetime {
		return 0, model.Usage(fmt.Errorf("--expires %q is not a time between 1m and %dd", text, int(maxLifetime/(24*time.Hour))), "use 12h, 90d or never")
	}
	return d, nil
}
