package rest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// description is GitHub's own, of its API and of its webhooks.
type description struct {
	paths    map[string]any
	parts    map[string]any
	compiler *jsonschema.Compiler
	hooks    *jsonschema.Compiler
	events   map[string]any

	mu       sync.Mutex
	compiled map[string]*jsonschema.Schema
}

const (
	partsURL = "mem:///github.json"
	hooksURL = "mem:///webhooks.json"
)

var described = sync.OnceValues(func() (*description, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	dir, err := installDescription(ctx)
	if err != nil {
		return nil, err
	}
	load := func(name string) (map[string]any, error) {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		doc, err := jsonschema.UnmarshalJSON(f)
		if err != nil {
			return nil, err
		}
		return doc.(map[string]any), nil
	}
	api, err := load("api.github.com.json")
	if err != nil {
		return nil, err
	}
	events, err := load("webhooks.json")
	if err != nil {
		return nil, err
	}
	api = toSchema(api).(map[string]any)
	d := &description{paths: api["paths"].(map[string]any), parts: api["components"].(map[string]any), events: events["definitions"].(map[string]any),
		compiled: map[string]*jsonschema.Schema{}}
	d.compiler, d.hooks = jsonschema.NewCompiler(), jsonschema.NewCompiler()
	d.compiler.DefaultDraft(jsonschema.Draft4)
	d.compiler.AssertFormat()
	d.hooks.AssertFormat()
	// The library's own takes /{x}/ for one, not {/x}, which GitHub writes.
	template := &jsonschema.Format{Name: "uri-template", Validate: func(v any) error {
		if s, ok := v.(string); ok && !addressTemplate.MatchString(s) {
			return errors.New("no address with places to fill in")
		}
		return nil
	}}
	d.compiler.RegisterFormat(template)
	d.hooks.RegisterFormat(template)
	// Where the fork was deleted GitHub answers null, which its description of
	// lists knows and that of one pull request does not.
	head := d.parts["schemas"].(map[string]any)["pull-request"].(map[string]any)["properties"].(map[string]any)["head"].(map[string]any)["properties"].(map[string]any)
	head["repo"] = map[string]any{"anyOf": []any{head["repo"], map[string]any{"type": "null"}}}
	return d, errors.Join(d.compiler.AddResource(partsURL, map[string]any{"components": d.parts}), d.hooks.AddResource(hooksURL, events))
})

var addressTemplate = regexp.MustCompile(`^https?://[^{} ]+(\{[/?&+]?[a-z_,]+\}|[^{} ])*$`)

// installDescription installs GitHub's description, and keeps of its 400 MB the
// two files that are read.
func installDescription(ctx context.Context) (string, error) {
	return installPackages(ctx, "openapi", func(dir string) error {
		modules := filepath.Join(dir, "node_modules")
		return errors.Join(
			os.Rename(filepath.Join(modules, "@octokit", "openapi", "generated", "api.github.com.json"), filepath.Join(dir, "api.github.com.json")),
			os.Rename(filepath.Join(modules, "@octokit", "webhooks-schemas", "schema.json"), filepath.Join(dir, "webhooks.json")),
			os.RemoveAll(modules))
	})
}

// installPackages installs what a folder of testdata locks, once per content of
// its lock file, in the user's cache folder or HUBSHIP_TEST_VENV. After the
// installation, finish is called.
func installPackages(ctx context.Context, name string, finish func(dir string) error) (string, error) {
	sum := sha256.New()
	files := map[string][]byte{}
	for _, file := range []string{"package.json", "package-lock.json"} {
		data, err := os.ReadFile(filepath.Join("testdata", name, file))
		if err != nil {
			return "", err
		}
		sum.Write(data)
		files[file] = data
	}
	root := os.Getenv("HUBSHIP_TEST_VENV")
	if root == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		root = filepath.Join(cache, "hubship-test")
	}
	dir := filepath.Join(root, fmt.Sprintf("%s-%x", name, sum.Sum(nil)[:8]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, err := os.Stat(filepath.Join(dir, "complete")); err == nil {
		return dir, nil
	}
	for file, data := range files {
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
			return "", err
		}
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci (Debian: apt-get install nodejs npm): %w\n%s", err, out)
	}
	if err := finish(dir); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "complete"), nil, 0o644)
}

// toSchema makes JSON Schema of OpenAPI 3.0's dialect: nullable is a type of
// its own, and references lead to the one document.
func toSchema(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = toSchema(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = toSchema(v[k])
		}
		if ref, ok := v["$ref"].(string); ok && strings.HasPrefix(ref, "#/components/schemas/") {
			v["$ref"] = partsURL + ref
		}
		if v["default"] == "" && v["format"] == "uri" {
			delete(v, "format") // no address, then
		}
		if v["nullable"] != true {
			return v
		}
		delete(v, "nullable")
		return map[string]any{"anyOf": []any{v, map[string]any{"type": "null"}}}
	}
	return v
}

// operation finds the description of what a request asks for: of the paths
// that fit, the one with the most words of its own.
func (d *description) operation(method, path string) (string, map[string]any) {
	best, name := -1, ""
	for template := range d.paths {
		words := 0
		pattern := regexp.MustCompile(`\\\{[a-z_]+\\\}`).ReplaceAllStringFunc(regexp.QuoteMeta(template), func(p string) string {
			if p == `\{ref\}` || p == `\{path\}` || p == `\{basehead\}` {
				return `.+`
			}
			return `[^/]+`
		})
		for word := range strings.SplitSeq(template, "/") {
			if !strings.HasPrefix(word, "{") {
				words++
			}
		}
		if ok, _ := regexp.MatchString("^"+pattern+"$", path); ok && words > best {
			if _, has := d.paths[template].(map[string]any)[strings.ToLower(method)]; has {
				best, name = words, template
			}
		}
	}
	if name == "" {
		return "", nil
	}
	return name, d.paths[name].(map[string]any)[strings.ToLower(method)].(map[string]any)
}

