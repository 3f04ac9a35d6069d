package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/node"
	"github.com/hubship/hubship/internal/proc"
)

func (a *command) downCommand() *cobra.Command {
	var purge, yes bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop the installation, or remove it",
		Long: `Down stops the server and then the embedded node in good order; hubs, users'
files and history stay and come back with the next up. With --purge everything
is removed from the machine: processes, mounts, network, names in /etc/hosts, and
all data, users' files included. Releases in an existing cluster are left as they
are.`,
		Example: `  hubship down
  hubship down --purge --yes`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := install.Load(a.data)
			if err != nil {
				return err
			}
			if purge && !yes {
				ok, err := a.term.Confirm(fmt.Sprintf("This removes the installation %s and all data in %s, the files of its users included.", s.Name, a.data))
				if err != nil {
					return model.Usage(fmt.Errorf("remove all data: %w", err), "add --yes to purge without a question")
				}
				if !ok {
					return errors.New("nothing was removed")
				}
			}
			return a.down(cmd.Context(), s, purge)
		},
	}
	cmd.Flags().BoolVar(&purge, "purge", false, "also remove all data and everything else of the installation")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask before a purge")
	return cmd
}

func (a *command) down(ctx context.Context, s install.Settings, purge bool) error {
	if err := a.downServer(ctx); err != nil {
		return err
	}
	if s.Node != nil {
		if err := a.downNode(ctx, s, purge); err != nil {
			return err
		}
	}
	if left := leftovers(s, a.data); len(left) > 0 {
		return model.WithHint(fmt.Errorf("left behind:\n%s", strings.Join(left, "\n")),
			"`hubship down --purge` removes by force what belongs to the embedded node")
	}
	word := "stopped"
	if purge {
		if err := install.SetHosts(install.HostsFile, s.Name, nil); err != nil {
			return err
		}
		phase := a.term.Phase("remove the data")
		if err := removeData(a.data); err != nil {
			phase.Fail("")
			return err
		}
		phase.Done(a.data)
		word = "removed"
	}
	if a.term.JSONOutput() {
		return a.term.JSON(map[string]string{"name": s.Name, "data": a.data, "state": word})
	}
	a.term.Printf("hubship (installation %s in %s) is %s\n", s.Name, a.data, word)
	return nil
}

func (a *command) downServer(ctx context.Context) error {
	rec, ok := proc.Read(install.At(a.data).ServerPID)
	if !ok {
		return nil
	}
	phase := a.term.Phase("stop hubship's server")
	if err := rec.Stop(ctx, 40*time.Second); err != nil {
		phase.Fail("")
		return fmt.Errorf("stop hubship's server: %w", err)
	}
	phase.Done("")
	return nil
}

func (a *command) downNode(ctx context.Context, s install.Settings, purge bool) error {
	l, err := node.Find(s, a.data)
	if err != nil {
		return err
	}
	phase := a.term.Phase("stop the embedded node")
	err = l.Stop(ctx, func(st node.Status) { phase.Detail("%s", stopDetail(st)) })
	if err != nil && !purge {
		phase.Fail("")
		return err
	}
	phase.Done("")
	if !purge {
		return nil
	}
	phase = a.term.Phase("remove the embedded node")
	if err := l.Purge(ctx); err != nil {
		phase.Fail("")
		return err
	}
	phase.Done("")
	return nil
}

// stopDetail names what still runs of a node that stops.
func stopDetail(st node.Status) string {
	var left []string
	for _, c := range st.Components {
		if c.PID != 0 {
			left = append(left, c.Name)
		}
	}
	return "still there: " + strings.Join(left, ", ")
}

// leftovers lists what of the installation is on the machine although it was
// stopped: mounts, and processes whose command line names its folders. They
// are listed only; nothing is ended by what its command line looks like.
func leftovers(s install.Settings, data string) []string {
	var left []string
	folders := []string{install.At(data).NodeData, s.RunDir()}
	within := func(path string) bool {
		for _, f := range folders {
			if path == f || strings.HasPrefix(path, f+"/") {
				return true
			}
		}
		return false
	}
	if raw, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		for line := range strings.Lines(string(raw)) {
			if f := strings.Fields(line); len(f) > 4 && within(f[4]) {
				left = append(left, "mount "+f[4])
			}
		}
	}
	cmdlines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range cmdlines {
		raw, err := os.ReadFile(file)
		if err != nil || filepath.Base(filepath.Dir(file)) == fmt.Sprint(os.Getpid()) {
			continue
		}
		argv := strings.Split(strings.TrimRight(string(raw), "\x00"), "\x00")
		for _, arg := range argv {
			_, value, _ := strings.Cut(arg, "=")
			if within(arg) || within(value) {
				left = append(left, fmt.Sprintf("process %s (%s)", filepath.Base(filepath.Dir(file)), filepath.Base(argv[0])))
				break
			}
		}
	}
	return left
}

// removeData removes the data directory. It must be one of an installation,
// so that a wrong --data never removes anything else; the file that tells is
// removed last, so that it can be run again.
func removeData(data string) error {
	paths := install.At(data)
	if _, err := os.Stat(paths.Settings); err != nil {
		return fmt.Errorf("%s holds no installation: %w", data, err)
	}
	entries, err := os.ReadDir(data)
	if err != nil {
		return fmt.Errorf("remove the data: %w", err)
	}
	for _, e := range entries {
		if path := filepath.Join(data, e.Name()); path != paths.Settings {
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("remove the data: %w", err)
			}
		}
	}
	if err := os.RemoveAll(data); err != nil {
		return fmt.Errorf("remove the data: %w", err)
	}
	return nil
}
