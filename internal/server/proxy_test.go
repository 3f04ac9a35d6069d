package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/server"
)

const hubName = "datahub-staging.localhost"

// upstream is a hub: it echoes what it sees.
func upstream(t *testing.T) net.Listener {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		for _, c := range r.URL.Query()["set"] {
			w.Header().Add("Set-Cookie", c)
		}
		seen := map[string]string{"host": r.Host, "path": r.URL.RequestURI(), "method": r.Method}
		for k := range r.Header {
			seen[k] = r.Header.Get(k)
		}
		_ = json.NewEncoder(w).Encode(seen)
	})
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		fmt.Fprintf(w, "%d %x %v", n, h.Sum(nil), err)
	})
	mux.HandleFunc("/stream", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(300 * time.Millisecond):
			}
		}
	})
	mux.HandleFunc("/ws", func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil) // compares Origin with Host, as hubs do
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		conn.SetReadLimit(8 << 20)
		for {
			kind, data, err := conn.Read(r.Context())
			if err != nil || conn.Write(r.Context(), kind, data) != nil {
				return
			}
		}
	})
	srv := httptest.NewServer(mux)
	t.Cleanup(srv.Close)
	return srv.Listener
}

func serveHub(t *testing.T, svc *service) *running {
	t.Helper()
	l := upstream(t)
	return serve(t, server.Options{Service: svc, Dial: func(ctx context.Context, c model.Cluster, target model.Target) (net.Conn, error) {
		if c.Name != "local" || target.Namespace != "datahub-staging" {
			return nil, fmt.Errorf("dial of %s on %s", target, c.Name)
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
	}})
}

func TestProxyHeaders(t *testing.T) {
	r := serveHub(t, newService(t))
	host := hubName + ":8080"
	_, body := r.get(t, host, "/echo?a=%2Fb&c=d%20e", func(req *http.Request) {
		req.Header.Set("X-Forwarded-For", "203.0.113.9")
		req.Header.Set("X-Forwarded-Host", "evil.example.org")
		req.Header.Set("Cookie", "session=1")
		req.Header.Set("Accept-Encoding", "br")
	})
	var seen map[string]string
	if err := json.Unmarshal([]byte(body), &seen); err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	for k, want := range map[string]string{
		"host": host, "path": "/echo?a=%2Fb&c=d%20e", "method": "GET", "Cookie": "session=1", "Accept-Encoding": "br",
		"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": host, "X-Forwarded-Proto": "http",
	} {
		if seen[k] != want {
			t.Errorf("%s is %q, want %q", k, seen[k], want)
		}
	}
	// hubship's own addresses are not under the names of hubs.
	if res, _ := r.get(t, hubName, "/api/v1/status", nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("the API under the name of a hub: %s", res.Status)
	}
}

func TestProxyUpload(t *testing.T) {
	r := serveHub(t, newService(t))
	data := make([]byte, 64<<20)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+r.addr+"/upload", io.MultiReader(bytes.NewReader(data))) // of unknown length
	if err != nil {
		t.Fatal(err)
	}
	req.Host = hubName
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	if want := fmt.Sprintf("%d %x <nil>", len(data), sha256.Sum256(data)); err != nil || string(got) != want {
		t.Errorf("arrived %s, %v; want %s", got, err, want)
	}
}

func TestProxyStreams(t *testing.T) {
	r := serveHub(t, newService(t))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.addr+"/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = hubName
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	start := time.Now()
	var at []time.Duration
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data:") {
			at = append(at, time.Since(start))
		}
	}
	if len(at) != 3 || at[2]-at[0] < 400*time.Millisecond {
		t.Errorf("three events 300 ms apart arrived at %v", at)
	}
}

