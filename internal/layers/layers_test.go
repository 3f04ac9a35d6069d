package layers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/hubship/hubship/"

// allowed says which of hubship's packages a package may import, besides
// packages below its own path. A package that is not named here fails the
// test: whoever adds one decides where it stands.
var allowed = map[string][]string{
	// The words: everybody may use them.
	"internal/model": {},
	"internal/forge": {"internal/model"},

	// Pure decisions.
	"internal/plan":     {"internal/model"},
	"internal/gate":     {"internal/model"},
	"internal/packages": {"internal/model", "internal/plan"},
	"internal/report":   {"internal/model", "internal/plan"},

	// Python that runs in what the images bring.
	"internal/pyimport": {},

	// Planning: reads both sides of a change, and judges them.
	"internal/check":   {"internal/model", "internal/plan", "internal/release"},
	"internal/planner": {"internal/model", "internal/plan", "internal/packages", "internal/check", "internal/config", "internal/git", "internal/repo", "internal/process", "internal/release", "internal/release/confine", "internal/release/helm", "internal/secrets", "internal/image"},
	// What plans ask clusters, and the plans of runs.
	"internal/planner/live": {"internal/model", "internal/plan", "internal/check", "internal/cluster", "internal/release"},
	"internal/runplan":      {"internal/model", "internal/forge", "internal/plan", "internal/planner", "internal/repo", "internal/report"},

	// What is proved, signed and believed.
	"internal/attest": {"internal/model"},

	// Around the process: machine, network and terminal.
	"internal/proc": {},
	// What is dear to load, and who may want it at once.
	"internal/cache": {},
	// What a request's address is: everybody who counts may ask.
	"internal/clientaddr": {},
	// Whose a program on the machine is.
	"internal/loopback": {},
	// What pages look like: hubship's, and its forge's.
	"internal/assets":   {},
	"internal/outbound": {"internal/model"},
	"internal/install":  {"internal/model", "internal/forge", "internal/outbound", "internal/clientaddr"},
	"internal/node":     {"internal/model", "internal/install", "internal/proc"},
	// The embedded forge as a program beside hubship: it is started and reached,
	// never imported.
	"internal/devforge": {"internal/model", "internal/install", "internal/proc", "internal/clientaddr", "internal/loopback"},
	"internal/term":     {"internal/model"},
	// A new installation's deployment repository.
	"internal/bootstrap": {"internal/model", "internal/config", "internal/git", "internal/install", "internal/secrets", "starter"},

	// The workflows, and the interfaces that they need.
	"internal/ship":           {"internal/model", "internal/forge"},
	"internal/ship/runs":      {"internal/model"},
	"internal/ship/fleets":    {"internal/model"},
	"internal/ship/build":     {"internal/model", "internal/ship/runs"},
	"internal/ship/proof":     {"internal/model", "internal/gate", "internal/ship/fleets", "internal/ship/runs"},
	"internal/ship/planning":  {"internal/model", "internal/plan", "internal/gate", "internal/packages", "internal/ship/fleets", "internal/ship/proof", "internal/ship/runs"},
	"internal/ship/deploy":    {"internal/model", "internal/plan", "internal/ship/build", "internal/ship/fleets", "internal/ship/planning", "internal/ship/runs"},
	"internal/ship/check":     {"internal/model", "internal/forge", "internal/plan", "internal/ship/build", "internal/ship/fleets", "internal/ship/runs"},
	"internal/ship/reconcile": {"internal/model", "internal/ship/fleets", "internal/ship/runs"},
	"internal/ship/query":     {"internal/model", "internal/gate", "internal/ship/fleets", "internal/ship/proof", "internal/ship/runs"},

	// Adapters: they know the words and the interfaces that they implement.
	"internal/git":              {"internal/model"},
	"internal/config":           {"internal/model"},
	"internal/process":          {"internal/model", "internal/git", "internal/config"},
	"internal/repo":             {"internal/model", "internal/plan", "internal/git", "internal/config"},
	"internal/secrets":          {"internal/model", "internal/release"},
	"internal/secrets/opener":   {"internal/model", "internal/config", "internal/git", "internal/repo", "internal/secrets"},
	"internal/image":            {"internal/model", "internal/check", "internal/outbound", "internal/loopback"},
	"internal/image/buildkit":   {"internal/model", "internal/attest", "internal/image", "internal/outbound", "internal/pyimport"},
	"internal/cluster":          {"internal/model"},
	"internal/cluster/evidence": {"internal/model", "internal/attest", "internal/cluster"},
	"internal/release":          {"internal/model", "internal/plan"},
	"internal/release/helm":     {"internal/model", "internal/cache", "internal/release", "internal/release/confine", "internal/release/ready", "internal/cluster", "internal/outbound"},
	"internal/release/ready":    {"internal/model", "internal/release", "internal/cluster"},
	"internal/release/confine":  {"internal/model", "internal/release"},
	"internal/verify":           {"internal/model", "internal/pyimport"},
	"internal/store":            {"internal/model"},
	"internal/forge/github":     {"internal/model", "internal/forge"},
	// Of the product's packages the forge's program knows the leaves alone.
	// For tests: the program, behind a door.
	"internal/forge/forgetest/process": {"internal/model", "internal/api", "internal/devforge", "internal/forge", "internal/forge/github", "internal/loopback"},

	// In front of the workflows.
	"internal/pulls":            {"internal/model", "internal/forge", "internal/plan", "internal/report"},
	"internal/pulls/repository": {"internal/forge", "internal/git", "internal/pulls", "internal/repo"},
	"internal/api":              {"internal/model"},
	"internal/server":           {"internal/model", "internal/api", "internal/forge", "internal/clientaddr", "internal/loopback", "internal/assets"},
	"internal/demo":             {"internal/model", "internal/forge"},
	"internal/cli": {"internal/model", "internal/attest", "internal/api", "internal/app", "internal/bootstrap", "internal/cluster", "internal/cluster/register", "internal/config", "internal/demo", "internal/devforge", "internal/forge", "internal/forge/github",
		"internal/install", "internal/node", "internal/plan", "internal/planner", "internal/repo", "internal/proc", "internal/report", "internal/term"},
	"cmd/hubship": {"internal/cli", "internal/term"},

	// The wiring alone knows all.
	"internal/app": {"*"},

	"starter":         {},
	"internal/layers": {},
	"e2e":             {"internal/model", "internal/api", "internal/forge", "internal/forge/github", "internal/install", "internal/node", "internal/plan", "internal/secrets", "internal/verify/jupyter"}, // secrets: what a contributor encrypts; jupyter: what a student runs
}

