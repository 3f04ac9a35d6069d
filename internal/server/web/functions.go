package web

import (
	"fmt"
	"html/template"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/hubship/hubship/internal/model"
)

// functions are what templates may call.
var functions = template.FuncMap{
	"title":    titleOf,
	"short":    short,
	"ago":      ago,
	"stamp":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"machine":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"clock":    func(t time.Time) string { return t.UTC().Format("15:04:05") },
	"span":     span,
	"lasted":   lasted,
	"standing": standingOf,
	"bytes":    sizeOf,
	"plain":    plain,
	"lines":    plainLines,
	"final":    func(s model.RunState) bool { return s.Final() },
	"tone":     toneOf,
	"share":    shareOf,
	"partTone": partTone,
	"change":   changeOf,
	"envpair":  func(v view, name string) envName { return envName{Name: name, Gated: v.Gated[name]} },
	"with2":    func(v view, run model.Run) runRow { return runRow{View: v, Run: run} },
}

// envName is an environment as its badge shows it.
type envName struct {
	Name  string
	Gated bool
}

// runRow is a run within a page.
type runRow struct {
	View view
	Run  model.Run
}

// titleOf names a run by what it does and where (incident I4).
func titleOf(r model.Run) string {
	switch r.Kind {
	case model.Verify:
		return "Verify " + r.Environment
	case model.Rollback:
		return "Roll back " + r.Environment
	case model.Deploy:
		return "Deploy to " + r.Environment
	case model.CheckPull:
		if r.Pull != nil {
			return fmt.Sprintf("Check of #%d", r.Pull.Number)
		}
		return "Check"
	}
	return string(r.Kind) + " " + r.Environment
}

func short(commit string) string {
	if len(commit) > 10 {
		return commit[:10]
	}
	return commit
}

// ago is how long something is past, roughly.
func ago(now, t time.Time) string {
	switch d := now.Sub(t); {
	case t.IsZero():
		return ""
	case d < 5*time.Second:
		return "just now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
}

// span words a duration for people.
func span(d time.Duration) string {
	switch {
	case d <= 0:
		return "–"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	}
}

// lasted is how long a run took, or has taken so far.
func lasted(now time.Time, r model.Run) string {
	switch {
	case r.Started.IsZero():
		return "–"
	case r.Finished.IsZero():
		return span(now.Sub(r.Started))
	}
	return span(r.Finished.Sub(r.Started))
}

// phase is a part of a run's time, in percent of it.
type phase struct {
	Name    string
	Took    time.Duration
	Start   int // where its bar starts, in percent
	Percent int
}

func shareOf(d model.Durations) []phase {
	all := []phase{{Name: "plan", Took: d.Plan}, {Name: "build", Took: d.Build}, {Name: "deploy", Took: d.Deploy}, {Name: "verify", Took: d.Verify}}
	var total time.Duration
	for _, p := range all {
		total += p.Took
	}
	var shown []phase
	var before time.Duration
	for _, p := range all {
		if p.Took > 0 {
			p.Start = int(100 * before / total)
			before += p.Took
			p.Percent = int(100*before/total) - p.Start
			shown = append(shown, p)
		}
	}
	return shown
}

// toneOf is the colour of a run's state.
func toneOf(s model.RunState) string {
	switch s {
	case model.Done:
		return "good"
	case model.FailedRun:
		return "bad"
	case model.Refused, model.Cancelled:
		return "warn"
	case model.Running:
		return "busy"
	}
	return "quiet"
}

// partTone is the colour of a part of a check.
func partTone(s model.PartState) string {
	switch s {
	case model.PartPassed:
		return "good"
	case model.PartFailed:
		return "bad"
	case model.PartErrored:
		return "warn"
	case model.PartRunning:
		return "busy"
	}
	return "quiet"
}

// changeOf words how the size of an image changed.
func changeOf(i model.ImageCheck) string {
	switch d := i.Built.Size - i.Before; {
	case i.Before == 0 || i.Built.Size == 0:
		return ""
	case d >= 1<<10:
		return "+" + sizeOf(d)
	case d <= -1<<10:
		return "−" + sizeOf(-d)
	}
	return "as before"
}

// standing is a release's state in a word, with its colour.
type standing struct{ Word, Tone string }

func standingOf(r model.ReleaseStatus) standing {
	o := r.Observed
	switch {
	case r.Error != "":
		return standing{"unknown", "warn"}
	case r.Halt != nil:
		return standing{"halted", "bad"}
	case o.Status == model.Absent || o.Status == "":
		return standing{"not installed yet", "quiet"}
	case o.Status.Pending():
		return standing{"being changed", "busy"}
	case o.Status == model.Failed:
		return standing{"failed", "bad"}
	case o.Ready:
		return standing{"ready", "good"}
	}
	return standing{"starting", "busy"}
}

func sizeOf(n int64) string {
	switch {
	case n <= 0:
		return "–"
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", (n+1023)>>10)
	case n < 1<<30:
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

// terminalCodes are colours and cursor movements, which builds print.
var terminalCodes = regexp.MustCompile("\x1b(\\[[0-9;?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)|[@-Z\\\\^_])")

// plain is a text without them, and without other control characters.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\t' {
			return -1
		}
		return visible(r)
	}, terminalCodes.ReplaceAllString(text, ""))
}

// visible shows a dot for what turns the direction of writing: with it a line
// reads as another one than it is. See https://trojansource.codes
func visible(r rune) rune {
	if unicode.Is(unicode.Bidi_Control, r) {
		return '·'
	}
	return r
}

// plainLines is plain for a text of several lines.
func plainLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		lines[i] = plain(l)
	}
	return strings.Join(lines, "\n")
}
