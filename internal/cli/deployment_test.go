package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/term"
)

// deployment is a deployment repository on disk that a test changes as anybody
// could who may push to it: with the git program, in whatever way it allows.
type deployment struct {
	t   *testing.T
	dir string
}

// describedBy is the least that such a repository says.
const describedBy = `version: 1
hubs:
  path: deployments/*
  chart: hub
  values: [config/common.yaml, "config/{env}.yaml"]
  secrets: ["secrets/{env}.yaml"]
images:
  user: {context: "{hub}/image", values: image}
environments:
  staging: {cluster: local}
  prod: {cluster: local, after: staging}
`

// newDeployment makes one with two hubs, described by a hubship.yaml.
func newDeployment(t *testing.T) *deployment {
	t.Helper()
	d := &deployment{t: t, dir: t.TempDir()}
	d.git("init", "--quiet", "--initial-branch=staging")
	d.write("hubship.yaml", describedBy)
	d.write("hub/Chart.yaml", "apiVersion: v2\nname: hub\nversion: 1.0.0\n")
	d.write("hub/values.yaml", "title: none\n")
	d.write("hub/templates/config.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hub\ndata:\n  title: {{ .Values.title | quote }}\n  shown: {{ toJson .Values.image | quote }}\n")
	for _, hub := range []string{"art", "math"} {
		at := "deployments/" + hub + "/"
		d.write(at+"config/common.yaml", "title: "+hub+"\n")
		d.write(at+"config/staging.yaml", "")
		d.write(at+"config/prod.yaml", "")
		d.write(at+"image/Dockerfile", "FROM scratch\nCOPY environment.yml /tmp/\nRUN conda env update -f /tmp/environment.yml\n")
		d.write(at+"image/environment.yml", "dependencies: [python=3.12]\n")
	}
	d.commit("the first")
	return d
}

// newHubploy makes one in hubploy's layout.
func newHubploy(t *testing.T) *deployment {
	t.Helper()
	d := newDeployment(t)
	d.remove("hubship.yaml")
	for _, hub := range []string{"art", "math"} {
		d.write("deployments/"+hub+"/hubploy.yaml", "images: {images: [{name: example.org/"+hub+", helm_substitution_path: image}]}\n")
		d.remove("deployments/" + hub + "/image/Dockerfile")
	}
	d.commit("another layout")
	return d
}

// git runs the git program in the repository.
func (d *deployment) git(args ...string) string {
	d.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", d.dir, "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		d.t.Fatalf("git %s: %v: %s", args[0], err, errs.String())
	}
	return strings.TrimSpace(out.String())
}

func (d *deployment) write(name, text string) {
	d.t.Helper()
	full := filepath.Join(d.dir, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

func (d *deployment) remove(name string) {
	d.t.Helper()
	if err := os.RemoveAll(filepath.Join(d.dir, name)); err != nil {
		d.t.Fatal(err)
	}
}

// link puts a symbolic link in the place of a file.
func (d *deployment) link(name, target string) {
	d.t.Helper()
	d.remove(name)
	if err := os.Symlink(target, filepath.Join(d.dir, name)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *deployment) commit(message string) string {
	d.t.Helper()
	d.git("add", "--all", "--force")
	d.git("commit", "--quiet", "--allow-empty", "-m", message)
	return d.git("rev-parse", "HEAD")
}

// planned is what a command did.
type planned struct {
	code      int
	out, errs string
	took      time.Duration
	heap      uint64 // bytes, the most at a time
	plan      plan.Plan
}

// run runs the command line in the repository, as JSON where it makes a plan.
func (d *deployment) run(ctx context.Context, args ...string) planned {
	d.t.Helper()
	full := append([]string{"--data", filepath.Join(d.dir, "none")}, args...)
	full = append(full[:3:3], append([]string{"--repo", d.dir, "--offline"}, full[3:]...)...)
	if args[0] == "plan" {
		full = append(full[:2:2], append([]string{"-o", "json"}, full[2:]...)...)
	}
	var o planned
	var out, errs bytes.Buffer
	done, peak := make(chan struct{}), make(chan uint64)
	go watchHeap(done, peak)
	start := time.Now()
	o.code = Run(ctx, term.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}, full)
	o.took = time.Since(start)
	close(done)
	o.out, o.errs, o.heap = out.String(), errs.String(), <-peak
	if args[0] == "plan" && o.code == model.ExitDone {
		if err := json.Unmarshal(out.Bytes(), &o.plan); err != nil {
			d.t.Fatalf("%v: %s", err, o.out)
		}
	}
	return o
}

// watchHeap measures the heap until done, and sends the most that it was.
func watchHeap(done <-chan struct{}, peak chan<- uint64) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	var most uint64
	for {
		metrics.Read(sample)
		most = max(most, sample[0].Value.Uint64())
		select {
		case <-done:
			peak <- most
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// problems are those of the plan, in words.
func (o planned) problems() string {
	var out []string
	for _, p := range o.plan.Problems {
		out = append(out, fmt.Sprintf("%s %s %s:%d %s %v", p.Severity, p.Check, p.File, p.Line, p.Message, p.Releases))
	}
	return strings.Join(out, "\n")
}

func (o planned) releases() string {
	var out []string
	for _, r := range o.plan.Releases {
		key := r.Key()
		if r.Unrendered != "" {
			key += "!"
		}
		out = append(out, key)
	}
	return strings.Join(out, " ")
}

// secretOutside stands in a file beside the repository: it must never be read.
const secretOutside = "what-is-not-in-the-repository"

// bomb is a YAML document of a few lines that stands for a billion values.
var bomb = func() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&b, "a%d: &a%d [", i, i)
		for range 10 {
			fmt.Fprintf(&b, "*a%d, ", i-1)
		}
		b.WriteString("]\n")
	}
	return b.String()
}()

func (d *deployment) mkdir(name string) {
	d.t.Helper()
	if err := os.MkdirAll(filepath.Join(d.dir, name), 0o755); err != nil {
		d.t.Fatal(err)
	}
}

// submodule puts one in the place of a folder.
func (d *deployment) submodule(name string) {
	d.t.Helper()
	head := d.git("rev-parse", "HEAD")
	d.git("rm", "-r", "--quiet", name)
	d.git("update-index", "--add", "--cacheinfo", "160000,"+head+","+name)
	d.git("commit", "--quiet", "-m", "a submodule")
	d.mkdir(name) // as a clone without --recurse-submodules has it
}
