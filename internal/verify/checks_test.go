package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/verify/jupyter"
)

func passes(context.Context) (finding, error) { return finding{detail: "fine"}, nil }

func TestRecorder(t *testing.T) {
	boom := func(context.Context) (finding, error) {
		return finding{detail: "ignored", log: "why"}, errors.New("it\n  broke")
	}
	waits := func(ctx context.Context) (finding, error) {
		<-ctx.Done()
		return finding{detail: "pulling"}, ctx.Err()
	}
	tests := []struct {
		name   string
		steps  []step
		want   []string // "name passed skipped detail"
		passed bool
		reason string
		err    string
	}{
		{"all pass", []step{{name: "a", run: passes}, {name: "b", needs: "a", run: passes}},
			[]string{"a true false fine", "b true false fine"}, true, "", ""},
		{"a failure skips what needs it", []step{{name: "a", run: boom}, {name: "b", needs: "a", run: passes}, {name: "c", needs: "b", run: passes}, {name: "d", run: passes}},
			[]string{"a false false it broke", `b false true needs "a"`, `c false true needs "b"`, "d true false fine"}, false, "a: it broke", ""},
		{"the first failure is the reason", []step{{name: "a", run: passes}, {name: "b", run: boom}, {name: "c", run: boom}},
			[]string{"a true false fine", "b false false it broke", "c false false it broke"}, false, "b: it broke", ""},
		{"deadline", []step{{name: "a", deadline: 20 * time.Millisecond, run: waits}},
			[]string{"a false false not within 20ms; last: pulling"}, false, "a: not within 20ms; last: pulling", ""},
		{"cleanup does not fail it", []step{{name: "a", run: passes}, {name: "z", cleanup: true, run: boom}},
			[]string{"a true false fine", "z false false warning, does not fail the verification: it broke"}, true, "", ""},
		{"cleanup always runs", []step{{name: "a", run: boom}, {name: "z", cleanup: true, run: passes}},
			[]string{"a false false it broke", "z true false fine"}, false, "a: it broke", ""},
		{"skipping itself", []step{{name: "a", run: func(context.Context) (finding, error) { return finding{}, &skipped{"not here"} }}, {name: "b", needs: "a", run: passes}},
			[]string{"a false true not here", `b false true needs "a"`}, true, "", ""},
		{"undecided", []step{{name: "a", run: func(context.Context) (finding, error) { return finding{}, &undecided{errors.New("no cluster")} }}, {name: "b", run: passes}, {name: "z", cleanup: true, run: passes}},
			[]string{"a false false no cluster", "b false true not reached: no cluster", "z true false fine"}, false, "a: no cluster", "no cluster"},
		{"hint", []step{{name: "a", run: func(context.Context) (finding, error) {
			return finding{}, model.WithHint(errors.New("no token"), "Add one")
		}}}, []string{"a false false no token. Add one"}, false, "a: no token. Add one", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for i := range tt.steps {
				if tt.steps[i].deadline == 0 {
					tt.steps[i].deadline = time.Minute
				}
			}
			var told []string
			r := &recorder{notify: func(c model.Check) {
				told = append(told, fmt.Sprintf("%s %v %v %s", c.Name, c.Passed, c.Skipped, c.Detail))
			}}
			err := r.run(t.Context(), time.Minute, tt.steps)
			if !reflect.DeepEqual(told, tt.want) {
				t.Errorf("checks:\n%s\nwant:\n%s", strings.Join(told, "\n"), strings.Join(tt.want, "\n"))
			}
			if r.passed != tt.passed || r.reason != tt.reason {
				t.Errorf("passed=%v reason=%q", r.passed, r.reason)
			}
			if (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

func TestRecorderCleansUpAfterItsContextEnded(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cleaned := false
	r := &recorder{}
	err := r.run(ctx, 100*time.Millisecond, []step{
		{name: "a", deadline: time.Minute, run: func(context.Context) (finding, error) { cancel(); return finding{}, nil }},
		{name: "b", deadline: time.Minute, run: passes},
		{name: "y", deadline: time.Minute, cleanup: true, run: func(ctx context.Context) (finding, error) {
			cleaned = ctx.Err() == nil
			<-ctx.Done() // its own bound ends it
			return finding{}, ctx.Err()
		}},
		{name: "z", deadline: time.Minute, cleanup: true, run: func(ctx context.Context) (finding, error) { return finding{}, ctx.Err() }},
	})
	if !errors.Is(err, context.Canceled) || !cleaned || len(r.checks) != 4 || !r.checks[1].Skipped || r.checks[3].Passed {
		t.Errorf("error %v, cleaned %v, checks %+v", err, cleaned, r.checks)
	}
}

func TestMissingScopes(t *testing.T) {
	tests := []struct {
		have, want []string
	}{
		{Scopes("u"), nil},
		{[]string{"admin:users", "servers", "access:servers"}, nil},
		{[]string{"admin:users!group=g", "servers!user=u", "access:servers!user=u"}, nil},
		{[]string{"admin:users!user=v", "servers!user=u"}, []string{"admin:users!user=u", "access:servers!user=u"}},
		{nil, Scopes("u")},
	}
	for _, tt := range tests {
		if got := missing(tt.have, "u"); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%v lacks %v, want %v", tt.have, got, tt.want)
		}
	}
}

func TestValuesAreYAML(t *testing.T) {
	var v struct {
		Hub struct {
			Config struct {
				Authenticator struct {
					Blocked []string `yaml:"blocked_users"`
				} `yaml:"Authenticator"`
			}
			Services  map[string]map[string]any
			LoadRoles map[string]struct{ Services, Scopes []string } `yaml:"loadRoles"`
		}
	}
	if err := yaml.Unmarshal([]byte(Values("hubship", "hubship-verify")), &v); err != nil {
		t.Fatal(err)
	}
	role := v.Hub.LoadRoles["hubship"]
	if _, ok := v.Hub.Services["hubship"]; !ok || !reflect.DeepEqual(role.Services, []string{"hubship"}) || !reflect.DeepEqual(role.Scopes, Scopes("hubship-verify")) ||
		!reflect.DeepEqual(v.Hub.Config.Authenticator.Blocked, []string{"hubship-verify"}) {
		t.Errorf("%+v", v)
	}
}

func TestTokenFrom(t *testing.T) {
	token, err := TokenFrom(map[string][]byte{"hub.services.x.apiToken": []byte("abc\n")}, "x")
	if token != "abc" || err != nil {
		t.Errorf("%q, %v", token, err)
	}
	for _, data := range []map[string][]byte{nil, {}, {"hub.services.x.apiToken": nil}, {"hub.services.y.apiToken": []byte("abc")}} {
		if _, err := TokenFrom(data, "x"); !errors.Is(err, ErrNoToken) {
			t.Errorf("%v: %v", data, err)
		}
	}
}

func TestDistinct(t *testing.T) {
	in := []model.Package{{Name: "scikit-learn"}, {Name: "Scikit_Learn", Spec: "==1"}, {Name: ""}, {Name: "ruamel.yaml"}}
	if got := distinct(in); len(got) != 2 || got[0].Name != "scikit-learn" || got[1].Name != "ruamel.yaml" {
		t.Errorf("%+v", got)
	}
}

func TestLastBytesAndLines(t *testing.T) {
	if got := lastBytes("aaaa\nbbbbbbbb\n", 10); got != "bbbbbbbb" {
		t.Errorf("%q", got)
	}
	if got := lastBytes("éééé", 5); got != "éé" {
		t.Errorf("%q", got)
	}
	if got := lastLines("a\nb\nc\n", 2); got != "b\nc" {
		t.Errorf("%q", got)
	}
}

func TestOptionsAreRequired(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("a verifier without a transport was made")
	}
	if _, err := New(Options{Transport: func(model.Cluster, model.Target) (http.RoundTripper, error) { return nil, nil }}); err == nil {
		t.Error("a verifier without a token was made")
	}
}

// hubScript answers requests of one test; what it does not know is a 404.
type hubScript map[string]http.HandlerFunc // "METHOD /path"

func (h hubScript) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f, ok := h[r.Method+" "+r.URL.Path]; ok {
		f(w, r)
		return
	}
	http.NotFound(w, r)
}

func (h hubScript) session(t *testing.T) *session {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	base, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return &session{hub: jupyter.New(base, http.DefaultTransport, ""), user: "u", progress: func(string) {}}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func events(messages ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, m := range messages {
			_, _ = fmt.Fprintf(w, "data: %s\n\n", m)
		}
	}
}

const (
	requested = `{"progress": 0, "message": "Server requested"}`
	pulling   = `{"progress": 50, "message": "Pulling image"}`
	// The time is one that no start in these tests comes after.
	backOff   = `{"progress": 60, "message": "2999-11-23T04:58:49Z [Warning] Back-off pulling image \"x\""}`
	isReady   = `{"progress": 100, "ready": true, "message": "Server ready"}`
	hasFailed = `{"progress": 100, "failed": true, "message": "Spawn failed: no room"}`
)

func TestServerStarts(t *testing.T) {
	const start, progress = "POST /hub/api/users/u/server", "GET /hub/api/users/u/server/progress"
	var calls atomic.Int32
	inTurn := func(handlers ...http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			handlers[min(int(calls.Add(1)), len(handlers))-1](w, r)
		}
	}
	tests := []struct {
		name string
		hub  hubScript
		err  string
		log  []string
	}{
		{"at once", hubScript{start: status(201), progress: status(400)}, "", nil},
		{"with events", hubScript{start: status(202), progress: events(requested, pulling, isReady)}, "", []string{"Server requested", "Pulling image", "Server ready"}},
		{"failed with events", hubScript{start: status(202), progress: events(requested, hasFailed)}, "Spawn failed: no room", []string{"no room"}},
		{"failed with a warning", hubScript{start: status(202), progress: events(requested, backOff, pulling, hasFailed)},
			`Spawn failed: no room; the pod's last warning: Back-off pulling image "x"`, []string{"Back-off"}},
		{"the stream breaks", hubScript{start: status(202), progress: inTurn(events(requested), events(requested, pulling), events(requested, pulling, isReady))}, "",
			[]string{"Server requested", "Pulling image", "Server ready"}},
		{"bare error, reason in the event", hubScript{start: status(500), progress: inTurn(status(400), events(hasFailed))}, "Spawn failed: no room", nil},
		{"bare error", hubScript{start: status(500), progress: status(400)}, "start the server of u: 500 Internal Server Error", nil},
		{"too many at a time", hubScript{start: inTurn(status(429), status(502), status(201)), progress: status(404)}, "", nil},
		{"forbidden", hubScript{start: status(403), progress: status(404)}, "403", nil},
		{"forgotten by a hub that restarted", hubScript{start: status(202), progress: inTurn(events(requested), status(400))}, "no longer knows", []string{"Server requested"}},
		{"answered by none but ready", hubScript{start: status(400), progress: events(isReady)}, "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			calls.Store(0)
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			defer cancel()
			found, err := tt.hub.session(t).serverStarts(ctx)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			for _, text := range tt.log {
				if strings.Count(found.log, text) != 1 {
					t.Errorf("%q should be in the log once:\n%s", text, found.log)
				}
			}
		})
	}
}

