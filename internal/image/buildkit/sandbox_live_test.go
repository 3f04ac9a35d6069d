package buildkit

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/hubship/hubship/internal/model"
)

const debian = "debian:bookworm-slim"

func TestLiveTest(t *testing.T) {
	b := live(t)
	dir := contextDir(t, map[string]string{"a/file": "content\n", "script.sh": "echo from a script; exit 4\n"})
	shell := func(script string) []string { return []string{"sh", "-c", script} }
	tests := map[string]struct {
		test   model.Test
		reason string // "" passes
		log    []string
	}{
		"passes": {model.Test{Command: shell("pwd; cat a/file; echo CI=$CI; touch new && echo writable; echo err >&2")}, "",
			[]string{"/workspace", "content", "CI=true", "writable", "err"}},
		"fails":       {model.Test{Command: shell("echo one; echo two >&2; exit 2")}, "exit code 2", []string{"one", "two"}},
		"script":      {model.Test{Command: []string{"sh", "script.sh"}}, "exit code 4", []string{"from a script"}},
		"no program":  {model.Test{Command: []string{"no-such-program"}}, "exit code 1", []string{`exec: "no-such-program": executable file not found in $PATH`}},
		"no command":  {model.Test{}, "it has no command", nil},
		"timeout":     {model.Test{Command: shell("echo begun; sleep 60 & sleep 60"), Timeout: 2 * time.Second}, "not finished after 2s", []string{"begun"}},
		"colours":     {model.Test{Command: shell(`printf '\033[31mred\033[0m\r\n'; exit 1`)}, "exit code 1", []string{"red"}},
		"no image":    {model.Test{Image: "docker.io/library/no-such-image:1", Command: shell("true")}, "resolve base image", nil},
		"bad image":   {model.Test{Image: "Bad Image", Command: shell("true")}, "Bad Image", nil},
		"own image":   {model.Test{Image: b.o.Registry + "/library/debian:bookworm-slim", Command: shell("true")}, "not given to untrusted code", nil},
		"environment": {model.Test{Command: shell("env | grep -i -E 'proxy|token|secret|password|HUBSHIP' && exit 9; test ! -e /run/secrets")}, "", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			tt.test.Name = name
			if tt.test.Image == "" {
				tt.test.Image = debian
			}
			var log syncBuffer
			began := time.Now()
			got, err := b.Test(limited(t, 2*time.Minute), dir, tt.test, &log)
			if err != nil {
				t.Fatalf("Test: %v\n%s", err, log.String())
			}
			if got.Name != name || got.Passed != (tt.reason == "") || !strings.Contains(got.Reason, tt.reason) {
				t.Errorf("%+v, want reason %q\n%s", got, tt.reason, log.String())
			}
			for _, line := range tt.log {
				if !strings.Contains(log.String(), line+"\n") {
					t.Errorf("log lacks %q:\n%s", line, log.String())
				}
				if !got.Passed && !strings.Contains(got.Log, line) {
					t.Errorf("the result's log lacks %q: %q", line, got.Log)
				}
			}
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
	if _, err := os.Stat(dir + "/new"); err == nil {
		t.Error("a test has changed the folder")
	}
}

func TestLiveTestStreamsAndIsBounded(t *testing.T) {
	b := live(t)
	dir := t.TempDir()
	var log syncBuffer
	done := make(chan model.TestResult, 1)
	go func() {
		got, err := b.Test(limited(t, time.Minute), dir, model.Test{Name: "slow", Image: debian, Command: []string{"sh", "-c", "echo first; sleep 5; echo second; exit 1"}}, &log)
		if err != nil {
			t.Error(err)
		}
		done <- got
	}()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(log.String(), "first\n"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("nothing comes:\n%s", log.String())
		}
	}
	if strings.Contains(log.String(), "second") {
		t.Error("the output came all at once")
	}
	if got := <-done; got.Passed || got.Log != "first\nsecond" {
		t.Errorf("%+v", got)
	}

	var flood syncBuffer
	got, err := b.Test(limited(t, 2*time.Minute), dir, model.Test{Name: "flood", Image: debian, Command: []string{"sh", "-c", "seq 1 1000000; head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end; exit 1"}}, &flood)
	if err != nil || got.Passed || !strings.HasSuffix(got.Log, "end") || len(got.Log) > maxTail {
		t.Errorf("%v, %v, %d bytes of log", got.Reason, err, len(got.Log))
	}
	if n := len(flood.String()); n > maxOutput+1<<16 || !strings.Contains(flood.String(), "the rest is left out") {
		t.Errorf("%d bytes of log", n)
	}
}

func TestLiveTestIsCancelled(t *testing.T) {
	b := live(t)
	ctx, cancel := context.WithCancel(limited(t, time.Minute))
	defer cancel()
	var log syncBuffer
	done := make(chan error, 1)
	go func() {
		_, err := b.Test(ctx, t.TempDir(), model.Test{Name: "x", Image: debian, Command: []string{"sh", "-c", "echo begun; sleep 300"}}, &log)
		done <- err
	}()
	for !strings.Contains(log.String(), "begun\n") {
		time.Sleep(20 * time.Millisecond)
	}
	began := time.Now()
	cancel()
	if err := <-done; err == nil || time.Since(began) > 20*time.Second {
		t.Errorf("error %v after %s", err, time.Since(began))
	}
}

func TestLiveTestKey(t *testing.T) {
	b := live(t)
	ctx := limited(t, time.Minute)
	key := func(test model.Test, files string) string {
		t.Helper()
		k, err := b.TestKey(ctx, test, files)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	a := model.Test{Name: "a", Image: debian, Command: []string{"true"}}
	same := a
	same.Name, same.Image, same.Timeout = "b", "docker.io/library/debian:bookworm-slim", time.Minute
	if key(a, "f") != key(same, "f") {
		t.Error("the name counts")
	}
	other := a
	other.Command = []string{"tr", "ue"}
	if key(a, "f") == key(a, "g") || key(a, "f") == key(other, "f") {
		t.Error("files or command do not count")
	}
	if _, err := b.TestKey(ctx, model.Test{Image: "docker.io/library/no-such-image:1"}, "f"); err == nil || model.HintOf(err) == "" {
		t.Errorf("a missing image: %v", err)
	}
}

func TestSandboxWithoutBuildKit(t *testing.T) {
	b := live(t)
	gone, err := New(Options{Address: "unix://" + t.TempDir() + "/none.sock", Registry: b.o.Registry, Patience: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	ctx := limited(t, time.Minute)
	if _, err := gone.Test(ctx, t.TempDir(), model.Test{Image: debian, Command: []string{"true"}}, nil); err == nil || !strings.Contains(model.HintOf(err), "none.sock") {
		t.Errorf("Test: %v, hint %q", err, model.HintOf(err))
	}
	if _, err := gone.Smoke(ctx, model.Built{Name: b.o.Registry + "/a", Digest: "sha256:" + strings.Repeat("a", 64)}, model.SmokeRequest{}, nil); err == nil {
		t.Error("Smoke says nothing of BuildKit's absence")
	}
}

// inside lists what code in a container must not reach, as the place of bash's
// /dev/tcp: HOST/PORT. Somebody listens at each.
func inside(t *testing.T, b *Builder) map[string]string {
	t.Helper()
	listener, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	port := listener.Addr().(*net.TCPAddr).Port
	targets := map[string]string{"a private network": "192.168.77.1/80", "metadata": "169.254.169.254/80", "a shared network": "100.64.0.1/443"}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range addrs {
		if ip := addr.(*net.IPNet).IP.To4(); ip != nil {
			targets["the machine at "+ip.String()] = fmt.Sprintf("%s/%d", ip, port)
		}
	}
	_, registryPort, err := net.SplitHostPort(b.registry.Host())
	if err != nil {
		t.Fatal(err)
	}
	targets["the registry"] = "127.0.0.1/" + registryPort
	raw, err := os.ReadFile(os.Getenv("HUBSHIP_TEST_KUBECONFIG"))
	if err != nil {
		t.Logf("without a kubeconfig the cluster is not tried: %v", err)
		return targets
	}
	server, err := url.Parse(string(regexp.MustCompile(`(?m)server: *(\S+)`).FindSubmatch(raw)[1]))
	if err != nil {
		t.Fatal(err)
	}
	node := server.Hostname()
	targets["the API server"] = node + "/" + server.Port()
	targets["the registry at the node"] = node + "/" + registryPort
	targets["SSH at the node"] = node + "/22"
	var apiPort int
	if _, err := fmt.Sscan(server.Port(), &apiPort); err == nil {
		targets["etcd"] = fmt.Sprintf("%s/%d", node, apiPort+1)
		targets["kubelet"] = fmt.Sprintf("%s/%d", node, apiPort+3)
	}
	// The embedded node's Services are in the range behind its pods'.
	if ip := net.ParseIP(node).To4(); ip != nil {
		targets["the Service kubernetes"] = fmt.Sprintf("%d.%d.%d.1/443", ip[0], ip[1]+1, ip[2])
		targets["the name server of the cluster"] = fmt.Sprintf("%d.%d.%d.10/53", ip[0], ip[1]+1, ip[2])
		targets["the machine at its end of the link"] = fmt.Sprintf("%d.%d.%d.254/%d", ip[0], ip[1], ip[2], port)
		targets["a pod"] = fmt.Sprintf("%d.%d.%d.2/53", ip[0], ip[1], ip[2])
		targets["an unclaimed pod"] = fmt.Sprintf("%d.%d.%d.190/80", ip[0], ip[1], ip[2])
	}
	return targets
}

// probes is a shell script that tells which of the targets it reaches, and
// whether it reaches the outside.
func probes(targets map[string]string) string {
	var s strings.Builder
	for what, at := range targets {
		fmt.Fprintf(&s, "(timeout 3 bash -c '</dev/tcp/%s' 2>/dev/null && echo 'REACHED %s at %s') & ", at, what, at)
	}
	s.WriteString("timeout 10 bash -c '</dev/tcp/deb.debian.org/80' && echo OUTSIDE; wait; echo PROBED")
	return s.String()
}

func checkProbes(t *testing.T, log string) {
	t.Helper()
	for line := range strings.Lines(log) {
		if i := strings.Index(line, "REACHED "); i >= 0 && !strings.Contains(line, "echo 'REACHED") {
			t.Error(strings.TrimSpace(line[i:]))
		}
	}
	if !strings.Contains(log, "PROBED\n") {
		t.Errorf("the probes did not run:\n%s", log)
	}
	if conn, err := net.DialTimeout("tcp", "deb.debian.org:80", 5*time.Second); err == nil {
		_ = conn.Close()
		if !strings.Contains(log, "OUTSIDE\n") {
			t.Errorf("the outside is not reached:\n%s", log)
		}
	}
}

func TestLiveContainersReachTheOutsideOnly(t *testing.T) {
	b := live(t)
	script := probes(inside(t, b))
	t.Run("test", func(t *testing.T) {
		var log syncBuffer
		got, err := b.Test(limited(t, 3*time.Minute), t.TempDir(), model.Test{Name: "probe", Image: debian, Command: []string{"bash", "-c", script}}, &log)
		if err != nil || !got.Passed {
			t.Fatalf("%+v, %v\n%s", got, err, log.String())
		}
		checkProbes(t, log.String())
	})
	for name, untrusted := range map[string]bool{"untrusted build": true, "trusted build": false} {
		t.Run(name, func(t *testing.T) {
			dir := contextDir(t, map[string]string{
				"Dockerfile": "FROM " + debian + "\nCOPY probe.sh /\nRUN bash /probe.sh # " + t.Name() + "\n",
				"probe.sh":   script,
			})
			var log syncBuffer
			if _, err := b.Build(limited(t, 3*time.Minute), dir, source(t, ""), model.BuildOptions{Untrusted: untrusted}, &log); err != nil {
				t.Fatalf("%v\n%s", err, log.String())
			}
			checkProbes(t, log.String())
		})
	}
}

// Both ways by which an untrusted build could leave something for a trusted one
// with the same instructions: the cache mount itself, and the result of a step
// that used it.
func TestLiveUntrustedPoisonsNoCache(t *testing.T) {
	b := live(t)
	nonce := fmt.Sprint(time.Now().UnixNano())
	mounts := map[string]string{
		"default": "--mount=type=cache,target=/cache-" + nonce,
		"named":   "--mount=type=cache,id=pip-" + nonce + ",target=/cache",
		"locked":  "--mount=type=cache,id=apt-" + nonce + ",target=/cache,sharing=locked",
	}
	for name, mount := range mounts {
		t.Run(name, func(t *testing.T) {
			target := regexp.MustCompile(`target=([^,]+)`).FindStringSubmatch(mount)[1]
			step := "RUN " + mount + " : " + nonce + "; sleep 3; mkdir -p /out; cp " + target + "/* /out/ 2>/dev/null; ls /out; echo installed\n"
			hostile := contextDir(t, map[string]string{"Dockerfile": "FROM debian:bookworm-slim AS poison\n" +
				"RUN " + mount + " echo evil > " + target + "/evil; touch /done\n" +
				"FROM debian:bookworm-slim\n" + step + "COPY --from=poison /done /done\n"})
			honest := contextDir(t, map[string]string{"Dockerfile": "FROM debian:bookworm-slim\n" + step + "RUN ls /out; test ! -e /out/evil\n"})
			var first, second syncBuffer
			if _, err := b.Build(limited(t, time.Minute), hostile, source(t, "hostile"), model.BuildOptions{Untrusted: true}, &first); err != nil {
				t.Fatalf("%v\n%s", err, first.String())
			}
			if name != "locked" && !strings.Contains(first.String(), "| evil\n") {
				t.Logf("the attack itself did not work, so this shows less:\n%s", first.String())
			}
			if _, err := b.Build(limited(t, time.Minute), honest, source(t, "honest"), deploy, &second); err != nil {
				t.Errorf("the trusted build got what the untrusted one left: %v\n%s", err, second.String())
			}
		})
	}
}

// The same files by size and time, with other content: what BuildKit keeps of
// one build's context must not show in another's.
func TestLiveUntrustedLeavesNoFiles(t *testing.T) {
	b := live(t)
	at := time.Now().Add(-time.Hour)
	lay := func(content string) string {
		dir := contextDir(t, map[string]string{"Dockerfile": "FROM debian:bookworm-slim\nCOPY f /f\nRUN cat /f\n", "f": content})
		if err := os.Chtimes(dir+"/f", at, at); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	src, other := source(t, "a"), source(t, "b")
	nonce := fmt.Sprint(time.Now().UnixNano())
	var log syncBuffer
	if _, err := b.Build(limited(t, time.Minute), lay("evil "+nonce+"\n"), src, model.BuildOptions{Untrusted: true}, &log); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	log = syncBuffer{}
	if _, err := b.Build(limited(t, time.Minute), lay("good "+nonce+"\n"), other, deploy, &log); err != nil || !strings.Contains(log.String(), "| good "+nonce+"\n") {
		t.Errorf("%v\n%s", err, log.String())
	}
}

func TestLiveUntrustedIsRefused(t *testing.T) {
	b := live(t)
	// Something of the installation's own to reach for.
	dir := contextDir(t, map[string]string{"Dockerfile": "FROM debian:bookworm-slim\nRUN echo private > /private\n"})
	src := source(t, "own")
	src.Repository = "datahub/user"
	own, err := b.Build(limited(t, time.Minute), dir, src, deploy, nil)
	if err != nil {
		t.Fatal(err)
	}
	trigger := pushTrigger(t, b, "COPY --from=docker.io/datahub/user:"+own.Tag+" /private /p")
	for name, tt := range map[string]struct{ dockerfile, want string }{
		"own registry":         {"FROM " + own.Ref() + "\nRUN cat /private\n", "Dockerfile:1"},
		"own registry, mirror": {"FROM docker.io/datahub/user:" + own.Tag + "\nRUN cat /private\n", "does not have it"},
		"mirror by digest":     {"FROM datahub/user@" + own.Digest + "\nRUN cat /private\n", "the installation has built it"},
		"copy":                 {"FROM debian:bookworm-slim\nCOPY --from=" + own.Ref() + " /private /p\nRUN cat /p\n", "Dockerfile:2"},
		"secret":               {"FROM debian:bookworm-slim\nRUN --mount=type=secret,id=x,required=true cat /run/secrets/x\n", "Dockerfile:2"},
		"host network":         {"FROM debian:bookworm-slim\nRUN --network=host true\n", "Dockerfile:2"},
		"add":                  {"FROM debian:bookworm-slim\nADD http://deb.debian.org/debian/README /r\n", "Dockerfile:2"},
		// What the build file does not show, BuildKit finds.
		"add by variable":         {"FROM debian:bookworm-slim\nARG U=http://deb.debian.org/debian/README\nADD $U /r\nRUN cat /r\n", "Dockerfile: http://deb.debian.org/debian/README is not given to an untrusted build"},
		"trigger of the base":     {"FROM " + trigger + "\nRUN cat /p\n", "is not given to an untrusted build"},
		"trigger in a stage":      {"FROM " + trigger + " AS a\nFROM debian:bookworm-slim\nCOPY --from=a /p /p\n", "is not given to an untrusted build"},
		"secret type by variable": {"FROM debian:bookworm-slim\nARG T=secret\nRUN --mount=type=$T,id=x,required=true,uid=$T cat /run/secrets/x\n", "Dockerfile:3"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := contextDir(t, map[string]string{"Dockerfile": tt.dockerfile})
			var log syncBuffer
			_, err := b.Build(limited(t, time.Minute), dir, source(t, ""), model.BuildOptions{Untrusted: true}, &log)
			if err == nil || !strings.Contains(err.Error(), tt.want) || model.HintOf(err) == "" {
				t.Errorf("error %v, hint %q; want %s\n%s", err, model.HintOf(err), tt.want, log.String())
			}
			if strings.Contains(log.String(), "| private") {
				t.Errorf("it has read the installation's image:\n%s", log.String())
			}
		})
	}
}

// pushTrigger makes a base image, as anybody may publish one, that brings an
// instruction into the builds that start from it. It lies where the node's
// registry lets anybody read.
func pushTrigger(t *testing.T, b *Builder, instruction string) string {
	t.Helper()
	base, err := name.ParseReference(b.o.Registry+"/library/"+debian, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	img, err := remote.Image(base)
	if err != nil {
		t.Fatal(err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config := file.Config
	config.OnBuild = []string{instruction}
	if img, err = mutate.Config(img, config); err != nil {
		t.Fatal(err)
	}
	written := fmt.Sprintf("library/debian:trigger-%d", time.Now().UnixNano())
	ref, err := name.ParseReference(b.o.Registry+"/"+written, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img, remote.WithAuthFromKeychain(registryCredentials())); err != nil {
		t.Fatal(err)
	}
	return "docker.io/" + written
}

// Whatever a build file says, the image goes where its source belongs.
func TestLiveBuildPushesItsOwnNameOnly(t *testing.T) {
	b := live(t)
	before := catalog(t, b)
	src := source(t, "")
	src.Repository = fmt.Sprintf("hubship-test/own-%d", time.Now().UnixNano())
	// Nobody has approved it: it lies where no release looks.
	repository := model.UnapprovedRepository + "/" + src.Repository
	dir := contextDir(t, map[string]string{"Dockerfile": `# name=` + b.o.Registry + `/datahub/stolen
ARG IMAGE_NAME=` + b.o.Registry + `/datahub/stolen
FROM debian:bookworm-slim AS stolen
LABEL hubship.key=stolen hubship.source=stolen org.opencontainers.image.ref.name=` + b.o.Registry + `/datahub/stolen:1
ENV name=` + b.o.Registry + `/datahub/stolen push=true
RUN touch /done
`})
	built, err := b.Build(limited(t, time.Minute), dir, src, model.BuildOptions{Untrusted: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if built.Name != b.o.Registry+"/"+repository || !strings.HasPrefix(built.Tag, "h-") {
		t.Errorf("built %+v", built)
	}
	checkPushed(t, t.Context(), built) // its labels are the source's
	after := catalog(t, b)
	for other := range after {
		if !before[other] && other != repository {
			t.Errorf("repository %s is new", other)
		}
	}
	if !after[repository] {
		t.Errorf("repository %s is not there", repository)
	}
}

func catalog(t *testing.T, b *Builder) map[string]bool {
	t.Helper()
	registry, err := name.NewRegistry(b.registry.Host(), name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	all, err := remote.Catalog(t.Context(), registry, remote.WithAuthFromKeychain(registryCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, repository := range all {
		out[repository] = true
	}
	return out
}

func TestLiveProcessesAreBounded(t *testing.T) {
	b := live(t)
	var log syncBuffer
	script := "for i in $(seq 1 6000); do sleep 20 & done; echo all run"
	got, err := b.Test(limited(t, 2*time.Minute), t.TempDir(), model.Test{Name: "forks", Image: debian, Command: []string{"sh", "-c", script}, Timeout: time.Minute}, &log)
	if err != nil || got.Passed || !strings.Contains(got.Log, "Cannot fork") {
		t.Errorf("%+v, %v: 6000 processes ran\n%s", got, err, log.String())
	}
	if resp, err := http.Get("http://" + b.registry.Host() + "/v2/"); err != nil {
		t.Errorf("the node did not survive: %v", err)
	} else {
		_ = resp.Body.Close()
	}
}

// jupyterish is an image with a Python, small packages and a stand-in for the
// hub's program: the real ones take minutes to install.
const jupyterish = `FROM debian:bookworm-slim
RUN apt-get update -q && apt-get install -q -y --no-install-recommends python3 python3-pip && rm -rf /var/lib/apt/lists/*
RUN pip install -q --break-system-packages idna==3.10 python-dateutil packaging
RUN useradd -m jovyan && printf '#!/bin/sh\necho entering as $(id -un)\nexec "$@"\n' > /entry && chmod +x /entry
`

func TestLiveSmoke(t *testing.T) {
	b := live(t)
	build := func(nonce, dockerfile string) model.Built {
		t.Helper()
		var log syncBuffer
		built, err := b.Build(limited(t, 5*time.Minute), contextDir(t, map[string]string{"Dockerfile": dockerfile}), source(t, nonce), deploy, &log)
		if err != nil {
			t.Fatalf("%v\n%s", err, log.String())
		}
		return built
	}
	hub := `RUN printf '#!/bin/sh\necho $SERVER_VERSION; id -un >&2\n' > /usr/local/bin/jupyterhub-singleuser && chmod +x /usr/local/bin/jupyterhub-singleuser
ENV SERVER_VERSION=5.4.3
USER jovyan
WORKDIR /home/jovyan
ENTRYPOINT ["/entry"]
`
	broken := `RUN mkdir /usr/lib/python3/dist-packages/broken && echo 'import no_such_module' > /usr/lib/python3/dist-packages/broken/__init__.py && \
    mkdir /usr/lib/python3/dist-packages/broken-1.0.dist-info && cd /usr/lib/python3/dist-packages/broken-1.0.dist-info && \
    printf 'Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n' > METADATA && printf 'broken/__init__.py,,\n' > RECORD
`
	tests := map[string]struct {
		dockerfile string
		packages   []model.Package
		reason     string
		checks     []string // "name passed|failed|skipped", and what the detail has
	}{
		"good": {jupyterish + hub, []model.Package{{Name: "idna", Spec: "==3.10"}, {Name: "python-dateutil"}}, "",
			[]string{"image starts passed python3", "import idna passed 3.10", "import python-dateutil passed dateutil", "server starts passed jupyterhub-singleuser --version: 5.4.3"}},
		"broken package": {jupyterish + broken + hub, []model.Package{{Name: "broken"}, {Name: "idna", Spec: "==3.9"}, {Name: "missing"}}, "import broken: ModuleNotFoundError: No module named 'no_such_module'",
			[]string{"image starts passed", "import broken failed no_such_module", "import idna failed version 3.10 is installed", "import missing failed not installed", "server starts passed"}},
		"no Python, no Jupyter": {"FROM debian:bookworm-slim\nRUN true\n", []model.Package{{Name: "idna"}}, "import idna: the image has no Python",
			[]string{"image starts passed neither", "import idna failed no Python", "server starts failed neither"}},
		"cannot start": {"FROM debian:bookworm-slim\nENTRYPOINT [\"/no/such/program\"]\n", []model.Package{{Name: "idna"}}, "image starts: ",
			[]string{"image starts failed", "import idna skipped", "server starts skipped"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			built := build(name, tt.dockerfile)
			var log syncBuffer
			got, err := b.Smoke(limited(t, 2*time.Minute), built, model.SmokeRequest{Packages: tt.packages}, &log)
			if err != nil {
				t.Fatalf("%v\n%s", err, log.String())
			}
			if got.Passed != (tt.reason == "") || !strings.HasPrefix(got.Reason, tt.reason) {
				t.Errorf("passed %v, reason %q; want %q", got.Passed, got.Reason, tt.reason)
			}
			var have []string
			for _, c := range got.Checks {
				how := map[bool]string{true: "passed", false: "failed"}[c.Passed]
				if c.Skipped {
					how = "skipped"
				}
				have = append(have, c.Name+" "+how+" "+c.Detail)
				if c.Duration <= 0 && !c.Skipped {
					t.Errorf("%s has no duration", c.Name)
				}
			}
			if len(have) != len(tt.checks) {
				t.Fatalf("checks %q, want %q", have, tt.checks)
			}
			for i, want := range tt.checks {
				words := regexp.MustCompile(`^(.*? (?:passed|failed|skipped)) ?(.*)$`).FindStringSubmatch(want)
				if !strings.HasPrefix(have[i], words[1]) || !strings.Contains(have[i], words[2]) {
					t.Errorf("check %q, want %q", have[i], want)
				}
			}
			t.Logf("%s\n%s", strings.Join(have, "\n"), log.String())
		})
	}
}
