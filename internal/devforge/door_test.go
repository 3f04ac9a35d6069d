package devforge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/devforge"
	"github.com/hubship/hubship/internal/forge/forgetest/process"
	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/loopback"
)

// serve serves as hubship's HTTP port does, and returns where.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ConnContext = loopback.Context
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// behind serves in place of the forge, and returns where its door is.
func behind(t *testing.T, trusted []netip.Prefix, h http.Handler) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hf")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return serve(t, devforge.Door(filepath.Join(dir, "s"), trusted, slog.New(slog.DiscardHandler)))
}

// seen is what came of a request.
type seen struct {
	Host, URI string
	Header    http.Header
}

// through sends a request with headers that a client may lie in.
func through(t *testing.T, trusted []netip.Prefix, at, connection string, header http.Header) seen {
	t.Helper()
	var got seen
	addr := behind(t, trusted, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = seen{r.Host, r.RequestURI, r.Header}
	}))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+at+"a%2Fb.git/info/refs?service=git-upload-pack;x&y=%zz", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "hubship.example.edu"
	req.Header = header
	if connection != "" {
		req.Header.Set("Connection", connection)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return got
}

// What a client says of who it is counts only where an operator trusts it, and
// then as far as clientaddr believes it.
func TestDoorSaysWhoTheClientIs(t *testing.T) {
	me := fmt.Sprint(os.Geteuid())
	lies := func() http.Header {
		return http.Header{
			"X-Forwarded-For": {"192.0.2.66", "192.0.2.7"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Prefix": {"/x"},
			"Forwarded": {"for=192.0.2.66"}, "X-Real-Ip": {"192.0.2.66"}, "X-Hubship-Peer": {"0"}, "X-Hubship-By": {"root"}, "X-Hubship-Form": {"token"}, "Accept": {"text/html"},
		}
	}
	loop := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	for name, c := range map[string]struct {
		trusted     []netip.Prefix
		connection  string
		addr, proto string
	}{
		"a client":                          {nil, "", "127.0.0.1", "http"},
		"a client that has headers removed": {nil, "X-Forwarded-For, X-Hubship-Peer, X-Forwarded-Proto", "127.0.0.1", "http"},
		"a trusted proxy":                   {loop, "", "192.0.2.7", "https"},
	} {
		t.Run(name, func(t *testing.T) {
			got := through(t, c.trusted, "/forge/", c.connection, lies())
			for header, want := range map[string][]string{"X-Forwarded-For": {c.addr}, "X-Forwarded-Proto": {c.proto}, "X-Hubship-Peer": {me}, "Accept": {"text/html"}} {
				if !slices.Equal(got.Header[header], want) {
					t.Errorf("%s is %q, want %q", header, got.Header[header], want)
				}
			}
			for header := range got.Header {
				if header == "Forwarded" || header == "X-Real-Ip" || strings.HasPrefix(header, "X-Forwarded-H") || strings.HasPrefix(header, "X-Forwarded-Pre") || header == "X-Hubship-By" || header == "X-Hubship-Form" {
					t.Errorf("%s came through: %q", header, got.Header[header])
				}
			}
			if got.Host != "hubship.example.edu" || got.URI != "/forge/a%2Fb.git/info/refs?service=git-upload-pack;x&y=%zz" {
				t.Errorf("asked for %s at %s", got.URI, got.Host)
			}
			// Git and the API know no sessions: the kernel is not asked, and the client
			// not believed.
			for _, at := range []string{"/git/", "/api/v3/"} {
				if said := through(t, c.trusted, at, c.connection, lies()).Header["X-Hubship-Peer"]; len(said) > 0 {
					t.Errorf("%s: the peer is %q", at, said)
				}
			}
		})
	}
}

// What is sent passes as it comes, and so does what is answered: a byte is there
// before the next one follows.
func TestDoorStreams(t *testing.T) {
	reached, answered := make(chan byte), make(chan bool)
	addr := behind(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one := make([]byte, 1)
		for {
			if n, _ := r.Body.Read(one); n == 0 {
				break
			}
			reached <- one[0]
		}
		for _, text := range []string{"x", "y"} {
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
			<-answered
		}
	}))
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = fmt.Fprintf(conn, "POST /git/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
	for _, want := range []byte("ab") {
		_, _ = fmt.Fprintf(conn, "1\r\n%c\r\n", want)
		select {
		case got := <-reached:
			if got != want {
				t.Fatalf("%c was sent, %c arrived", want, got)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%c does not arrive while nothing follows", want)
		}
	}
	_, _ = fmt.Fprintf(conn, "0\r\n\r\n")
	var answer bytes.Buffer
	for _, want := range []string{"\r\n1\r\nx\r\n", "1\r\ny\r\n"} {
		for !strings.HasSuffix(answer.String(), want) {
			if _, err := io.CopyN(&answer, conn, 1); err != nil {
				t.Fatalf("%v after %q", err, &answer)
			}
		}
		answered <- true
	}
}

// An answer that comes before everything was sent is the one that arrives.
func TestDoorPassesEarlyAnswersOn(t *testing.T) {
	addr := behind(t, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no", http.StatusUnauthorized)
	}))
	for _, size := range []int{2, 100 << 10, 32 << 20} {
		for range 5 {
			// A reader of its own kind: its length is all that is known of it.
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/git/x.git/git-receive-pack", io.LimitReader(zeros{}, int64(size)))
			if err != nil {
				t.Fatal(err)
			}
			req.ContentLength = int64(size)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusUnauthorized {
				t.Errorf("%d bytes: %s", size, res.Status)
			}
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// While the forge is away everybody is told so in the form that they read.
func TestDoorWithoutForge(t *testing.T) {
	addr := serve(t, devforge.Door(filepath.Join(t.TempDir(), "nothing"), nil, slog.New(slog.DiscardHandler)))
	for path, kind := range map[string]string{"/forge/hubs/deployment": "text/html", "/api/v3/user": "application/json", "/git/hubs/deployment.git/info/refs": "text/plain", "/hubs/deployment.git/info/refs": "text/plain"} {
		res, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusBadGateway || !strings.HasPrefix(res.Header.Get("Content-Type"), kind) || !strings.Contains(string(body), "does not answer") {
			t.Errorf("%s: %s, %s\n%s", path, res.Status, res.Header.Get("Content-Type"), body)
		}
		var said struct{ Message string }
		if kind == "application/json" && (json.Unmarshal(body, &said) != nil || said.Message == "") {
			t.Errorf("not GitHub's form: %s", body)
		}
	}
}

// gitAs runs git as a person does, with a token.
func gitAs(t *testing.T, token, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "credential.helper=", "-c", `credential.helper=!f() { echo username=git; echo "password=$TEST_TOKEN"; }; f`}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_TERMINAL_PROMPT=0", "LC_ALL=C", "TEST_TOKEN="+token,
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// large makes a clone with a commit of random bytes, which no compression makes
// small.
func large(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	noise := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(noise) // never fails
	if err := os.WriteFile(filepath.Join(dir, "noise"), noise, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "--quiet", "--initial-branch=topic"}, {"add", "noise"}, {"commit", "--quiet", "-m", "Noise"}} {
		if out, err := gitAs(t, "", dir, args...); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return dir
}

// A large push comes through whole, and one with a token that opens nothing is
// refused in words that git shows.
func TestLargePushThroughTheDoor(t *testing.T) {
	f := process.Start(t, process.Options{})
	f.Account("mia", "maintainer")
	dir := large(t, 24<<20)
	to := f.URL + "/git/" + f.Repository.String() + ".git"
	if out, err := gitAs(t, strings.Repeat("x", 40), dir, "push", to, "topic"); err == nil || !strings.Contains(out, "Authentication failed") {
		t.Errorf("with a wrong token: %v\n%s", err, out)
	}
	if out, err := gitAs(t, f.Token("mia"), dir, "push", to, "topic"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want, err := gitAs(t, "", dir, "rev-parse", "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	g, err := git.Open(f.Path(f.Repository))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Close() }()
	if head, err := g.Head(t.Context(), "topic"); err != nil || head != strings.TrimSpace(want) {
		t.Errorf("topic is at %q, %v; want %q", head, err, want)
	}
}

// Nothing waits in a push, a fetch or a clone for what the other side does not
// send.
func TestGitDoesNotWaitAtTheDoor(t *testing.T) {
	f := process.Start(t, process.Options{})
	f.Account("mia", "maintainer")
	token, dir := f.Token("mia"), large(t, 1<<10)
	to := f.URL + "/git/" + f.Repository.String() + ".git"
	longest := time.Duration(0)
	for n := range 8 {
		for _, args := range [][]string{
			{"commit", "--quiet", "--allow-empty", "-m", "More"}, {"push", "--quiet", to, "topic"}, {"fetch", "--quiet", to, "topic"},
			{"clone", "--quiet", to, filepath.Join(t.TempDir(), fmt.Sprint(n))},
		} {
			begin := time.Now()
			if out, err := gitAs(t, token, dir, args...); err != nil {
				t.Fatalf("git %v: %v\n%s", args, err, out)
			}
			longest = max(longest, time.Since(begin))
		}
	}
	if longest > 8*time.Second {
		t.Errorf("git took %s", longest)
	}
}

// A forge that dies in the middle of a push leaves git with an error, and the
// branch where it was. The push goes through when the forge is back.
func TestForgeKilledDuringAPush(t *testing.T) {
	f := process.Start(t, process.Options{})
	f.Account("mia", "maintainer")
	token, dir := f.Token("mia"), large(t, 8<<20)
	to := f.URL + "/git/" + f.Repository.String() + ".git"
	killed := make(chan struct{})
	// The proxy in between lets a part of the push through, and then kills.
	door := devforge.Door(f.Settings.Socket, nil, slog.New(slog.DiscardHandler))
	f.Mount("POST /git/hubs/deployment.git/git-receive-pack", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-killed:
		default:
			if r.ContentLength < 0 || r.ContentLength > 1<<20 {
				r.Body = &trap{ReadCloser: r.Body, left: 1 << 20, spring: func() { close(killed); f.Kill() }}
			}
		}
		door.ServeHTTP(w, r)
	}))
	out, err := gitAs(t, token, dir, "-c", "http.postBuffer=65536", "push", to, "topic")
	select {
	case <-killed:
	default:
		t.Fatalf("the forge was not killed: %v\n%s", err, out)
	}
	if err == nil || strings.Contains(out, "new branch") || !strings.Contains(out, "error: ") {
		t.Errorf("the push that was cut off: %v\n%s", err, out)
	}
	f.Restart()
	remote := func() string {
		t.Helper()
		out, err := gitAs(t, token, dir, "ls-remote", to, "refs/heads/topic")
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return out
	}
	if at := remote(); at != "" {
		t.Errorf("the branch is there: %s", at)
	}
	if out, err := gitAs(t, token, dir, "push", to, "topic"); err != nil || remote() == "" {
		t.Errorf("again: %v\n%s", err, out)
	}
}

// trap springs when some bytes were read.
type trap struct {
	io.ReadCloser
	left   int
	spring func()
}

func (b *trap) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left > 0 {
		if b.left -= n; b.left <= 0 {
			b.spring()
		}
	}
	return n, err
}