func TestStopAsksAgainUntilTheServerIsGone(t *testing.T) {
	var looks, stops atomic.Int32
	hub := hubScript{
		"GET /hub/api/users/u": func(w http.ResponseWriter, _ *http.Request) {
			u := jupyter.User{Name: "u", Server: "/user/u/"}
			switch looks.Add(1) {
			case 1:
			case 2:
				u.Pending = "stop"
			default:
				u.Server = ""
			}
			_ = json.NewEncoder(w).Encode(u)
		},
		"DELETE /hub/api/users/u/server": func(w http.ResponseWriter, _ *http.Request) {
			stops.Add(1)
			w.WriteHeader(202)
		},
	}
	if err := hub.session(t).stop(t.Context()); err != nil || stops.Load() != 1 || looks.Load() != 3 {
		t.Errorf("error %v after %d looks and %d stops", err, looks.Load(), stops.Load())
	}
}

func TestTokenThatCannotBeReadIsUndecided(t *testing.T) {
	hub := hubScript{
		"GET /hub/api/":   func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"version": "5.0"}`)) },
		"GET /hub/health": status(200),
	}
	srv := httptest.NewServer(hub)
	defer srv.Close()
	noCluster := errors.New("no route to the cluster")
	v, err := New(Options{
		Transport: func(model.Cluster, model.Target) (http.RoundTripper, error) { return http.DefaultTransport, nil },
		Token: func(context.Context, model.Cluster, model.Target, string) (string, error) {
			return "", noCluster
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	target := model.Target{Hub: "h", Environment: "staging", Host: strings.TrimPrefix(srv.URL, "http://")}
	out, err := v.Verify(t.Context(), model.Cluster{}, model.VerifyRequest{Target: target})
	if !errors.Is(err, noCluster) || out.Passed || !strings.Contains(err.Error(), "hub h in staging") {
		t.Errorf("passed=%v error=%v", out.Passed, err)
	}
	if len(out.Checks) < 2 || !out.Checks[0].Passed || out.Checks[0].Detail != "JupyterHub 5.0" {
		t.Errorf("checks %+v", out.Checks)
	}
}
