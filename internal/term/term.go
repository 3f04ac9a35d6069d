// Package term is how hubship talks to whoever runs it: a person at a
// terminal, a log of CI, or a program that reads JSON. Results go to standard
// output, everything else to standard error.
package term

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode"

	xterm "golang.org/x/term"

	"github.com/hubship/hubship/internal/model"
)

// Streams are the standard streams of a command.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// Options say how to talk.
type Options struct {
	JSON    bool // results as JSON
	Quiet   bool // no progress
	NoColor bool // no colours, whatever the terminal can do
	Plain   bool // no live lines, whatever the terminal can do
	Getenv  func(string) string
	Now     func() time.Time
}

// Term talks to one audience. It is safe for concurrent use.
type Term struct {
	mu      sync.Mutex
	streams Streams
	opts    Options
	color   [2]bool // standard output, standard error
	live    bool
	secrets []string
	region  region
}

// New returns a Term for the streams. NO_COLOR, TERM=dumb and CI are honoured.
func New(s Streams, o Options) *Term {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	dumb := o.Getenv("TERM") == "dumb"
	color := func(w io.Writer) bool {
		return isTerminal(w) && !o.NoColor && o.Getenv("NO_COLOR") == "" && !dumb
	}
	t := &Term{streams: s, opts: o}
	t.color = [2]bool{color(s.Out), color(s.Err)}
	t.live = isTerminal(s.Err) && !dumb && !o.Plain && o.Getenv("CI") == ""
	t.region.term = t
	return t
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && xterm.IsTerminal(int(f.Fd()))
}

// Interactive says whether a person can be asked: both ends are a terminal.
func (t *Term) Interactive() bool { return isTerminal(t.streams.In) && isTerminal(t.streams.Err) }

// Live says whether progress is drawn as live lines.
func (t *Term) Live() bool { return t.live }

// JSONOutput says whether results are printed as JSON.
func (t *Term) JSONOutput() bool { return t.opts.JSON }

// Hide keeps a secret out of everything that is printed from now on. Secrets
// of fewer than 6 bytes are ignored: hiding them would mutilate other text.
func (t *Term) Hide(secret string) {
	if len(secret) < 6 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.secrets = append(t.secrets, secret)
}

// redact hides secrets, and takes out what a terminal would obey. Subjects of
// commits, titles, logs and errors are what others wrote, and whoever reads them
// here is root: a title that says "\x1b]52;…" sets the clipboard.
func (t *Term) redact(text string) string { return tame(t.hide(text)) }

func (t *Term) hide(text string) string {
	for _, s := range t.secrets {
		text = strings.ReplaceAll(text, s, "(hidden)")
	}
	return text
}

// painted are the codes of the colours that are used here, and of nothing else.
var painted = regexp.MustCompile("\x1b\\[(?:0|1|2|31|31;1|32|33|36)m")

// tame takes out of a text all that is not to be seen: control characters, but for
// line breaks, tabs and the colours used here, and what turns the direction of
// writing. It leaves a dot in their place.
func tame(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	var b strings.Builder
	for at := 0; at < len(text); {
		code := painted.FindStringIndex(text[at:])
		if code == nil {
			code = []int{len(text) - at, len(text) - at}
		}
		b.WriteString(strings.Map(seen, text[at:at+code[0]]))
		b.WriteString(text[at+code[0] : at+code[1]])
		at += code[1]
	}
	return b.String()
}

