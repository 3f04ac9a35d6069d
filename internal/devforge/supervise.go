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
	asksEvery = 10 * time.Second // between two questions how it is
)

// Supervise checks every second, until ctx ends, that the program's process is
// alive, and starts it again if not. One that has not answered for as long as
// l.Patience is stopped first. If it keeps ending, the pauses before the next
// start grow.
func (l *Launcher) Supervise(ctx context.Context) {
	wait, begun := time.Duration(0), time.Time{}
	answered, asked := time.Now(), time.Now()
	for pause(ctx, every); ctx.Err() == nil; pause(ctx, every) {
		rec, runs := proc.Read(l.Record)
		if runs && time.Since(asked) < min(asksEvery, l.patience()/4) {
			continue
		}
		why := ""
		if runs {
			_, err := ask(ctx, l.Admin)
			if asked = time.Now(); err == nil || ctx.Err() != nil {
				answered = asked
				continue
			}
			if time.Since(answered) < l.patience() {
				continue
			}
			why = fmt.Sprintf("it has not answered for %s: %v", time.Since(answered).Round(time.Second), err)
			l.Log.Warn("the embedded forge hangs; stopping it", "why", why)
			if err := rec.Stop(ctx, hungGrace); err != nil {
				l.tell(err.Error())
				continue
			}
		} else {
			why = l.ending()
		}
		l.tell(why)
		switch {
		case time.Since(begun) > lastsWell:
			wait = 0
		case wait == 0:
			wait = every
		default:
			wait = min(2*wait, longest)
		}
		l.Log.Warn("the embedded forge is not running; starting it again", "why", why, "in", wait)
		pause(ctx, wait)
		if ctx.Err() != nil {
			return
		}
		begun = time.Now()
		switch err := l.Ensure(ctx); {
		case err == nil:
			l.tell("")
			answered = time.Now()
			l.Log.Info("the embedded forge is running again")
		case ctx.Err() == nil:
			l.tell(err.Error())
			l.Log.Error("the embedded forge could not be started", "error", err)
		}
	}
}

// patience is how long the program may be silent.
func (l *Launcher) patience() time.Duration {
	if l.Patience > 0 {
		return l.Patience
	}
	return silent
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
