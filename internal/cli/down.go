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

	"github.com/hubship/hubship/internal/devforge"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/node"
	"github.com/hubship/hubship/internal/proc"
	"github.com/hubship/hubship/internal/term"
)

func (a *command) downCommand() *cobra.Command {
	var purge, yes bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop the installation, or remove it",
		Long: `Down stops the server, the embedded forge and the embedded node cleanly; hubs,
users' files and history stay, and come back with the next up. With --purge it
removes everything from the machine: processes, mounts, network, names in
/etc/hosts, and all data, including users' files. Releases in an existing cluster
are left as they are.`,
		Example: `  hubship down
  hubship down --purge --yes`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := install.Load(a.data)
			if err != nil {
				return err
			}
			if purge && !yes {
				ok, err := a.term.Confirm(fmt.Sprintf("This removes the installation %s and all data in %s, including its users' files.", s.Name, a.data))
				if err != nil {
					return model.Usage(fmt.Errorf("remove all data: %w", err), "add --yes to purge without confirmation")
				}
				if !ok {
					return errors.New("nothing was removed")
				}
			}
			return a.down(cmd.Context(), s, purge)
		},
	}
	cmd.Flags().BoolVar(&purge, "purge", false, "also remove all data and everything else that belongs to the installation")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask for confirmation before a purge")
	return cmd
}

func (a *command) down(ctx context.Context, s install.Settings, purge bool) error {
	if err := a.downServer(ctx); err != nil {
		return err
	}
	if err := a.downForge(ctx); err != nil {
		return err
	}
	if s.Node != nil {
		if err := a.downNode(ctx, s, purge); err != nil {
			return err
		}
	}
	if left := leftovers(s, a.data); len(left) > 0 {
		return model.WithHint(fmt.Errorf("left behind:\n%s", strings.Join(left, "\n")),
			"`hubship down --purge` forcibly removes what belongs to the embedded node")
	}
	word := "stopped"
	if purge {
		if err := install.SetHosts(install.HostsFile, s.Name, nil); err != nil {
			return err
		}
		phase := a.term.Phase("remove the data")
		told := tell(phase, removed(a.data))
		err := removeData(a.data)
		told()
		if err != nil {
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
	told := tell(phase, func() string { return "waiting for it to end" })
	err := rec.Stop(ctx, 40*time.Second)
	told()
	if err != nil {
		phase.Fail("")
		return fmt.Errorf("stop hubship's server: %w", err)
	}
	phase.Done("")
	return nil
}

// downForge ends the embedded forge after the server, which would start it again.
func (a *command) downForge(ctx context.Context) error {
	l := devforge.New(install.At(a.data), "", "", nil)
	if _, ok := l.Running(ctx); !ok {
		return nil
	}
	phase := a.term.Phase("stop the embedded forge")
	told := tell(phase, func() string { return "waiting for it to end" })
	err := l.Stop(ctx)
	told()
	if err != nil {
		phase.Fail("")
		return err
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
	told := tell(phase, removed(a.data))
	err = l.Purge(ctx)
	told()
	if err != nil {
		phase.Fail("")
		return err
	}
	phase.Done("")
	return nil
}

// tell says every second what a phase is at, until the function that it returns
// is called.
func tell(phase *term.Phase, what func() string) (stop func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				phase.Detail("%s", what())
			}
		}
	}()
	return func() { close(done) }
}

// removed says how far the removal of a directory is, by what it has freed.
func removed(dir string) func() string {
	before, at, err := freeDisk(dir)
	return func() string {
		now, still, again := freeDisk(dir)
		if err != nil || again != nil || still != at || now < before+100<<20 {
			return "removing files"
		}
		return gibi(now-before) + " freed so far"
	}
}

// stopDetail names what still runs of a node that stops.
func stopDetail(st node.Status) string {
	var left []string
	for _, c := range st.Components {
		if c.PID != 0 {
			left = append(left, c.Name)
		}
	}
	return "still running: " + strings.Join(left, ", ")
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
		return fmt.Errorf("%s does not contain an installation: %w", data, err)
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
