package verify_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/verify"
	"github.com/hubship/hubship/internal/verify/jupyter"
)

func TestGoodHubPasses(t *testing.T) {
	h := startedHub(t)
	v, err := h.verify(t, t.Context(), run{user: "good", packages: []string{"hubship-fine [extra]>=1.2", "traitlets", "numpy-is-not-asked-for ;python_version<'3'"}})
	if err != nil || !v.Passed || v.Reason != "" {
		t.Fatalf("passed=%v reason=%q error=%v", v.Passed, v.Reason, err)
	}
	want := []string{
		verify.HubAnswers, verify.TokenAccepted, verify.UserCreated, verify.ServerStarts, verify.ServerAnswers, verify.KernelStarts,
		"import hubship-fine", "import traitlets", "import numpy-is-not-asked-for", verify.PageOpens, verify.ServerStopped, verify.UserRemoved,
	}
	if len(v.Checks) != len(want) {
		t.Fatalf("%d checks, want %d", len(v.Checks), len(want))
	}
	var own time.Duration
	for i, c := range v.Checks {
		if c.Name != want[i] || !c.Passed || c.Skipped {
			t.Errorf("check %d is %+v, want %s to pass", i, c, want[i])
		}
		if c.Name != verify.ServerStarts && c.Name != verify.ServerStopped && c.Name != verify.KernelStarts && !strings.HasPrefix(c.Name, "import ") {
			own += c.Duration
		}
	}
	for name, detail := range map[string]string{
		verify.HubAnswers: "JupyterHub 6.1.1", verify.ServerAnswers: "Jupyter Server 2.21.1", verify.PageOpens: "/user/good/lab",
		"import hubship-fine": "1.2.3 (hubship_fine)", "import traitlets": "5.16.1",
	} {
		if c := check(t, v, name); c.Detail != detail {
			t.Errorf("%s: detail %q, want %q", name, c.Detail, detail)
		}
	}
	if c := check(t, v, verify.ServerStarts); !strings.Contains(c.Log, "Server ready at /user/good/") {
		t.Errorf("the messages of the starting server were not kept: %q", c.Log)
	}
	t.Logf("beside starting and stopping the server, starting the kernel and importing: %s", own)
	h.gone(t, "good")
}

// With the values that verification asks for nobody signs in as its user, not
// even while there is one, with a server: who could would put into its home what
// the image lacks.
func TestNobodySignsInAsTheUser(t *testing.T) {
	h := startedHub(t)
	signsIn := func(name string) bool {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		web := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		page, err := web.Get(h.base.JoinPath("hub/login").String())
		if err != nil {
			t.Fatal(err)
		}
		_ = page.Body.Close()
		at := h.base.JoinPath("hub/")
		form := url.Values{"username": {name}, "password": {"x"}}
		for _, c := range jar.Cookies(at) {
			if c.Name == "_xsrf" {
				form.Set("_xsrf", c.Value)
			}
		}
		answer, err := web.PostForm(h.base.JoinPath("hub/login").String(), form)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return slices.ContainsFunc(jar.Cookies(at), func(c *http.Cookie) bool { return c.Name == "jupyterhub-hub-login" })
	}
	if !signsIn("ada") {
		t.Fatal("nobody signs in to the test hub")
	}
	tried := 0
	v, err := h.verify(t, t.Context(), run{user: "guarded", onCheck: func(c model.Check) {
		if tried++; c.Passed && (signsIn("guarded") || signsIn(" Guarded")) {
			t.Errorf("after %q somebody signs in as the user", c.Name)
		}
	}})
	if err != nil || !v.Passed || tried < 8 {
		t.Errorf("passed=%v reason=%q error=%v, tried %d times", v.Passed, v.Reason, err, tried)
	}
}

