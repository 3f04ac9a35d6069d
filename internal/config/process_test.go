package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/model"
)

func TestProcess(t *testing.T) {
	c, err := load(t, strings.Replace(minimal, "prod: {", "prod: {push: true, ", 1)+`checks:
- name: lint (fast)
  image: docker.io/library/python:3.12-slim
  command: |
    set -e
    ruff check .
  paths: ["**/*.py", "deployments/*/config/*.{yaml,yml}"]
  timeout: 1m30s
- {name: charts, image: alpine/helm@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef, command: [helm, lint, hub]}
review: {approvals: 0}
revert: auto
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []model.Test{
		{Name: "lint (fast)", Image: "docker.io/library/python:3.12-slim", Command: []string{"sh", "-c", "set -e\nruff check .\n"},
			Paths: []string{"**/*.py", "deployments/*/config/*.{yaml,yml}"}, Timeout: 90 * time.Second},
		{Name: "charts", Image: "alpine/helm@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", Command: []string{"helm", "lint", "hub"}},
	}
	if got, want := asJSON(t, c.Fleet.Tests), asJSON(t, want); got != want {
		t.Errorf("tests\n%s\nwant\n%s", got, want)
	}
	if c.Fleet.Review.Approvals != 0 || c.Fleet.Revert != model.RevertAuto {
		t.Errorf("review %+v, revert %q", c.Fleet.Review, c.Fleet.Revert)
	}
	for env, want := range map[string]bool{"staging": false, "prod": true} {
		if e, _ := c.Fleet.Environment(env); e.Push != want {
			t.Errorf("%s takes pushes: %v", env, e.Push)
		}
	}
	// Saying nothing asks for one.
	c, err = load(t, minimal+"review: {}\n")
	if err != nil || c.Fleet.Review.Approvals != 1 {
		t.Errorf("an empty review asks for %+v approvals, %v", c, err)
	}
}

// TestProcessProblems adds to minimal, which has 11 lines.
func TestProcessProblems(t *testing.T) {
	check := func(edit string) string {
		fields := []string{"name: lint", "image: python", "command: ruff check ."}
		for i, f := range fields {
			if key, _, _ := strings.Cut(edit, ":"); strings.HasPrefix(f, key+":") {
				fields[i] = edit
				return "checks:\n- {" + strings.Join(fields, ", ") + "}\n"
			}
		}
		return "checks:\n- {" + strings.Join(append(fields, edit), ", ") + "}\n"
	}
	many := "checks:\n"
	for i := range maxChecks + 1 {
		many += fmt.Sprintf("- {name: c%d, image: a, command: b}\n", i)
	}
	for name, tc := range map[string]struct{ add, want string }{
		"unknown key":         {check("path: [a]"), `hubship.yaml:11:54: checks[0].path: unknown key, expected command, image, name, paths or timeout (did you mean "paths"?)`},
		"not a list":          {"checks: {lint: {}}\n", "hubship.yaml:10:9: checks: expected a list, found a mapping"},
		"no name":             {"checks:\n- {image: a, command: b}\n", "hubship.yaml:11:3: checks[0].name: missing, but required"},
		"name with markup":    {check("name: <b>"), `hubship.yaml:11:10: checks[0].name: "<b>" is not a name for a check`},
		"empty name":          {check("name: ''"), `checks[0].name: "" is not a name for a check`},
		"name over two lines": {check(`name: "a\nb"`), `is not a name for a check`},
		"long name":           {check("name: " + strings.Repeat("x", 41)), "is not a name for a check: expected up to 40 letters"},
		"name twice":          {check("timeout: 1m") + "- {name: lint, image: a, command: b}\n", `hubship.yaml:12:10: checks[1].name: checks[0] is already called "lint" (give each check its own name)`},
		"bad image":           {check("image: 'Python 3'"), `checks[0].image: "Python 3" is not an image reference: invalid reference format`},
		"image with a scheme": {check("image: 'docker://python'"), `is not an image reference`},
		"no command":          {check("command: ' '"), "hubship.yaml:11:40: checks[0].command: expected a command, found nothing to run"},
		"empty command":       {check("command: []"), "expected a command, found nothing to run"},
		"empty program":       {check("command: ['', a]"), "expected a command, found nothing to run"},
		"command of a number": {check("command: 7"), "checks[0].command: expected a string or a list, found 7"},
		"command of lists":    {check("command: [[a]]"), "checks[0].command[0]: expected a string, found a list"},
		"command mapping":     {check("command: {run: a}"), "checks[0].command: expected a list, found a mapping"},
		"command with NUL":    {check(`command: ["a\0b"]`), "a command cannot contain the character NUL"},
		"bad pattern":         {check("paths: ['docs/[']"), `checks[0].paths[0]: "docs/[" is not a pattern of files (for example docs/** or **/*.{yaml,yml})`},
		"open brace":          {check("paths: ['*.{py']"), `checks[0].paths[0]: "*.{py" is not a pattern of files`},
		"folder":              {check("paths: [a, docs/]"), `checks[0].paths[1]: "docs/" matches folders only (docs/** is everything below it)`},
		"excluding":           {check("paths: ['!docs/**']"), `"!docs/**" excludes: patterns say what a check sees`},
		"rooted":              {check("paths: [/docs/**]"), `"/docs/**" matches nothing: patterns begin at the root`},
		"goes up":             {check("paths: [docs/../x]"), `"docs/../x" contains '..'`},
		"empty pattern":       {check("paths: ['']"), `checks[0].paths[0]: "" is empty (** is every file)`},
		"no duration":         {check("timeout: ten minutes"), `hubship.yaml:11:63: checks[0].timeout: "ten minutes" is not a duration: expected a number and s, m or h (for example 90s or 15m)`},
		"too long":            {check("timeout: 2h"), "checks[0].timeout: expected 1s to 1h, found 2h"},
		"too short":           {check("timeout: 10ms"), "checks[0].timeout: expected 1s to 1h, found 10ms"},
		"backwards":           {check("timeout: -5m"), "checks[0].timeout: expected 1s to 1h, found -5m"},
		"too many":            {many, "hubship.yaml:11:1: checks: there are 51 checks, at most 50 are possible"},
		"approvals text":      {"review: {approvals: one}\n", `review.approvals: expected a whole number, found the string "one"`},
		"approvals negative":  {"review: {approvals: -1}\n", "hubship.yaml:10:21: review.approvals: expected 0 to 6, found -1"},
		"approvals many":      {"review: {approvals: 7}\n", "review.approvals: expected 0 to 6, found 7"},
		"review unknown":      {"review: {aprovals: 1}\n", `review.aprovals: unknown key, expected approvals (did you mean "approvals"?)`},
		"revert unknown":      {"revert: automatic\n", `hubship.yaml:10:9: revert: expected propose or auto, found "automatic"`},
		"revert a slip":       {"revert: porpose\n", `found "porpose" (did you mean "propose"?)`},
		"revert boolean":      {"revert: true\n", "revert: expected a string, found true"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, minimal+tc.add)
			var e *Error
			if !errors.As(err, &e) || len(e.Problems) != 1 || model.HintOf(err) == "" {
				t.Fatalf("error %v, want one problem and a hint", err)
			}
			if !strings.Contains(e.Problems[0].String(), tc.want) {
				t.Errorf("error\n%v\nwant\n%s", err, tc.want)
			}
		})
	}
}

// TestHubployProcess asks for review where nothing is said about it.
func TestHubployProcess(t *testing.T) {
	fleet, err := Load(hubployTree(nil), "")
	if err != nil {
		t.Fatal(err)
	}
	if fleet.Review.Approvals != 1 || fleet.Revert != model.RevertPropose || len(fleet.Tests) != 0 || fleet.Environments[0].Push {
		t.Errorf("review %+v, revert %q, tests %+v, environments %+v", fleet.Review, fleet.Revert, fleet.Tests, fleet.Environments)
	}
}