// check says what is wrong with an answer.
func (d *description) check(method, path string, status int, header http.Header, body []byte) error {
	template, op := d.operation(method, path)
	if op == nil {
		return fmt.Errorf("GitHub has no %s %s", method, path)
	}
	response, known := op["responses"].(map[string]any)[strconv.Itoa(status)].(map[string]any)
	var schema any
	switch {
	case known:
		if ref, ok := response["$ref"].(string); ok {
			response = d.parts["responses"].(map[string]any)[filepath.Base(ref)].(map[string]any)
		}
		if content, ok := response["content"].(map[string]any); ok {
			if body, ok := content["application/json"].(map[string]any); ok {
				schema = body["schema"]
			}
		}
	case status == http.StatusNotModified: // whatever is read, though not described everywhere
	case status >= 400:
		// Not every failure of every operation is described.
		schema = map[string]any{"$ref": partsURL + "#/components/schemas/basic-error"}
	default:
		return fmt.Errorf("%s %s: GitHub never answers %d", method, template, status)
	}
	if status == http.StatusNoContent || status == http.StatusNotModified {
		if len(body) > 0 {
			return fmt.Errorf("%s %s: %d with a body", method, template, status)
		}
		return nil
	}
	if kind := header.Get("Content-Type"); kind != "application/json; charset=utf-8" {
		return fmt.Errorf("%s %s: content type %q", method, template, kind)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(body)))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, template, err)
	}
	if status >= 400 {
		if e, ok := value.(map[string]any); !ok || e["message"] == "" || e["documentation_url"] == "" {
			return fmt.Errorf("%s %s: an error in no form of GitHub's: %s", method, template, body)
		}
	}
	if schema == nil {
		return nil
	}
	compiled, err := d.compile(d.compiler, fmt.Sprintf("mem:///%s/%x/%d", method, template, status), schema)
	if err == nil {
		err = compiled.Validate(value)
	}
	if err != nil {
		return fmt.Errorf("%s %s answers %d against its description: %w\n%.2000s", method, template, status, err, body)
	}
	return nil
}

func (d *description) compile(c *jsonschema.Compiler, name string, schema any) (*jsonschema.Schema, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if s, ok := d.compiled[name]; ok {
		return s, nil
	}
	if err := c.AddResource(name, schema); err != nil {
		return nil, err
	}
	s, err := c.Compile(name)
	d.compiled[name] = s
	return s, err
}

// checkEvent says what is wrong with the payload of a webhook.
func (d *description) checkEvent(event string, body []byte) error {
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(body)))
	if err != nil {
		return err
	}
	name := event + "$event"
	if action, ok := value.(map[string]any)["action"].(string); ok {
		name = event + "$" + action
	}
	if _, ok := d.events[name]; !ok {
		return fmt.Errorf("GitHub sends no %s", name)
	}
	s, err := d.compile(d.hooks, "mem:///event/"+name, map[string]any{"$ref": hooksURL + "#/definitions/" + strings.ReplaceAll(name, "$", "%24")})
	if err == nil {
		err = s.Validate(value)
	}
	if err != nil {
		return fmt.Errorf("%s against its schema: %w\n%.300s", name, err, body)
	}
	return nil
}

func describedOrSkip(t testing.TB) *description {
	t.Helper()
	if testing.Short() {
		t.Skip("skipped: -short, and this test installs GitHub's description of its API")
	}
	d, err := described()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func decode(t testing.TB, body []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(body, into); err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
}

// The check itself finds what is missing, of the wrong type, or unknown.
func TestCheckFails(t *testing.T) {
	d := describedOrSkip(t)
	header := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	good := `{"ref":"refs/heads/a","node_id":"x","url":"http://localhost/x","object":{"type":"commit","sha":"` + strings.Repeat("a", 40) + `","url":"http://localhost/y"}}`
	const path = "/repos/hub/deployment/git/ref/heads/a"
	if err := d.check(http.MethodGet, path, http.StatusOK, header, []byte(good)); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"a field is missing":   d.check(http.MethodGet, path, http.StatusOK, header, []byte(strings.Replace(good, `"node_id":"x",`, "", 1))),
		"a type is wrong":      d.check(http.MethodGet, path, http.StatusOK, header, []byte(strings.Replace(good, `"x"`, "7", 1))),
		"an address is none":   d.check(http.MethodGet, path, http.StatusOK, header, []byte(strings.Replace(good, "http://localhost/x", "no address", 1))),
		"no such operation":    d.check(http.MethodGet, "/repos/hub/deployment/nothing", http.StatusOK, header, []byte(good)),
		"no such status":       d.check(http.MethodGet, path, http.StatusAccepted, header, []byte(good)),
		"an error without one": d.check(http.MethodGet, path, http.StatusNotFound, header, []byte(`{"message":""}`)),
		"no such event":        d.checkEvent("nothing", []byte(`{}`)),
		"an empty event":       d.checkEvent("push", []byte(`{}`)),
	} {
		if err == nil {
			t.Errorf("%s, and the check is content", name)
		}
	}
}