func TestImportsAreJudgedOneByOne(t *testing.T) {
	h := startedHub(t)
	v, err := h.verify(t, t.Context(), run{
		user:      "imports",
		deadlines: verify.Deadlines{Import: 8 * time.Second},
		packages: []string{
			"hubship-raises", "hubship-exits", "hubship-sleeps", "hubship-floods", "hubship-chatty", "hubship-colour", "hubship-data",
			"hubship.names", "hubship-space @ https://example.org/a;b.whl", "hubship-space-bad", "not-there", "hubship-fine ==9.9", "\");import(os);os._exit(1)#",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	failed(t, v, "import hubship-raises", "OSError: libhubship.so.3: cannot open")
	tests := []struct {
		name   string
		passed bool
		detail string
		log    []string
	}{
		{"hubship-raises", false, "OSError: libhubship.so.3: cannot open shared object file", []string{"looking for the library", "hubship_raises.py"}},
		{"hubship-exits", false, "ImportError: module hubship_exits ended the program when it was imported: exit 7", nil},
		{"hubship-sleeps", false, "import did not end within 8s; it was interrupted", []string{"forever", "KeyboardInterrupt"}},
		{"hubship-floods", false, "RuntimeError: after the flood", []string{"hubship_floods.py"}},
		{"hubship-chatty", true, "0.1 (hubship_chatty)", nil},
		{"hubship-colour", false, "ValueError: red", nil},
		{"hubship-data", true, "2.0; data or commands only, nothing to import", nil},
		{"hubship.names", true, "3.1 (othername, second)", nil},
		{"hubship-space", true, "0.2 (hubspace.inner)", nil},
		{"hubship-space-bad", false, "ZeroDivisionError: division by zero", nil},
		{"not-there", false, "not-there is not installed", nil},
		{"hubship-fine", false, "version 1.2.3 is installed, the requirements ask for ==9.9", nil},
		{"\");import(os);os._exit(1)#", false, "\");import(os);os._exit(1)# is not installed", nil},
	}
	for _, tt := range tests {
		c := check(t, v, "import "+tt.name)
		if c.Passed != tt.passed || c.Skipped || c.Detail != tt.detail {
			t.Errorf("import %s: passed=%v skipped=%v detail %q, want passed=%v detail %q", tt.name, c.Passed, c.Skipped, c.Detail, tt.passed, tt.detail)
		}
		for _, text := range tt.log {
			if !strings.Contains(c.Log, text) {
				t.Errorf("import %s: log does not say %q:\n%s", tt.name, text, c.Log)
			}
		}
		if len(c.Log) > 8<<10 || strings.Contains(c.Log, "\x1b") {
			t.Errorf("import %s: the log is too long or has terminal escapes", tt.name)
		}
	}
	if c := check(t, v, verify.PageOpens); !c.Passed {
		t.Errorf("the page depends on no import: %+v", c)
	}
	h.gone(t, "imports")
}

func TestKernelThatDiesFails(t *testing.T) {
	h := startedHub(t)
	v, err := h.verify(t, t.Context(), run{user: "dying", packages: []string{"hubship-fine", "hubship-kills", "traitlets"}})
	if err != nil {
		t.Fatal(err)
	}
	c := failed(t, v, "import hubship-kills", "the kernel died during the import")
	if !strings.Contains(c.Log, "last words") {
		t.Errorf("what it printed last was not kept: %q", c.Log)
	}
	if c := check(t, v, "import traitlets"); !c.Skipped || !strings.Contains(c.Detail, "hubship-kills") {
		t.Errorf("what came after it: %+v", c)
	}
	h.gone(t, "dying")
}

func TestKernelThatIgnoresInterruptsFails(t *testing.T) {
	h := startedHub(t)
	v, err := h.verify(t, t.Context(), run{
		user: "stuck", packages: []string{"hubship-stuck", "hubship-fine"}, deadlines: verify.Deadlines{Import: time.Second},
	})
	if err != nil {
		t.Fatal(err)
	}
	failed(t, v, "import hubship-stuck", "did not end within 1s and did not react to an interrupt")
	if c := check(t, v, "import hubship-fine"); !c.Skipped {
		t.Errorf("what came after it: %+v", c)
	}
	h.gone(t, "stuck")
}

func TestServerThatDoesNotStartFails(t *testing.T) {
	h := startedHub(t)
	tests := []struct {
		user   string
		limit  time.Duration
		detail string
	}{
		{"exits", time.Minute, "Spawn failed"},
		{"refused", time.Minute, "the quota of this test is used up"},
		{"hangs", 3 * time.Second, "not within 3s"},
	}
	for _, tt := range tests {
		t.Run(tt.user, func(t *testing.T) {
			v, err := h.verify(t, t.Context(), run{user: tt.user, packages: []string{"hubship-fine"}, deadlines: verify.Deadlines{Start: tt.limit}})
			if err != nil {
				t.Fatal(err)
			}
			failed(t, v, verify.ServerStarts, tt.detail)
			for _, name := range []string{verify.ServerAnswers, verify.KernelStarts, "import hubship-fine", verify.PageOpens} {
				if c := check(t, v, name); !c.Skipped || c.Passed {
					t.Errorf("%s was not skipped: %+v", name, c)
				}
			}
			if c := check(t, v, verify.UserRemoved); !c.Passed {
				t.Errorf("the user was not removed: %+v", c)
			}
			h.gone(t, tt.user)
		})
	}
}

func TestKernelAndPageThatDoNotStartFail(t *testing.T) {
	h := startedHub(t)
	v, err := h.verify(t, t.Context(), run{user: "bad", packages: []string{"hubship-fine"}})
	if err != nil {
		t.Fatal(err)
	}
	c := failed(t, v, verify.KernelStarts, "kernel python3 exited on startup")
	if c.Duration > 45*time.Second {
		t.Errorf("it took %s to notice", c.Duration)
	}
	if c := check(t, v, "import hubship-fine"); !c.Skipped {
		t.Errorf("import without a kernel: %+v", c)
	}
	page := check(t, v, verify.PageOpens)
	if page.Passed || page.Skipped || !strings.Contains(page.Detail, "/user/bad/no-such-page: 404 Not Found") {
		t.Errorf("a page that is not there: %+v", page)
	}
	h.gone(t, "bad")
}

func TestTokenAndScopes(t *testing.T) {
	h := startedHub(t)
	none, wrong := "", "0123456789abcdef"
	tests := []struct {
		name   string
		run    run
		detail []string
		log    string
	}{
		{"no token", run{user: "good", token: &none}, []string{"no key hub.services.tests-good.apiToken", "Add the values"}, "tests-good: {}"},
		{"wrong token", run{user: "good", token: &wrong}, []string{"the hub refuses the token of service tests-good (403)"}, ""},
		{"missing scope", run{user: "weak"}, []string{"service tests-weak lacks the scopes access:servers!user=weak. "}, "\"access:servers!user=weak\""},
		{"another's scopes", run{user: "good", service: "tests-other"}, []string{"admin:users!user=good, servers!user=good, access:servers!user=good"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v, err := h.verify(t, t.Context(), tt.run)
			if err != nil {
				t.Fatal(err)
			}
			c := failed(t, v, verify.TokenAccepted, tt.detail...)
			if !strings.Contains(c.Log, tt.log) {
				t.Errorf("the log does not show the values: %q", c.Log)
			}
			if c := check(t, v, verify.UserRemoved); !c.Skipped {
				t.Errorf("nothing was there to remove: %+v", c)
			}
		})
	}
}

func TestUserNamedLikeTheServiceIsRefused(t *testing.T) {
	h := startedHub(t)
	v, err := h.verify(t, t.Context(), run{user: "boss", service: "boss"})
	if err != nil {
		t.Fatal(err)
	}
	failed(t, v, verify.UserCreated, "both named boss")
	h.gone(t, "boss")
}

func TestAdministratorIsNotTouched(t *testing.T) {
	h := startedHub(t)
	v, err := h.verify(t, t.Context(), run{user: "an-admin"})
	if err != nil {
		t.Fatal(err)
	}
	failed(t, v, verify.UserCreated, "is an administrator")
	if u, err := h.admin.User(t.Context(), "an-admin"); err != nil || !u.Admin {
		t.Errorf("the administrator is gone: %+v, %v", u, err)
	}
}

func TestLeftoversAreRemovedFirst(t *testing.T) {
	h := startedHub(t)
	for _, user := range []string{"leftover", "pending"} {
		t.Run(user, func(t *testing.T) {
			if err := h.admin.CreateUser(t.Context(), user); err != nil {
				t.Fatal(err)
			}
			if _, err := h.admin.StartServer(t.Context(), user); err != nil {
				t.Fatal(err)
			}
			if user == "leftover" {
				if e, err := h.admin.Progress(t.Context(), user, func(jupyter.Event) {}); err != nil || !e.Ready {
					t.Fatal(e, err)
				}
			}
			v, err := h.verify(t, t.Context(), run{user: user})
			if err != nil || !v.Passed {
				t.Fatalf("passed=%v reason=%q error=%v", v.Passed, v.Reason, err)
			}
			if c := check(t, v, verify.UserCreated); !strings.Contains(c.Detail, "after removing what an earlier verification left") {
				t.Errorf("the leftover is not mentioned: %+v", c)
			}
			h.gone(t, user)
		})
	}
}

// No server starts on a claim that the cluster is still removing.
func TestRemovalIsWaitedFor(t *testing.T) {
	h := startedHub(t)
	claim := []string{"claim-removing"}
	t.Run("until it is done", func(t *testing.T) {
		asked := 0
		v, err := h.verify(t, t.Context(), run{user: "removing", removing: func(user string) ([]string, error) {
			h.gone(t, user)
			if asked++; asked < 3 {
				return claim, nil
			}
			return nil, nil
		}})
		if err != nil || !v.Passed || asked != 3 {
			t.Errorf("passed=%v reason=%q error=%v, asked %d times", v.Passed, v.Reason, err, asked)
		}
		h.gone(t, "removing")
	})
	t.Run("not for ever", func(t *testing.T) {
		v, err := h.verify(t, t.Context(), run{user: "removing", deadlines: verify.Deadlines{User: time.Second},
			removing: func(string) ([]string, error) { return claim, nil }})
		if err != nil {
			t.Fatal(err)
		}
		failed(t, v, verify.UserCreated, "not within 1s", "claim-removing of an earlier verification is still being removed")
	})
	t.Run("and not without permission", func(t *testing.T) {
		v, err := h.verify(t, t.Context(), run{user: "removing", removing: func(string) ([]string, error) { return nil, errors.New("forbidden") }})
		if err != nil || !v.Passed {
			t.Errorf("passed=%v reason=%q error=%v", v.Passed, v.Reason, err)
		}
	})
}

func TestCancelCleansUp(t *testing.T) {
	h := startedHub(t)
	t.Run("after the start", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		v, err := h.verify(t, ctx, run{user: "cancelled", packages: []string{"hubship-fine"}, onCheck: func(c model.Check) {
			if c.Name == verify.ServerAnswers {
				cancel()
			}
		}})
		cancelledWell(t, v, err, "import hubship-fine")
		h.gone(t, "cancelled")
	})
	t.Run("while the server starts", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(2*time.Second, cancel)
		v, err := h.verify(t, ctx, run{user: "hangs-cancel"})
		cancelledWell(t, v, err, verify.PageOpens)
		h.gone(t, "hangs-cancel")
	})
}

func cancelledWell(t *testing.T, v model.Verification, err error, unreached string) {
	t.Helper()
	if !errors.Is(err, context.Canceled) || v.Passed {
		t.Errorf("passed=%v error=%v, want context.Canceled", v.Passed, err)
	}
	if c := check(t, v, unreached); !c.Skipped {
		t.Errorf("%s was not skipped: %+v", unreached, c)
	}
	for _, name := range []string{verify.ServerStopped, verify.UserRemoved} {
		if c := check(t, v, name); !c.Passed {
			t.Errorf("cleanup: %+v", c)
		}
	}
}

func TestHubThatIsDownFails(t *testing.T) {
	ports, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{base: &url.URL{Scheme: "http", Host: "127.0.0.1"}}
	base := *h.base
	base.Host += fmt.Sprintf(":%d", ports[0])
	v, err := h.verify(t, t.Context(), run{user: "good", base: &base, packages: []string{"x"}, deadlines: verify.Deadlines{Hub: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	failed(t, v, verify.HubAnswers, "not within 1s", "connection refused")
	for _, c := range v.Checks[1:] {
		if !c.Skipped {
			t.Errorf("%s was not skipped", c.Name)
		}
	}
}