// Requests that nobody waits for any more end at the forge too.
func TestDoorEndsWithItsClient(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan struct{})
	addr := behind(t, nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		close(ended)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/forge/", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if res, err := http.DefaultClient.Do(req); err == nil {
			_ = res.Body.Close()
		}
	}()
	<-begun
	cancel()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Error("the forge still works on it")
	}
}

// An answer passes while its request is still being sent: neither waits for the
// other, and what is left of the request breaks nothing.
func TestBothWaysAtOnce(t *testing.T) {
	door := behind(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		_ = c.EnableFullDuplex()
		first := make([]byte, 5)
		_, _ = io.ReadFull(r.Body, first)
		_, _ = w.Write(first)
		_ = c.Flush()
		_, _ = io.Copy(w, r.Body)
	}))
	for _, path := range []string{"/git/hubs/deployment.git/git-receive-pack", "/git/hubs/deployment.git/git-upload-pack"} {
		body, sent := io.Pipe()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+door+path, body)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = sent.Write([]byte("first")) }()
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("%s: the answer waits for the end of the request: %v", path, err)
		}
		first := make([]byte, 5)
		if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" {
			t.Errorf("%s: %q, %v", path, first, err)
		}
		go func() {
			_, _ = sent.Write([]byte(strings.Repeat("rest ", 100_000)))
			_ = sent.Close()
		}()
		rest, err := io.ReadAll(resp.Body)
		if err != nil || len(rest) != 500_000 {
			t.Errorf("%s: %d bytes of the rest, %v", path, len(rest), err)
		}
		_ = resp.Body.Close()
	}
}