// owners names the packages that alone import what others must not see.
var owners = map[string][]string{
	"helm.sh/helm/":                               {"internal/release/helm"},
	"github.com/moby/buildkit/":                   {"internal/image/buildkit", "internal/packages"},
	"mvdan.cc/sh/":                                {"internal/packages"},
	"github.com/zricethezav/gitleaks/":            {"internal/check"},
	"github.com/dbos-inc/dbos-transact-golang/":   {"internal/ship"},
	"github.com/getsops/sops/":                    {"internal/secrets"},
	"github.com/spf13/cobra":                      {"internal/cli"},
	"github.com/google/go-containerregistry/":     {"internal/image"},
	"github.com/google/go-github/":                {"internal/forge/github"},
	"k8s.io/client-go/":                           {"internal/cluster", "internal/release", "internal/check", "internal/pulls"}, // pulls: its work queue alone
	"modernc.org/sqlite":                          {"internal/store"},
	"github.com/jackc/pgx":                        {"internal/store"},
	"github.com/coder/websocket":                  {"internal/verify/jupyter"},
	"golang.org/x/term":                           {"internal/term"},
	"github.com/in-toto/":                         {"internal/attest"},
	"github.com/secure-systems-lab/":              {"internal/attest"},
	"k8s.io/kubernetes":                           {},
	"github.com/hubship/hubship/node":             {},
	"github.com/hubship/hubship/devforge":         {},
	"github.com/containerd/containerd":            {},
	"sigs.k8s.io/sig-storage-lib-external-provis": {},
}

// pkg is what the test wants to know of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	// Of its tests, in and beside it.
	TestImports, XTestImports []string
}

// packages are those of the root module, listed once.
func packages(t *testing.T) []pkg {
	t.Helper()
	all, err := rootModule()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var rootModule = sync.OnceValues(func() ([]pkg, error) { return list(filepath.Join("..", "..")) })

// list returns the packages of the module in a folder.
func list(dir string) ([]pkg, error) {
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Dir = dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, &errs)
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		return nil, fmt.Errorf("go list found only %d packages in %s", len(all), dir)
	}
	return all, nil
}

// rule returns what is allowed to a package: its own entry, or that of the
// nearest package above it.
func rule(path string) ([]string, string, bool) {
	for at := path; at != "."; at = filepath.Dir(at) {
		if list, ok := allowed[at]; ok {
			return list, at, true
		}
	}
	return nil, "", false
}

func below(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

func TestArrowsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		list, own, ok := rule(from)
		if !ok {
			t.Errorf("%s has no place among the layers: give it one here", from)
			continue
		}
		for _, imported := range p.Imports {
			to, ours := strings.CutPrefix(imported, module)
			if !ours || below(to, own) || slices.Contains(list, "*") {
				continue
			}
			if !slices.Contains(list, to) {
				t.Errorf("%s imports %s, which points up or sideways", from, to)
			}
		}
	}
}

func TestOneOwnerForEachLibrary(t *testing.T) {
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, imported := range p.Imports {
			for prefix, who := range owners {
				if strings.HasPrefix(imported, prefix) && !slices.ContainsFunc(who, func(o string) bool { return below(from, o) }) {
					t.Errorf("%s imports %s, which belongs to %v alone", from, imported, who)
				}
			}
		}
	}
}

// The embedded forge is a program of its own: the product reaches it over
// sockets alone, and so do its tests.
func TestNobodyImportsTheForge(t *testing.T) {
	const its = "devforge"
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, module)
		if below(from, its) {
			continue
		}
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if below(strings.TrimPrefix(imported, module), its) {
				t.Errorf("%s or its tests import %s: start the program instead, in tests with internal/forge/forgetest/process", from, imported)
			}
		}
	}
}

func TestModelImportsTheStandardLibraryOnly(t *testing.T) {
	for _, p := range packages(t) {
		if p.ImportPath != module+"internal/model" {
			continue
		}
		for _, imported := range p.Imports {
			if first, _, _ := strings.Cut(imported, "/"); strings.Contains(first, ".") {
				t.Errorf("model imports %s", imported)
			}
		}
		return
	}
	t.Fatal("internal/model was not found")
}

// The product imports neither the embedded node nor the embedded forge, and needs
// no replaced module.
func TestRootModuleStandsAlone(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "replace") || strings.Contains(line, module+"node") || strings.Contains(line, module+"devforge") {
			t.Errorf("go.mod: %s", line)
		}
	}
}