// dialWebsocket opens a websocket to the hub, as a browser would.
func dialWebsocket(t *testing.T, r *running) *websocket.Conn {
	t.Helper()
	through := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", r.addr)
	}}}
	conn, _, err := websocket.Dial(t.Context(), "ws://"+hubName+":8080/ws", &websocket.DialOptions{
		HTTPClient: through, HTTPHeader: http.Header{"Origin": {"http://" + hubName + ":8080"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(8 << 20)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

func TestProxyWebsocket(t *testing.T) {
	r := serveHub(t, newService(t))
	conn := dialWebsocket(t, r)
	big := bytes.Repeat([]byte("0123456789"), 400_000)
	for i, message := range [][]byte{[]byte("hello"), {}, big} {
		if err := conn.Write(t.Context(), websocket.MessageBinary, message); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(t.Context()); err != nil || !bytes.Equal(got, message) {
			t.Fatalf("message %d came back with %d bytes, %v", i, len(got), err)
		}
	}
	// An open websocket ends with the server, and does not hold it up.
	closed := make(chan error, 1)
	go func() {
		_, _, err := conn.Read(context.Background())
		closed <- err
	}()
	start := time.Now()
	r.stop()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("stopping took %s", took)
	}
	select {
	case err := <-closed:
		if err == nil {
			t.Error("a message came from nowhere")
		}
	case <-time.After(5 * time.Second):
		t.Error("the websocket outlives the server")
	}
}

func TestHubNotThere(t *testing.T) {
	svc := newService(t)
	svc.waiting = []string{"pod hub-7c9: image is being pulled <b>"}
	r := serve(t, server.Options{Service: svc, Dial: func(context.Context, model.Cluster, model.Target) (net.Conn, error) {
		return nil, errors.New("connection refused")
	}})
	res, body := r.get(t, hubName, "/hub/", func(req *http.Request) { req.Header.Set("Accept", "text/html,*/*") })
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" {
		t.Errorf("%s, Retry-After %q", res.Status, res.Header.Get("Retry-After"))
	}
	if !strings.Contains(body, `http-equiv="refresh"`) {
		t.Errorf("the page does not look again:\n%s", body)
	}
	// Nobody has signed in to hubship under the name of a hub.
	for _, secret := range []string{"hub-7c9", "local", "datahub"} {
		if strings.Contains(body, secret) {
			t.Errorf("the page tells %q:\n%s", secret, body)
		}
	}
	res, body = r.get(t, hubName, "/hub/api/", nil)
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Content-Type") != "application/json" || !strings.Contains(body, "does not answer yet") || strings.Contains(body, "datahub") {
		t.Errorf("for a program: %s %s\n%s", res.Status, res.Header.Get("Content-Type"), body)
	}
}

// Names come and go; when nobody can tell them, those of before stay.
func TestHostsChange(t *testing.T) {
	svc := newService(t)
	r := serveHub(t, svc)
	want := func(status int) {
		t.Helper()
		deadline := time.Now().Add(5 * time.Second)
		for {
			res, _ := r.get(t, hubName, "/echo", nil)
			if res.StatusCode == status {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s, want %d", res.Status, status)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	want(200)
	svc.mu.Lock()
	routes := svc.hosts
	svc.hosts = nil
	svc.mu.Unlock()
	want(421)
	svc.mu.Lock()
	svc.hosts = routes
	svc.mu.Unlock()
	want(200)
	svc.mu.Lock()
	svc.broken, svc.hosts = errors.New("the cluster does not answer"), nil
	before := svc.looked
	svc.mu.Unlock()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		svc.mu.Lock()
		asked := svc.looked > before
		svc.mu.Unlock()
		if res, _ := r.get(t, hubName, "/echo", nil); res.StatusCode != http.StatusOK {
			t.Fatalf("%s, want 200", res.Status)
		}
		if asked { // and once more since
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the names were not asked for again")
		}
	}
}

func BenchmarkProxy(b *testing.B) {
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer hub.Close()
	r := serve(b, server.Options{Service: newService(b), Dial: func(ctx context.Context, _ model.Cluster, _ model.Target) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", hub.Listener.Addr().String())
	}})
	for _, way := range []struct{ name, addr string }{{"direct", hub.Listener.Addr().String()}, {"through", r.addr}} {
		b.Run(way.name, func(b *testing.B) {
			for b.Loop() {
				req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://"+way.addr+"/", nil)
				if err != nil {
					b.Fatal(err)
				}
				req.Host = hubName
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		})
	}
}
