package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/distribution/reference"

	"github.com/hubship/hubship/internal/model"
)

const (
	// maxChecks bounds what one pull request can make an installation do.
	maxChecks = 50
	// defaultApprovals holds where a repository says nothing: somebody else
	// has looked at every change.
	defaultApprovals = 1
	// maxApprovals is the most that GitHub's branch protection knows.
	maxApprovals = 6

	minTimeout, maxTimeout = time.Second, time.Hour

	// Who verification is, unless the repository says otherwise.
	defaultService, defaultUser = "hubship", "hubship-verify"
)

// checkName keeps names of checks readable in a status, which has 140
// characters for all that it says, and free of markup.
var checkName = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9 ._/:+()]{0,38}[A-Za-z0-9)])?$`)

// Parts of hubship.yaml by who decides: the process is read at the tip of the
// process branch, the content at the commit at hand. What is in neither, such as
// text that is no YAML, or a key that nobody knows, spoils both.
var (
	processKeys = []string{"environments", "review", "revert", "verify", "clusters", "registry"}
	contentKeys = []string{"hubs", "images", "checks"}
)

func isProcess(field string) bool { return !slices.Contains(contentKeys, section(field)) }
func isContent(field string) bool { return !slices.Contains(processKeys, section(field)) }

// section is the key at the top of the file that a field is in.
func section(field string) string {
	if i := strings.IndexAny(field, ".["); i >= 0 {
		return field[:i]
	}
	return field
}

// process reads which environments there are, and what changes go through on
// their way.
func (c *checker) process() {
	c.verify()
	c.environments()
	c.fleet.Review.Approvals = defaultApprovals
	if n := c.f.Review.Approvals; c.given("review.approvals") {
		if n < 0 || n > maxApprovals {
			c.problem("review.approvals", "0 is for a team of one", "expected 0 to %d, found %d", maxApprovals, n)
		}
		c.fleet.Review.Approvals = n
	}
	c.fleet.Revert = model.RevertPropose
	if known := []string{model.RevertPropose, model.RevertAuto}; c.given("revert") {
		if !slices.Contains(known, c.f.Revert) {
			c.problem("revert", didYouMean(c.f.Revert, known), "expected %s, found %q", oneOf(known), shorten(c.f.Revert))
		}
		c.fleet.Revert = c.f.Revert
	}
}

// verify reads who tests a live release.
func (c *checker) verify() {
	c.fleet.Verify = model.VerifySettings{Service: defaultService, User: defaultUser}
	if c.given("verify.service") {
		c.fleet.Verify.Service = c.f.Verify.Service
		if p := labelProblem(c.f.Verify.Service, maxLabel); p != "" {
			c.problem("verify.service", "", "%q %s", c.f.Verify.Service, p)
		}
	}
	if c.given("verify.user") {
		c.fleet.Verify.User = c.f.Verify.User
		if !hubUser.MatchString(c.f.Verify.User) {
			c.problem("verify.user", "", "%q is not a user name: expected lower-case letters, digits, '-', '_', '.' and '@'", c.f.Verify.User)
		}
	}
}

// apart refuses environments that would put a hub into one place.
func (c *checker) apart() {
	for i, e := range c.fleet.Environments {
		for _, f := range c.fleet.Environments[:i] {
			same := func(a, b string) bool { return model.Expand(a, "x", e.Name) == model.Expand(b, "x", f.Name) }
			if e.Cluster == f.Cluster && same(e.Namespace, f.Namespace) {
				c.problem("environments."+e.Name+".namespace", "put {env} into the pattern", "a hub's releases in %s and %s would share a namespace", f.Name, e.Name)
			}
			if same(e.Host, f.Host) {
				c.problem("environments."+e.Name+".host", "put {env} into the pattern", "a hub's releases in %s and %s would share a host", f.Name, e.Name)
			}
		}
	}
}

func (c *checker) checks() {
	if n := len(c.f.Checks); n > maxChecks {
		c.problem("checks", "let one check run several commands", "there are %d checks, at most %d are possible", n, maxChecks)
		return
	}
	first := map[string]int{}
	for i, in := range c.f.Checks {
		field := fmt.Sprintf("checks[%d]", i)
		if c.given(field + ".name") {
			other, taken := first[in.Name]
			switch {
			case !checkName.MatchString(in.Name):
				c.problem(field+".name", "for example: lint", "%q is not a name for a check: expected up to 40 letters, digits, spaces and - . _ / : + ( ), with a letter or digit in front", shorten(in.Name))
			case taken:
				c.problem(field+".name", "give each check its own name", "checks[%d] is already called %q", other, in.Name)
			}
			first[in.Name] = i
		}
		if c.given(field + ".image") {
			if _, err := reference.ParseDockerRef(in.Image); err != nil {
				c.problem(field+".image", "for example docker.io/library/python:3.12-slim", "%q is not an image reference: %v", shorten(in.Image), err)
			}
		}
		if p := commandProblem(in.Command); p != "" && c.sound(field+".command") {
			c.problem(field+".command", "for example: ruff check .", "%s", p)
		}
		for j, pattern := range in.Paths {
			f := fmt.Sprintf("%s.paths[%d]", field, j)
			if p, hint := filesProblem(pattern); c.given(f) && p != "" {
				c.problem(f, hint, "%q %s", shorten(pattern), p)
			}
		}
		t := model.Test{Name: in.Name, Image: in.Image, Command: in.Command, Paths: in.Paths}
		if c.given(field + ".timeout") {
			var err error
			switch t.Timeout, err = time.ParseDuration(in.Timeout); {
			case err != nil:
				c.problem(field+".timeout", "for example 90s or 15m", "%q is not a duration: expected a number and s, m or h", shorten(in.Timeout))
			case t.Timeout < minTimeout || t.Timeout > maxTimeout:
				c.problem(field+".timeout", "", "expected 1s to 1h, found %s", shorten(in.Timeout))
			}
		}
		c.fleet.Tests = append(c.fleet.Tests, t)
	}
}

// sound says that a list stands in the file and could be read, with all that is
// in it.
func (c *checker) sound(field string) bool {
	return c.given(field) && !slices.ContainsFunc(c.d.found.list, func(p Problem) bool { return strings.HasPrefix(p.Field, field+"[") })
}

// commandProblem says why a command cannot be run, or returns "".
func commandProblem(words []string) string {
	switch {
	case len(words) == 0 || strings.TrimSpace(words[0]) == "",
		len(words) == 3 && words[0] == "sh" && words[1] == "-c" && strings.TrimSpace(words[2]) == "":
		return "expected a command, found nothing to run"
	case slices.ContainsFunc(words, func(w string) bool { return strings.Contains(w, "\x00") }):
		return "a command cannot contain the character NUL"
	}
	return ""
}

// filesProblem says why a pattern can match no file of the repository, and
// what to try; or returns "".
func filesProblem(pattern string) (problem, hint string) {
	switch {
	case pattern == "":
		return "is empty", "** is every file"
	case strings.HasPrefix(pattern, "!"):
		return "excludes: patterns say what a check sees", "list the files that it does see"
	case strings.HasPrefix(pattern, "/") || strings.HasPrefix(pattern, "./"):
		return "matches nothing: patterns begin at the root of the repository, without a slash", "for example docs/**"
	case strings.HasSuffix(pattern, "/"):
		return "matches folders only", fmt.Sprintf("%s** is everything below it", pattern)
	case slices.Contains(strings.Split(pattern, "/"), ".."):
		return "contains '..': expected a path without '..'", ""
	case !utf8.ValidString(pattern) || strings.ContainsAny(pattern, "\x00\n"):
		return "contains a character that paths in a repository cannot have", ""
	case len(pattern) > 1000 || !doublestar.ValidatePattern(pattern):
		return "is not a pattern of files", "for example docs/** or **/*.{yaml,yml}"
	}
	return "", ""
}
