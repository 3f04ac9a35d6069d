package pages_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/hubship/hubship/internal/forge"
)

// chromium starts a headless browser, and ends it with the test.
func chromium(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("skipped: -short, and this test walks the pages in a browser")
	}
	program := "/usr/bin/chromium"
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v: `make test-deps` installs it", err)
		}
		t.Skip("the pages are not looked at in a browser: chromium is missing (`make test-deps` installs it)")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("no-proxy-server", true), chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(60*time.Second))
	ctx, cancel := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(cancel)
	if err := chromedp.Run(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// window is somebody's window of a browser, with cookies of its own.
type window struct {
	t   *testing.T
	f   *fixture
	ctx context.Context
	n   int // of pictures
	who string
}

func (f *fixture) window(who string, scripts bool) *window {
	f.t.Helper()
	ctx := chromium(f.t)
	w := &window{t: f.t, f: f, ctx: ctx, who: who}
	chromedp.ListenTarget(ctx, func(e any) {
		switch e := e.(type) {
		case *runtime.EventExceptionThrown:
			f.t.Errorf("a script failed: %s", e.ExceptionDetails.Error())
		case *cdplog.EventEntryAdded:
			if e.Entry.Source == cdplog.SourceSecurity || e.Entry.Level == cdplog.LevelError && !strings.Contains(e.Entry.Text, "405") {
				f.t.Errorf("the browser says: %s", e.Entry.Text)
			}
		}
	})
	w.do("begin", cdplog.Enable(), runtime.Enable(), emulation.SetScriptExecutionDisabled(!scripts), chromedp.EmulateViewport(1100, 900))
	w.do("sign in", chromedp.Navigate(f.URL+"/forge/"), chromedp.SetValue(`#login`, who), chromedp.SetValue(`#password`, password))
	w.press("Sign in", "Sign out")
	return w
}

func (w *window) do(what string, actions ...chromedp.Action) {
	w.t.Helper()
	if err := chromedp.Run(w.ctx, actions...); err != nil {
		var at string
		_ = chromedp.Run(w.ctx, chromedp.Location(&at))
		w.t.Fatalf("%s, as %s at %s: %v", what, w.who, at, err)
	}
}

// press presses a button and waits for a text on the page that follows.
func (w *window) press(button, then string) {
	w.t.Helper()
	w.do("press "+button, chromedp.Click(fmt.Sprintf(`//button[normalize-space()=%q]`, button), chromedp.BySearch))
	w.sees(then)
}

func (w *window) sees(text string) {
	w.t.Helper()
	var shown string
	for range 100 {
		// The page may be on its way out.
		if err := chromedp.Run(w.ctx, chromedp.Text(`main, header`, &shown, chromedp.ByQuery), chromedp.Text(`body`, &shown, chromedp.ByQuery)); err == nil && strings.Contains(shown, text) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	w.picture("missing")
	w.t.Fatalf("%s does not see %q but %s", w.who, text, shown)
}

func (w *window) open(path, then string) {
	w.t.Helper()
	w.do("open "+path, chromedp.Navigate(w.f.URL+path))
	w.sees(then)
}

// frame waits for a text in the page that this one embeds.
func (w *window) frame(text string) {
	w.t.Helper()
	var shown string
	for range 100 {
		if err := chromedp.Run(w.ctx, chromedp.Evaluate(`document.querySelector('.run iframe')?.contentDocument?.body?.innerText ?? ''`, &shown)); err == nil && strings.Contains(shown, text) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	w.picture("missing")
	w.t.Fatalf("%s does not see %q in the frame but %q", w.who, text, shown)
}

// picture keeps what the window shows, where somebody wants to look at it.
func (w *window) picture(name string) {
	dir := os.Getenv("HUBSHIP_TEST_PICTURES")
	if dir == "" {
		return
	}
	var png []byte
	w.do("take a picture", chromedp.ActionFunc(func(ctx context.Context) (err error) {
		png, err = page.CaptureScreenshot().WithCaptureBeyondViewport(true).Do(ctx)
		return err
	}))
	w.n++
	file := filepath.Join(dir, fmt.Sprintf("%s-%s-%02d-%s.png", strings.ReplaceAll(w.t.Name(), "/", "-"), w.who, w.n, name))
	if err := os.WriteFile(file, png, 0o600); err != nil {
		w.t.Error(err)
	}
}

// The whole way in a browser: fork, propose, review, merge.
func TestWalkInABrowser(t *testing.T) {
	for _, scripts := range []bool{true, false} {
		t.Run(fmt.Sprintf("scripts=%v", scripts), func(t *testing.T) {
			f := start(t)
			carl := f.window("carl", scripts)
			carl.open("/forge/hubs/deployment", "README.md")
			carl.press("Fork", "fork of hubs/deployment")
			fork, err := f.Host.Find(t.Context(), "carl", "deployment")
			f.ok(err)
			head := f.change(fork, "more-memory", map[string][]byte{"hubs/a.yaml": []byte("a: 1\nb: 3\n")})
			carl.open("/forge/hubs/deployment/compare/staging...carl:more-memory", "hubs/a.yaml")
			carl.do("write", chromedp.SetValue(`#title`, "More memory <script>alert(1)</script>"), chromedp.SetValue(`#body`, hostile))
			carl.press("Open pull request", "This cannot be merged yet")
			carl.do("comment", chromedp.SetValue(`#say`, "Please look"))
			carl.press("Comment", "Please look")
			carl.picture("conversation")
			carl.open("/forge/hubs/deployment/pull/1/files", "b: 3")
			carl.picture("files")

			f.ok(f.Client(f.robot, f.name).SetStatus(t.Context(), head, forge.Status{State: forge.Success, Context: "hubship/plan", URL: f.URL + "/runs/r1"}))
			carl.open("/forge/hubs/deployment/pull/1/checks", "Open the run")
			if scripts {
				carl.frame("The log of r1, embedded: true")
			}
			carl.picture("checks")

			mia := f.window("mia", scripts)
			mia.open("/forge/hubs/deployment/pull/1/files", "b: 3")
			mia.do("choose a line", chromedp.Click(`button[name=line][value=R2]`, chromedp.ByQuery))
			mia.sees("Comment on line 2")
			mia.picture("line")
			mia.do("speak of it", chromedp.SetValue(`#of-line`, "Is **3** enough?"))
			mia.press("Comment on this line", "Is 3 enough?")
			mia.picture("line")
			carl.open("/forge/hubs/deployment/pull/1/files", "Is 3 enough?")
			carl.do("answer", chromedp.Click(`tr.talk summary`, chromedp.ByQuery), chromedp.SetValue(`tr.talk textarea`, "For now.", chromedp.ByQuery))
			carl.press("Reply", "For now.")
			carl.picture("reply")
			carl.open("/forge/hubs/deployment/pull/1", "hubs/a.yaml:2")
			carl.picture("conversation")
			mia.open("/forge/hubs/deployment/pull/1", "This cannot be merged yet")
			mia.press("Approve", "All requirements of staging are met.")
			if scripts {
				// What somebody else does is seen without a reload.
				carl.open("/forge/hubs/deployment/pull/1", "approved")
				c := f.Client(f.mia, f.name)
				_, err := c.Comment(t.Context(), 1, "Said **elsewhere**.")
				f.ok(err)
				carl.sees("Said elsewhere.")
			}
			mia.press("Merge", "This pull request was merged.")
			mia.picture("merged")
			mia.do("narrow", chromedp.EmulateViewport(360, 780))
			var wide bool
			for _, path := range []string{"/forge/", "/forge/hubs/deployment", "/forge/hubs/deployment/pulls", "/forge/hubs/deployment/pull/1", "/forge/hubs/deployment/pull/1/files", "/forge/-/settings"} {
				mia.open(path, "Sign out")
				if scripts {
					mia.do("measure", chromedp.Evaluate(`document.documentElement.scrollWidth > 361`, &wide))
					if wide {
						t.Errorf("%s is wider than a telephone", path)
					}
				}
				mia.picture("narrow")
			}
			resp, err := http.Get(f.URL + "/forge/-/style.css")
			f.ok(err)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("the style: %s", resp.Status)
			}
		})
	}
}
