package buildkit

import (
	"context"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

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
