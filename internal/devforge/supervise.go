package devforge

import (
	"context"
	"fmt"
	"time"

	"github.com/hubship/hubship/internal/proc"
)

const (
	every     = time.Second      // between two looks whether the program runs
	longest   = 30 * time.Second // pause before it is started again
	lastsWell = time.Minute      // after which it counts as one that runs
)

// Supervise looks every second whether the program runs, until ctx ends, and
// starts it again when it does not. When it ends again soon, the pauses before
// the next start grow.
func (l *Launcher) Supervise(ctx context.Context) {
	wait, begun := time.Duration(0), time.Time{}
	for pause(ctx, every); ctx.Err() == nil; pause(ctx, every) {
		if _, ok := proc.Read(l.Record); ok {
			continue
		}
		why := l.ending()
		l.tell(why)
		switch {
		case time.Since(begun) > lastsWell:
			wait = 0
		case wait == 0:
			wait = every
		default:
			wait = min(2*wait, longest)
		}
		l.Log.Warn("the embedded forge's program is not running and is started again", "why", why, "in", wait)
		pause(ctx, wait)
		if ctx.Err() != nil {
			return
		}
		begun = time.Now()
		switch err := l.Ensure(ctx); {
		case err == nil:
			l.tell("")
			l.Log.Info("the embedded forge's program runs again")
		case ctx.Err() == nil:
			l.tell(err.Error())
			l.Log.Error("the embedded forge's program could not be started", "error", err)
		}
	}
}

// Trouble says why the program does not run, "" while it does.
func (l *Launcher) Trouble() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trouble
}

func (l *Launcher) tell(trouble string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.trouble = trouble
}

// ending says how the program ended, as far as that is known here.
func (l *Launcher) ending() string {
	l.mu.Lock()
	started := l.started
	l.mu.Unlock()
	if started != nil {
		select {
		case <-started.Ended():
			return fmt.Sprintf("it ended: %v", started.Err())
		case <-time.After(every): // the record is gone, and the process is not
		}
	}
	return "its process is gone"
}