// spelt is JSON, in whose texts the same is spelt out: nothing of them is lost.
func spelt(raw string) string {
	var b strings.Builder
	for _, r := range raw {
		if seen(r) == r {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func seen(r rune) rune {
	switch {
	case r == '\n' || r == '\t':
	case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
		return '·'
	}
	return r
}

// Printf prints a result on standard output.
func (t *Term) Printf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.region.clear()
	show := tame
	if t.opts.JSON {
		show = spelt
	}
	fmt.Fprint(t.streams.Out, show(t.hide(fmt.Sprintf(format, args...))))
}

// Reveal prints a result on standard output without hiding secrets. It is for
// the one place that hands a generated password to its owner.
func (t *Term) Reveal(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.region.clear()
	fmt.Fprintf(t.streams.Out, format, args...)
}

// JSON prints a result as JSON on standard output.
func (t *Term) JSON(v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("print the result as JSON: %w", err)
	}
	t.Printf("%s\n", raw)
	return nil
}

// Note prints one line for a person on standard error, above any live line.
func (t *Term) Note(format string, args ...any) {
	if t.opts.Quiet {
		return
	}
	t.line(fmt.Sprintf(format, args...))
}

// Warn prints a warning on standard error, also when quiet.
func (t *Term) Warn(format string, args ...any) {
	t.line(t.Yellow("warning: ") + fmt.Sprintf(format, args...))
}

// line prints lines on standard error, stamped when nobody watches live.
func (t *Term) line(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lineLocked(text)
}

func (t *Term) lineLocked(text string) {
	t.region.clear()
	stamp := ""
	if !t.live {
		stamp = t.opts.Now().Format("15:04:05 ")
	}
	for _, l := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		fmt.Fprintln(t.streams.Err, t.redact(stamp+l))
	}
	t.region.draw()
}

// Error prints an error and its hint, once, and returns its exit code. Joined
// errors come as a list.
func (t *Term) Error(program string, err error) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.region.clear()
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", t.paint(1, "31;1", program+":"), strings.ReplaceAll(err.Error(), "\n", "\n  "))
	if hint := model.HintOf(err); hint != "" {
		fmt.Fprintf(&b, "  %s %s\n", t.paint(1, "36", "hint:"), strings.ReplaceAll(hint, "\n", "\n  "))
	}
	fmt.Fprint(t.streams.Err, t.redact(b.String()))
	return model.ExitCodeOf(err)
}

// ErrNoAnswer is returned by Confirm when nobody can be asked.
var ErrNoAnswer = errors.New("nobody to ask: standard input is not a terminal")

// Confirm asks a question that only "yes" answers.
func (t *Term) Confirm(question string) (bool, error) {
	if !t.Interactive() {
		return false, ErrNoAnswer
	}
	t.mu.Lock()
	t.region.clear()
	fmt.Fprintf(t.streams.Err, "%s Type yes to continue: ", t.redact(question))
	t.mu.Unlock()
	var answer string
	if _, err := fmt.Fscanln(t.streams.In, &answer); err != nil && answer == "" {
		return false, nil
	}
	return answer == "yes", nil
}

// paint wraps text in a colour when the stream (0 standard output, 1 standard
// error) shows colours.
func (t *Term) paint(stream int, code, text string) string {
	if !t.color[stream] || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Green colours text for standard error.
func (t *Term) Green(s string) string { return t.paint(1, "32", s) }

// Red colours text for standard error.
func (t *Term) Red(s string) string { return t.paint(1, "31", s) }

// Yellow colours text for standard error.
func (t *Term) Yellow(s string) string { return t.paint(1, "33", s) }

// Dim sets text back on standard error.
func (t *Term) Dim(s string) string { return t.paint(1, "2", s) }

// Bold stresses text on standard error.
func (t *Term) Bold(s string) string { return t.paint(1, "1", s) }

// Good colours a result.
func (t *Term) Good(s string) string { return t.paint(0, "32", s) }

// Bad colours a result.
func (t *Term) Bad(s string) string { return t.paint(0, "31", s) }

// Doubt colours a result.
func (t *Term) Doubt(s string) string { return t.paint(0, "33", s) }

// Strong stresses a result.
func (t *Term) Strong(s string) string { return t.paint(0, "1", s) }

// Faint sets a result back.
func (t *Term) Faint(s string) string { return t.paint(0, "2", s) }

// Colour says whether results may have colours.
func (t *Term) Colour() bool { return t.color[0] }

// Width is how wide standard output is, in characters; 100 when it is no
// terminal.
func (t *Term) Width() int {
	if f, ok := t.streams.Out.(*os.File); ok {
		if w, _, err := xterm.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return 100
}

// OutputIsTerminal says whether a person reads standard output right away.
func (t *Term) OutputIsTerminal() bool { return isTerminal(t.streams.Out) }
