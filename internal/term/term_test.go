package term

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// clock moves only when told to.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func plain(o Options) (*Term, *bytes.Buffer, *bytes.Buffer, *clock) {
	var out, err bytes.Buffer
	c := &clock{time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	o.Now = c.Now
	o.Getenv = func(string) string { return "" }
	return New(Streams{In: strings.NewReader(""), Out: &out, Err: &err}, o), &out, &err, c
}

func TestPlainPhase(t *testing.T) {
	term, out, err, clock := plain(Options{})
	p := term.Phase("node")
	p.Detail("too early to say")
	clock.now = clock.now.Add(time.Second)
	p.Detail("etcd")
	clock.now = clock.now.Add(time.Second)
	p.Detail("control plane") // too early again, and told when it is said again
	clock.now = clock.now.Add(4 * time.Second)
	p.Detail("control plane")
	p.Detail("control plane")
	clock.now = clock.now.Add(84 * time.Second)
	p.Done("8 components")
	p.Fail("only the first end counts")
	want := "10:00:00 node ...\n10:00:01 node: etcd\n10:00:06 node: control plane\n10:01:30 node: done in 1m30s (8 components)\n"
	if err.String() != want {
		t.Fatalf("got\n%swant\n%s", err, want)
	}
	if out.Len() != 0 {
		t.Fatalf("progress on standard output: %q", out)
	}
}

func TestQuiet(t *testing.T) {
	term, _, err, _ := plain(Options{Quiet: true})
	p := term.Phase("node")
	p.Detail("x")
	p.Done("")
	term.Note("note")
	if err.Len() != 0 {
		t.Fatalf("quiet and yet %q", err)
	}
	term.Warn("careful")
	if !strings.Contains(err.String(), "careful") {
		t.Fatal("a warning is never quiet")
	}
}

func TestSecretsAreHidden(t *testing.T) {
	term, out, errs, _ := plain(Options{})
	term.Hide("s3cret-token")
	term.Hide("abc") // too short to hide
	term.Printf("token s3cret-token abc\n")
	term.Note("token s3cret-token")
	term.Phase("s3cret-token").Done("s3cret-token")
	code := term.Error("hubship", model.WithHint(errors.New("token s3cret-token"), "use s3cret-token"))
	if code != model.ExitFailed {
		t.Fatal(code)
	}
	if err := term.JSON(map[string]string{"a": "s3cret-token"}); err != nil {
		t.Fatal(err)
	}
	if all := out.String() + errs.String(); strings.Contains(all, "s3cret") {
		t.Fatalf("secret printed:\n%s", all)
	}
	if !strings.Contains(out.String(), "token (hidden) abc") {
		t.Fatalf("%q", out)
	}
	term.Reveal("s3cret-token\n")
	if !strings.Contains(out.String(), "s3cret-token") {
		t.Fatal("Reveal hides")
	}
}

// What others wrote is shown, and not obeyed: not by the terminal, and not by
// whoever reads it.
func TestNothingIsObeyed(t *testing.T) {
	const hostile = "a\x1b]52;c;cm0=\x07b\x1b[2J\x1b[8mc\u009b31md\re\u202ef\x1b[32mg\x1b[0m\x00\x1b"
	const want = "a·]52;c;cm0=·b·[2J·[8mc·31md·e·f\x1b[32mg\x1b[0m··"
	term, out, errs, _ := plain(Options{})
	term.Printf("%s\n", hostile)
	term.Table([]string{"TITLE"}, []string{hostile})
	if out.String() != want+"\nTITLE\n"+want+"\n" {
		t.Errorf("a result: %q", out)
	}
	term.Note("%s", hostile)
	term.Warn("%s", hostile)
	term.Error("hubship", model.WithHint(errors.New(hostile), hostile))
	p := term.Phase(hostile)
	p.Detail(hostile)
	p.Fail(hostile)
	if got := errs.String(); strings.Count(got, want) < 6 || strings.Contains(strings.ReplaceAll(got, want, ""), "\x1b") {
		t.Errorf("on standard error: %q", got)
	}
	// JSON loses nothing.
	term, out, _, _ = plain(Options{JSON: true})
	if err := term.JSON(map[string]string{"title": hostile}); err != nil {
		t.Fatal(err)
	}
	var back map[string]string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back["title"] != hostile || strings.ContainsAny(out.String(), "\x1b\u009b\u202e\x00") {
		t.Errorf("JSON: %q, %v", out, err)
	}
}

func TestErrorOnce(t *testing.T) {
	term, _, errs, _ := plain(Options{})
	err := fmt.Errorf("deploy staging: %w", model.RefusedBy(errors.Join(errors.New("one"), errors.New("two")), "try later"))
	if code := term.Error("hubship", err); code != model.ExitRefused {
		t.Fatal(code)
	}
	want := "hubship: deploy staging: one\n  two\n  hint: try later\n"
	if errs.String() != want {
		t.Fatalf("got %q want %q", errs, want)
	}
}

func TestTable(t *testing.T) {
	term, out, _, _ := plain(Options{})
	term.Table([]string{"HUB", "STATE", ""}, []string{"datahub", "\x1b[32mok\x1b[0m", "x"}, []string{"d8", "failed"})
	want := "HUB      STATE\ndatahub  \x1b[32mok\x1b[0m      x\nd8       failed\n"
	if out.String() != want {
		t.Fatalf("got\n%q\nwant\n%q", out, want)
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		340 * time.Millisecond:         "0.3s",
		42 * time.Second:               "42s",
		185 * time.Second:              "3m05s",
		62*time.Minute + 5*time.Second: "1h02m",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v: got %s want %s", d, got, want)
		}
	}
}

func TestBarAndCut(t *testing.T) {
	if got := Bar(5, 10, 10); got != "[=====     ]  50%" {
		t.Fatal(got)
	}
	if got := Bar(50, 10, 4); got != "[====] 100%" {
		t.Fatal(got)
	}
	if got := cut("héllo world", 6); got != "héllo…" {
		t.Fatal(got)
	}
}

// The live region is drawn and cleared while others print.
func TestLiveRegion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var buf bytes.Buffer
		w := writer(func(p []byte) (int, error) { mu.Lock(); defer mu.Unlock(); return buf.Write(p) })
		term := New(Streams{Out: w, Err: w}, Options{Getenv: func(string) string { return "" }})
		term.live = true
		a, b := term.Phase("first"), term.Phase("second")
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				a.Progress(int64(i), 20)
				a.Detail("step %d", i)
				term.Note("note %d", i)
			})
		}
		wg.Wait()
		time.Sleep(250 * time.Millisecond) // it is drawn anew twice
		a.Done("")
		b.Fail("")
		if term.region.drawn != 0 || len(term.region.phases) != 0 || term.region.ticker != nil {
			t.Fatalf("region left behind: %+v", term.region)
		}
		mu.Lock()
		defer mu.Unlock()
		for i := range 20 {
			if !strings.Contains(buf.String(), fmt.Sprintf("note %d\n", i)) {
				t.Fatalf("note %d is missing", i)
			}
		}
		if !strings.Contains(buf.String(), "✓ first") || !strings.Contains(buf.String(), "✗ second") {
			t.Fatal("ends are missing")
		}
	})
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func TestNobodyToAsk(t *testing.T) {
	term, _, _, _ := plain(Options{})
	if ok, err := term.Confirm("Sure?"); ok || !errors.Is(err, ErrNoAnswer) {
		t.Fatal(ok, err)
	}
}
