package term

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	xterm "golang.org/x/term"
)

// Phase is one thing that takes time: shown as a live line on a terminal, and
// as plain lines when it begins, changes and ends elsewhere.
type Phase struct {
	term    *Term
	name    string
	detail  string
	told    string // the last detail that was a plain line
	done    int64  // of total; total 0 means not known
	total   int64
	started time.Time
	said    time.Time // of the last plain line
	over    bool
}

// Phase begins a phase.
func (t *Term) Phase(name string) *Phase { return t.PhaseSince(name, time.Time{}) }

// PhaseSince begins a phase that has been under way since a moment; the zero
// time means now.
func (t *Term) PhaseSince(name string, started time.Time) *Phase {
	if started.IsZero() {
		started = t.opts.Now()
	}
	p := &Phase{term: t, name: name, started: started}
	if t.opts.Quiet {
		return p
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.live {
		p.said = t.opts.Now()
		t.lineLocked(name + " ...")
		return p
	}
	t.region.clear()
	t.region.phases = append(t.region.phases, p)
	t.region.start()
	t.region.draw()
	return p
}

// Detail says what the phase is at. Plain output repeats no detail and is
// limited to one line in five seconds and phase; the first may come after one
// second.
func (p *Phase) Detail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	p.term.mu.Lock()
	defer p.term.mu.Unlock()
	if p.over {
		return
	}
	p.detail = text
	if p.term.live || p.term.opts.Quiet || text == p.told {
		return
	}
	patience := detailEvery
	if p.told == "" {
		patience = firstDetail
	}
	if now := p.term.opts.Now(); now.Sub(p.said) >= patience {
		p.said, p.told = now, text
		p.term.lineLocked(p.name + ": " + text)
	}
}

// How long plain output waits after a line of a phase before it tells a detail.
const (
	firstDetail = time.Second
	detailEvery = 5 * time.Second
)

// Progress says how far the phase is; a total of 0 means that it is not known.
func (p *Phase) Progress(done, total int64) {
	p.term.mu.Lock()
	defer p.term.mu.Unlock()
	p.done, p.total = done, total
}

// Done ends the phase well.
func (p *Phase) Done(detail string) { p.end(p.term.Green("✓"), "done", detail, 0) }

// DoneIn ends the phase well after a duration that somebody else measured.
func (p *Phase) DoneIn(took time.Duration, detail string) {
	p.end(p.term.Green("✓"), "done", detail, took)
}

// Fail ends the phase badly. The reason is for the error that the command
// returns; here it is only marked.
func (p *Phase) Fail(detail string) { p.end(p.term.Red("✗"), "failed", detail, 0) }

// Elapsed is how long the phase has taken.
func (p *Phase) Elapsed() time.Duration { return p.term.opts.Now().Sub(p.started) }

func (p *Phase) end(mark, word, detail string, measured time.Duration) {
	t := p.term
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.over {
		return
	}
	p.over = true
	if t.opts.Quiet {
		return
	}
	if measured == 0 {
		measured = t.opts.Now().Sub(p.started)
	}
	took := Duration(measured)
	t.region.clear()
	t.region.remove(p)
	if !t.live {
		if detail != "" {
			detail = " (" + detail + ")"
		}
		t.lineLocked(fmt.Sprintf("%s: %s in %s%s", p.name, word, took, detail))
		return
	}
	if detail != "" {
		detail = "  " + t.Dim(detail)
	}
	t.lineLocked(fmt.Sprintf("%s %s%s  %s", mark, p.name, detail, t.Dim(took)))
}

// Duration prints a duration as people say it: 0.3s, 42s, 3m05s, 1h02m.
func Duration(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour:
		d = d.Round(time.Second)
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	default:
		d = d.Round(time.Minute)
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}

// Ago prints how long ago a moment was, in one word.
func Ago(now, then time.Time) string {
	if then.IsZero() {
		return "never"
	}
	d := now.Sub(then)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}

// region is the block of live lines at the bottom of a terminal. Its methods
// are called with the Term locked.
type region struct {
	term   *Term
	phases []*Phase
	drawn  int // lines on the screen now
	frame  int
	ticker chan struct{} // closed to stop the redraw; nil when not running
}

const spinner = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"

func (r *region) remove(p *Phase) {
	for i, q := range r.phases {
		if q == p {
			r.phases = append(r.phases[:i], r.phases[i+1:]...)
			break
		}
	}
	if len(r.phases) == 0 && r.ticker != nil {
		close(r.ticker)
		r.ticker = nil
	}
}

// start redraws ten times a second while there are phases.
func (r *region) start() {
	if r.ticker != nil {
		return
	}
	stop := make(chan struct{})
	r.ticker = stop
	go func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				r.term.mu.Lock()
				if r.ticker == stop {
					r.frame++
					r.clear()
					r.draw()
				}
				r.term.mu.Unlock()
			}
		}
	}()
}

func (r *region) clear() {
	if r.drawn > 0 {
		fmt.Fprintf(r.term.streams.Err, "\x1b[%dA\x1b[J", r.drawn)
		r.drawn = 0
	}
}

func (r *region) draw() {
	if !r.term.live || len(r.phases) == 0 {
		return
	}
	width := 80
	if f, ok := r.term.streams.Err.(interface{ Fd() uintptr }); ok {
		if w, _, err := xterm.GetSize(int(f.Fd())); err == nil && w > 20 {
			width = w
		}
	}
	frames := []rune(spinner)
	var b strings.Builder
	for _, p := range r.phases {
		text := p.name
		if p.total > 0 {
			text += "  " + Bar(p.done, p.total, 24)
		}
		if p.detail != "" {
			text += "  " + p.detail
		}
		took := Duration(r.term.opts.Now().Sub(p.started))
		text = cut(r.term.redact(text), width-len(took)-5)
		fmt.Fprintf(&b, "%c %s  %s\n", frames[r.frame%len(frames)], text, r.term.Dim(took))
	}
	fmt.Fprint(r.term.streams.Err, b.String())
	r.drawn = len(r.phases)
}

// Bar draws how much of a total is done, in the given number of cells.
func Bar(done, total int64, cells int) string {
	if total <= 0 {
		return ""
	}
	done = min(max(done, 0), total)
	full := int(done * int64(cells) / total)
	return fmt.Sprintf("[%s%s] %3d%%", strings.Repeat("=", full), strings.Repeat(" ", cells-full), done*100/total)
}

// cut shortens text to a number of runes.
func cut(text string, width int) string {
	text = strings.ReplaceAll(text, "\n", " ")
	if width < 1 || utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}
