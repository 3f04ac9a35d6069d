package jupyter

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	base, err := url.Parse(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	return New(base, http.DefaultTransport, "s3cret")
}

func TestEndpointsEscapeNames(t *testing.T) {
	tests := []struct{ base, user, want string }{
		{"http://h/", "ann", "http://h/hub/api/users/ann/server"},
		{"http://h/jupyter/", "ann", "http://h/jupyter/hub/api/users/ann/server"},
		{"http://h:81", "a/b c", "http://h:81/hub/api/users/a%2Fb%20c/server"},
		{"http://h/j%2Fx/?q#f", "ann@uni", "http://h/j%2Fx/hub/api/users/ann@uni/server"},
		{"http://user:password@h/", "..%2f", "http://h/hub/api/users/..%252f/server"},
	}
	for _, tt := range tests {
		base, err := url.Parse(tt.base)
		if err != nil {
			t.Fatal(err)
		}
		if got := New(base, nil, "t").user(tt.user, "server").String(); got != tt.want {
			t.Errorf("user %q below %s: %s, want %s", tt.user, tt.base, got, tt.want)
		}
	}
}

func TestErrorsSayWhatTheServerSaidWithoutTheToken(t *testing.T) {
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"message", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(403)
			_, _ = w.Write([]byte(`{"status": 403, "message": "token s3cret may not"}`))
		}, "ask the hub whom this token belongs to: 403 Forbidden: token *** may not"},
		{"page", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(502)
			_, _ = w.Write([]byte(`<html>long page</html>`))
		}, "ask the hub whom this token belongs to: 502 Bad Gateway"},
		{"login", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/hub/login?next=s3cret", http.StatusFound)
		}, "ask the hub whom this token belongs to: 302 Found: redirected to /hub/login"},
		{"long", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(500)
			_, _ = w.Write([]byte(strings.Repeat("é", maxMessage)))
		}, "ask the hub whom this token belongs to: 500 Internal Server Error: " + strings.Repeat("é", maxMessage/2) + "…"},
		{"huge", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(strings.Repeat("x", maxBody+1)))
		}, "ask the hub whom this token belongs to: the response is larger than 4 MiB"},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("<html>"))
		}, "ask the hub whom this token belongs to: the response is not the expected JSON: invalid character '<' looking for beginning of value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := serve(t, tt.handler).Identity(t.Context())
			if err == nil || err.Error() != tt.want {
				t.Errorf("error %v\nwant  %s", err, tt.want)
			}
		})
	}
}

func TestPageStaysOnTheServer(t *testing.T) {
	tests := []struct {
		name, at, to string // the page at redirects to
		page, err    string
	}{
		{"default", "/user/u/", "/user/u/lab?reset", "/user/u/lab", ""},
		{"relative", "/user/u/", "tree/x/../y", "/user/u/tree/y", ""},
		{"login", "/user/u/", "/hub/api/oauth2/authorize?state=x", "/user/u/", "/user/u/ redirects to /hub/api/oauth2/authorize, away from the server"},
		{"other user", "/user/u/", "/user/u2/lab", "/user/u/", "away from the server"},
		{"dots", "/user/u/", "/user/u/../../hub/home", "/user/u/", "away from the server"},
		{"other host", "/user/u/", "http://elsewhere.invalid/user/u/lab", "/user/u/", "away from the server"},
		{"loop", "/user/u/lab", "/user/u/", "", "more than 10 redirects"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "token s3cret" {
					t.Errorf("%s was asked for with %q", r.URL, r.Header.Get("Authorization"))
				}
				switch {
				case r.URL.Path == tt.at:
					w.Header().Set("Location", tt.to)
					w.WriteHeader(http.StatusFound)
				case tt.name == "loop":
					w.Header().Set("Location", "/user/u/lab")
					w.WriteHeader(http.StatusFound)
				default:
					_, _ = w.Write([]byte("<html>lab</html>"))
				}
			})
			page, err := c.Notebook("u").Page(t.Context())
			if tt.err == "" && (err != nil || page != tt.page) {
				t.Errorf("page %q, error %v", page, err)
			}
			if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

func TestReadEvents(t *testing.T) {
	const stream = "\n\n\n\ndata: {\"progress\": 0, \"message\": \"Server requested\"}\n\n" +
		"data: {\"progress\": 50, \"message\": \"Spawning server...\"}\n\n\n\n"
	tests := []struct {
		name, in string
		seen     int
		last     Event
		err      string
	}{
		{"ready", stream + "data: {\"progress\": 100, \"ready\": true, \"message\": \"Server ready at /user/u/\", \"url\": \"/user/u/\"}\n\n", 3,
			Event{Progress: 100, Ready: true, Message: "Server ready at /user/u/"}, ""},
		{"failed", stream + "data: {\"progress\": 100, \"failed\": true, \"message\": \"Spawn failed: x\"}\n\n", 3,
			Event{Progress: 100, Failed: true, Message: "Spawn failed: x"}, ""},
		{"two lines", "data: {\"ready\":\ndata: true}\n\n", 1, Event{Ready: true}, ""},
		{"ended early", stream, 2, Event{}, ErrStreamEnded.Error()},
		{"cut", stream + "data: {\"progress\": 100", 2, Event{}, ErrStreamEnded.Error()},
		{"no JSON", "data: oops\n\n", 0, Event{}, "not the expected JSON"},
		{"long line", "data: " + strings.Repeat("x", maxEvent+1) + "\n\n", 0, Event{}, "too long"},
		{"long event", strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", maxEvent/1000+2) + "\n", 0, Event{}, "larger than"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			seen := 0
			last, err := readEvents(strings.NewReader(tt.in), func(Event) { seen++ })
			if seen != tt.seen || last != tt.last {
				t.Errorf("%d events, the last one %+v", seen, last)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}

func TestProgressOfAServerThatDoesNotStart(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(400)
		_, _ = w.Write([]byte(`{"message": "u is not starting..."}`))
	})
	if _, err := c.Progress(t.Context(), "u", func(Event) {}); StatusOf(err) != 400 {
		t.Errorf("error %v", err)
	}
}

func TestRequestsEndWithTheirContext(t *testing.T) {
	release := make(chan struct{})
	c := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := c.Health(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

func TestPython(t *testing.T) {
	tests := []struct {
		specs KernelSpecs
		name  string
		ok    bool
	}{
		{KernelSpecs{"python3", map[string]string{"python3": "python", "ir": "r"}}, "python3", true},
		{KernelSpecs{"ir", map[string]string{"python3": "python", "py-x": "python", "ir": "r"}}, "py-x", true},
		{KernelSpecs{"ir", map[string]string{"ir": "r"}}, "", false},
		{KernelSpecs{"python3", nil}, "", false},
	}
	for _, tt := range tests {
		if name, ok := tt.specs.Python(); name != tt.name || ok != tt.ok {
			t.Errorf("%+v: %q %v", tt.specs, name, ok)
		}
	}
}

func TestIdle(t *testing.T) {
	tests := []struct {
		user User
		idle bool
	}{
		{User{}, true},
		{User{Server: "/user/u/"}, false},
		{User{Pending: "spawn"}, false},
		{User{Servers: map[string]Server{"": {Stopped: true}}}, true},
		{User{Servers: map[string]Server{"": {Pending: "stop"}}}, false},
		{User{Servers: map[string]Server{"": {Ready: true}}}, false},
		{User{Servers: map[string]Server{"named": {Ready: true}}}, true},
	}
	for _, tt := range tests {
		if tt.user.Idle() != tt.idle {
			t.Errorf("%+v: idle=%v", tt.user, !tt.idle)
		}
	}
}
