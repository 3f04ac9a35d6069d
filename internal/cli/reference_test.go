package cli

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "regenerate docs/commands.md")

// docs/commands.md is written from the commands themselves, so that the two
// never differ: go test ./internal/cli -run Reference -update
func TestReference(t *testing.T) {
	t.Setenv("HUBSHIP_DATA", "")
	var b strings.Builder
	b.WriteString(referenceHead)
	root := (&command{}).root()
	fmt.Fprintf(&b, "Options of every command:\n\n```\n%s```\n", root.PersistentFlags().FlagUsages())
	for _, group := range root.Groups() {
		fmt.Fprintf(&b, "\n## %s\n", strings.TrimSuffix(group.Title, ":"))
		for _, c := range root.Commands() {
			if c.GroupID == group.ID && c.Name() != "help" && c.Name() != "completion" {
				describe(&b, c, "###")
			}
		}
	}
	file := filepath.Join("..", "..", "docs", "commands.md")
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(raw) != b.String() {
		t.Fatal("docs/commands.md is not what the commands say: go test ./internal/cli -run Reference -update")
	}
}

const referenceHead = `# Commands

Results go to standard output, progress and errors to standard error. With
` + "`-o json`" + ` results are JSON, with the fields of the types in
` + "`internal/model`" + ` (for the demo, ` + "`internal/demo`" + `).

| exit code | meaning |
| --- | --- |
| 0 | done, or nothing to do |
| 1 | failed: a build, an upgrade, a verification, or the command itself |
| 2 | usage error: an unknown option, environment or hub |
| 3 | refused by a gate: no evidence, a halt |

A command that starts a run follows it until it ends. Ctrl-C only ends the output;
the run continues; ` + "`hubship cancel`" + ` ends a run.

`

// describe writes a command, and those below it one heading further down.
func describe(b *strings.Builder, c *cobra.Command, heading string) {
	c.InitDefaultHelpFlag()
	long := c.Long
	if long == "" {
		long = c.Short + "."
	}
	use := c.Parent().CommandPath() + " " + c.Use
	if c.HasSubCommands() {
		use += " COMMAND"
	}
	fmt.Fprintf(b, "\n%s %s\n\n%s\n\n```\n%s\n```\n", heading, c.CommandPath(), long, use)
	if c.Example != "" {
		fmt.Fprintf(b, "\nExamples:\n\n```\n%s\n```\n", strings.TrimSpace(dedent(c.Example)))
	}
	if flags := c.LocalNonPersistentFlags(); flags.HasAvailableFlags() {
		fmt.Fprintf(b, "\nOptions:\n\n```\n%s```\n", flags.FlagUsages())
	}
	for _, below := range c.Commands() {
		describe(b, below, heading+"#")
	}
}

func dedent(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, "  ")
	}
	return strings.Join(lines, "\n")
}
