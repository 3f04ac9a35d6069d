package buildkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/hubship/hubship/internal/image"
	"github.com/hubship/hubship/internal/model"
)

// live returns a Builder on a real BuildKit and registry, which the
// environment names. The registry must have debian:bookworm-slim.
func live(t testing.TB) *Builder {
	t.Helper()
	address, host := os.Getenv("HUBSHIP_TEST_BUILDKIT"), os.Getenv("HUBSHIP_TEST_REGISTRY")
	if address == "" || host == "" {
		t.Skip("needs a running BuildKit and registry: set HUBSHIP_TEST_BUILDKIT to its address and HUBSHIP_TEST_REGISTRY to the registry's host and port")
	}
	b, err := New(Options{Address: address, Registry: host, Keychain: registryCredentials(), Keys: testKeys(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

// registryCredentials are those of the registry under test.
func registryCredentials() authn.Keychain {
	return image.FileKeychain(os.Getenv("HUBSHIP_TEST_REGISTRY_CREDENTIALS"))
}

// context lays out files as a build context.
func contextDir(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// source is an image whose context is the root of its repository. nonce makes
// its hash one that no earlier run of the tests has used.
func source(t testing.TB, nonce string) model.Source {
	t.Helper()
	return model.Source{
		Image: model.Image{ID: "test/image", Name: "image", Repository: "hubship-test/image", Context: ".", Dockerfile: "Dockerfile"},
		Hash:  fmt.Sprintf("%s-%d-%s", t.Name(), time.Now().UnixNano(), nonce),
	}
}

// limited is a context that ends before the test does.
func limited(t testing.TB, limit time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	t.Cleanup(cancel)
	return ctx
}

// syncBuffer may be written and read at the same time.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestLiveBuildAndFind(t *testing.T) {
	b := live(t)
	ctx := limited(t, 5*time.Minute)
	nonce := fmt.Sprint(time.Now().UnixNano())
	dir := contextDir(t, map[string]string{
		"Dockerfile":    "# syntax=docker/dockerfile:1\nFROM debian:bookworm-slim\nCOPY greeting /greeting\nRUN echo \"saying $(cat /greeting)\"\n",
		"greeting":      "hello " + nonce + "\n",
		".dockerignore": "secret\n",
		"secret":        "not to be sent\n",
	})
	src := source(t, "a")

	if _, ok, err := b.Find(ctx, os.DirFS(dir), src); ok || err != nil {
		t.Fatalf("Find before the build = %v, %v", ok, err)
	}
	var log syncBuffer
	built, err := b.Build(ctx, dir, src, deploy, &log)
	if err != nil {
		t.Fatalf("Build: %v\n%s", err, log.String())
	}
	if !built.Rebuilt || built.ID != src.ID || built.Source != src.Hash || built.Tag != image.Tag(built.Key) || built.Size < 1_000_000 {
		t.Errorf("built %+v", built)
	}
	if text := log.String(); !strings.Contains(text, "| saying hello "+nonce+"\n") || !strings.Contains(text, "RUN echo") || !strings.Contains(text, "done in") {
		t.Errorf("log lacks the build's output:\n%s", text)
	}

	found, ok, err := b.Find(ctx, os.DirFS(dir), src)
	want := built
	want.Rebuilt = false
	if err != nil || !ok || found != want {
		t.Errorf("Find = %+v, %v, %v; want %+v", found, ok, err, want)
	}
	again, err := b.Build(ctx, dir, src, deploy, nil)
	if err != nil || again != want {
		t.Errorf("building again = %+v, %v; want %+v", again, err, want)
	}
	if ok, err := b.Exists(ctx, built); !ok || err != nil {
		t.Errorf("Exists = %v, %v", ok, err)
	}
	other := built
	other.Digest = "sha256:" + strings.Repeat("0", 64)
	if ok, err := b.Exists(ctx, other); ok || err != nil {
		t.Errorf("Exists of another digest = %v, %v", ok, err)
	}
	checkPushed(t, ctx, built)
}

// checkPushed looks at the image without the code under test.
func checkPushed(t *testing.T, ctx context.Context, built model.Built) {
	t.Helper()
	ref, err := name.NewDigest(built.Name+"@"+built.Digest, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(ref, remote.WithContext(ctx), remote.WithAuthFromKeychain(registryCredentials()))
	if err != nil {
		t.Fatalf("pull what was pushed: %v", err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Config.Labels[image.LabelSource] != built.Source || cfg.Config.Labels[image.LabelKey] != built.Key {
		t.Errorf("labels %v", cfg.Config.Labels)
	}
	if cfg.OS != "linux" || cfg.Architecture == "" {
		t.Errorf("platform %s/%s", cfg.OS, cfg.Architecture)
	}
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if last := manifest.Layers[len(manifest.Layers)-1]; !strings.HasSuffix(string(last.MediaType), "zstd") {
		t.Errorf("new layers are %s, want zstd", last.MediaType)
	}
}

func TestLiveBuildFileOutsideItsContext(t *testing.T) {
	b := live(t)
	ctx := limited(t, 3*time.Minute)
	nonce := fmt.Sprint(time.Now().UnixNano())
	dir := contextDir(t, map[string]string{
		"docker/user":        "FROM debian:bookworm-slim\nCOPY . /in\nRUN find /in -type f\n",
		"docker/hub":         "FROM nowhere:1\n",
		"hubs/data8/image/f": nonce,
		"hubs/data8/other":   "not part of the context",
	})
	src := source(t, "")
	src.Context, src.Dockerfile = "hubs/data8/image", "docker/user"
	var log syncBuffer
	built, err := b.Build(ctx, dir, src, deploy, &log)
	if err != nil {
		t.Fatalf("Build: %v\n%s", err, log.String())
	}
	if text := log.String(); !strings.Contains(text, "| /in/f\n") || strings.Contains(text, "/in/other") || strings.Contains(text, "/in/hub") {
		t.Errorf("the build saw other files than its context:\n%s", text)
	}
	found, ok, err := b.Find(ctx, os.DirFS(dir), src)
	if err != nil || !ok || found.Digest != built.Digest {
		t.Errorf("Find = %+v, %v, %v", found, ok, err)
	}
}

func TestLiveContentFindsItsOldImage(t *testing.T) {
	b := live(t)
	ctx := limited(t, 5*time.Minute)
	nonce := fmt.Sprint(time.Now().UnixNano())
	dockerfile := "FROM debian:bookworm-slim\nCOPY f /f\n"
	first, second := source(t, "one"), source(t, "two")
	dirs := map[string]string{
		first.Hash:  contextDir(t, map[string]string{"Dockerfile": dockerfile, "f": "one " + nonce}),
		second.Hash: contextDir(t, map[string]string{"Dockerfile": dockerfile, "f": "two " + nonce}),
	}
	built := map[string]model.Built{}
	for _, src := range []model.Source{first, second} {
		got, err := b.Build(ctx, dirs[src.Hash], src, deploy, nil)
		if err != nil {
			t.Fatal(err)
		}
		built[src.Hash] = got
	}
	if built[first.Hash].Digest == built[second.Hash].Digest {
		t.Error("different content has the same digest")
	}
	got, ok, err := b.Find(ctx, os.DirFS(dirs[first.Hash]), first)
	if err != nil || !ok || got.Digest != built[first.Hash].Digest {
		t.Errorf("Find of the reverted content = %+v, %v, %v; want digest %s", got, ok, err, built[first.Hash].Digest)
	}
}

func TestLiveFailureNamesTheInstruction(t *testing.T) {
	b := live(t)
	dir := contextDir(t, map[string]string{"Dockerfile": `FROM debian:bookworm-slim
RUN true

RUN for i in $(seq 1 30); do echo "line $i"; done && \
    echo oh dear && \
    exit 3
RUN never
`})
	var log syncBuffer
	_, err := b.Build(limited(t, 3*time.Minute), dir, source(t, ""), deploy, &log)
	var be *BuildError
	if !errors.As(err, &be) {
		t.Fatalf("error %v (%T), want a BuildError", err, err)
	}
	if be.File != "Dockerfile" || be.Line != 4 || be.Reason != "exit code 3" || !strings.HasPrefix(be.Instruction, "RUN for i in") {
		t.Errorf("%+v", be)
	}
	if n := len(be.Output); n != tailLines || be.Output[n-1] != "oh dear" || be.Output[0] != "line 12" {
		t.Errorf("output %q, want the last %d lines; log:\n%s", be.Output, tailLines, log.String())
	}
	if !strings.Contains(err.Error(), "Dockerfile:4: RUN for i in") || model.HintOf(err) == "" {
		t.Errorf("error %q, hint %q", err, model.HintOf(err))
	}
	if !strings.Contains(log.String(), "| line 1\n") {
		t.Errorf("log lacks the first line:\n%s", log.String())
	}
}

func TestLiveFailureWithoutOutput(t *testing.T) {
	b := live(t)
	for what, dockerfile := range map[string]string{
		"missing file": "FROM debian:bookworm-slim\nCOPY nothing /\n",
		"bad flag":     "FROM debian:bookworm-slim\nRUN --nonsense=1 true\n",
	} {
		dir := contextDir(t, map[string]string{"Dockerfile": dockerfile})
		_, err := b.Build(limited(t, time.Minute), dir, source(t, ""), deploy, nil)
		if err == nil || !strings.Contains(err.Error(), "Dockerfile") || !strings.Contains(err.Error(), "2") || model.HintOf(err) == "" {
			t.Errorf("%s: error %v, hint %q", what, err, model.HintOf(err))
		}
	}
}

func TestLiveCancelStopsTheBuild(t *testing.T) {
	b := live(t)
	dir := contextDir(t, map[string]string{"Dockerfile": "FROM debian:bookworm-slim\nRUN echo started && sleep 300\n"})
	ctx, cancel := context.WithCancel(limited(t, time.Minute))
	defer cancel()
	var log syncBuffer
	done := make(chan error, 1)
	go func() {
		_, err := b.Build(ctx, dir, source(t, ""), deploy, &log)
		done <- err
	}()
	for !strings.Contains(log.String(), "| started") {
		select {
		case err := <-done:
			t.Fatalf("ended before it was cancelled: %v\n%s", err, log.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
	began := time.Now()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that it was cancelled", err)
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("took %s to stop", took)
	}
}

// cut stands between a Builder and BuildKit, and can break the connection.
type cut struct {
	mu    sync.Mutex
	open  bool
	conns []net.Conn
}

func (c *cut) serve(l net.Listener, network, address string) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial(network, address)
		if err != nil {
			_ = in.Close()
			continue
		}
		c.mu.Lock()
		if !c.open {
			_, _ = in.Close(), out.Close()
		}
		c.conns = append(c.conns, in, out)
		c.mu.Unlock()
		for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
			go func() {
				_, _ = io.Copy(pair[0], pair[1])
				_ = pair[0].Close()
			}()
		}
	}
}

func (c *cut) set(open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = open
	if !open {
		for _, conn := range c.conns {
			_ = conn.Close()
		}
		c.conns = nil
	}
}

func TestLiveInterruptionIsRiddenOut(t *testing.T) {
	direct := live(t)
	network, address, _ := strings.Cut(direct.o.Address, "://")
	socket := filepath.Join(t.TempDir(), "bk.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := &cut{open: true}
	defer c.set(false)
	go c.serve(l, network, address)

	b, err := New(Options{Address: "unix://" + socket, Registry: direct.o.Registry, Keychain: direct.registry.Keychain(), Keys: testKeys(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	dir := contextDir(t, map[string]string{
		"Dockerfile": "FROM debian:bookworm-slim\nCOPY f /f\nRUN echo first\nRUN echo working && sleep 4\n",
		"f":          fmt.Sprint(time.Now().UnixNano()),
	})
	var log syncBuffer
	done := make(chan error, 1)
	go func() {
		_, err := b.Build(limited(t, time.Minute), dir, source(t, ""), deploy, &log)
		done <- err
	}()
	for !strings.Contains(log.String(), "| working") {
		select {
		case err := <-done:
			t.Fatalf("ended too early: %v\n%s", err, log.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
	c.set(false)
	time.Sleep(1500 * time.Millisecond)
	c.set(true)
	if err := <-done; err != nil {
		t.Errorf("Build: %v\n%s", err, log.String())
	}
	if !strings.Contains(log.String(), "interrupted: ") {
		t.Errorf("the log does not tell of the interruption:\n%s", log.String())
	}
}

func TestBuildKitDown(t *testing.T) {
	t.Parallel()
	// The registry must answer for the build to get as far as BuildKit.
	s := httptest.NewServer(registry.New(registry.Logger(discard())))
	defer s.Close()
	b, err := New(Options{
		Address: "unix://" + filepath.Join(t.TempDir(), "none.sock"), Registry: strings.TrimPrefix(s.URL, "http://"),
		Keychain: authn.NewMultiKeychain(), Patience: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	dir := contextDir(t, map[string]string{"Dockerfile": "FROM scratch\n"})
	_, err = b.Build(limited(t, time.Minute), dir, source(t, ""), deploy, nil)
	if err == nil || !strings.Contains(err.Error(), "none.sock") || !strings.Contains(model.HintOf(err), "none.sock") {
		t.Errorf("error %v, hint %q: want BuildKit's address in both", err, model.HintOf(err))
	}
}

func TestLiveTimeout(t *testing.T) {
	b := live(t)
	b.o.Timeout = 2 * time.Second
	dir := contextDir(t, map[string]string{"Dockerfile": "FROM debian:bookworm-slim\nRUN sleep 299\n"})
	_, err := b.Build(limited(t, time.Minute), dir, source(t, ""), deploy, nil)
	if err == nil || !strings.Contains(err.Error(), "not finished after 2s") || model.HintOf(err) == "" {
		t.Errorf("error %v, hint %q", err, model.HintOf(err))
	}
}

func TestLiveSameImageIsBuiltOnce(t *testing.T) {
	b := live(t)
	ctx := limited(t, 3*time.Minute)
	dir := contextDir(t, map[string]string{
		"Dockerfile": "FROM debian:bookworm-slim\nCOPY f /f\nRUN echo working && sleep 2\n",
		"f":          fmt.Sprint(time.Now().UnixNano()),
	})
	src := source(t, "")
	const callers = 4
	logs := make([]syncBuffer, callers)
	built := make([]model.Built, callers)
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { built[i], errs[i] = b.Build(ctx, dir, src, deploy, &logs[i]) })
	}
	wg.Wait()
	ran := 0
	for i := range callers {
		if errs[i] != nil || built[i] != built[0] {
			t.Errorf("caller %d: %+v, %v; want what the first got, %+v", i, built[i], errs[i], built[0])
		}
		if !strings.Contains(logs[i].String(), "following that build") {
			ran++
		}
		if !strings.Contains(logs[i].String(), "| working") {
			t.Errorf("caller %d does not see the build's output:\n%s", i, logs[i].String())
		}
	}
	if ran != 1 {
		t.Errorf("%d builds ran, want 1", ran)
	}
}

func BenchmarkLiveFind(b *testing.B) {
	builder := live(b)
	dir := contextDir(b, map[string]string{"Dockerfile": "FROM debian:bookworm-slim\nRUN true\n"})
	src := source(b, "")
	if _, err := builder.Build(b.Context(), dir, src, deploy, nil); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, ok, err := builder.Find(b.Context(), os.DirFS(dir), src); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func discard() *log.Logger { return log.New(io.Discard, "", 0) }
