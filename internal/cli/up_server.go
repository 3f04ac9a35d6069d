package cli

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/hubship/hubship/internal/devforge"
	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/proc"
)

// serverLimit bounds the wait for a server to answer after its start.
const serverLimit = 60 * time.Second

// upServer attaches to the server or starts it. It restarts a server of another
// version, of a program file that has been replaced, or on another port, and one
// whose forge has to be restarted, since the server does that.
func (a *command) upServer(ctx context.Context, s install.Settings, restart bool) error {
	paths := install.At(a.data)
	phase := a.term.Phase("hubship's server")
	if rec, ok := proc.Read(paths.ServerPID); ok {
		why := ""
		switch health, err := a.server().Health(ctx); {
		case restart:
			why = "its settings changed"
		case err != nil:
			why = "it does not answer"
		case health.Version != Version || !sameProgram(rec.PID):
			why = fmt.Sprintf("it has version %s, this is %s", health.Version, Version)
		default:
			if why = a.forgeOutdated(ctx, s); why == "" {
				phase.Done("already running")
				return nil
			}
		}
		phase.Detail("restarting: %s", why)
		if err := rec.Stop(ctx, 30*time.Second); err != nil {
			phase.Fail("")
			return fmt.Errorf("stop hubship's server: %w", err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		phase.Fail("")
		return fmt.Errorf("find hubship's own program: %w", err)
	}
	started, err := proc.Start(paths.ServerLog, self, "serve", "--data", a.data)
	if err != nil {
		phase.Fail("")
		return err
	}
	err = a.waitForServer(ctx, serverLimit, started.Ended(), func() error {
		return fmt.Errorf("hubship's server ended (%w):\n%s", started.Err(), proc.Tail(paths.ServerLog, 15))
	})
	if err != nil {
		phase.Fail("")
		return model.WithHint(err, "the whole log is in "+paths.ServerLog)
	}
	phase.Done("")
	return nil
}

// sameProgram says whether a process runs the very program file that this one
// does; a rebuilt file is another one.
func sameProgram(pid int) bool {
	theirs, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return false
	}
	ours, err := os.Stat("/proc/self/exe")
	return err == nil && os.SameFile(theirs, ours)
}

// forgeOutdated says why the embedded forge has to be restarted, "" if it runs as
// it should, or there is none. Its settings are those that the server wrote.
func (a *command) forgeOutdated(ctx context.Context, s install.Settings) string {
	if s.GitHub != nil {
		return ""
	}
	program, err := devforge.Find()
	if err != nil {
		return ""
	}
	paths := install.At(a.data)
	l := devforge.New(paths, program, devforge.DigestOf(paths.ForgeSettings), nil)
	rec, ok := l.Running(ctx)
	if !ok {
		return "the embedded forge is not running"
	}
	if why := l.Outdated(ctx, rec); why != "" {
		return "the embedded forge: " + why
	}
	return ""
}
