package check

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hubship/hubship/internal/plan"
)

// Rules say which files of a repository are meant to be encrypted, as its
// .sops.yaml tells SOPS.
type Rules struct {
	paths []*regexp.Regexp
}

// notSecret are files that no rule about secrets is meant for: a rule that
// takes them in says how files are encrypted, not which.
var notSecret = []string{"README.md", "Chart.yaml", "values.yaml", "config/common.yaml", "deployments/hub/config/common.yaml", "deployments/hub/hubploy.yaml"}

// SOPSRules reads a .sops.yaml. A rule that matches everything, or that
// matches ordinary values files too, says nothing about which files are
// secret and is left out.
func SOPSRules(name string, data []byte) (Rules, []plan.Problem) {
	report := &reporter{name: name, check: CheckEncryption}
	var file struct {
		Rules []struct {
			Path yaml.Node `yaml:"path_regex"`
		} `yaml:"creation_rules"`
	}
	if len(data) > maxYAMLSize/10 {
		report.add(plan.Error, 0, fmt.Sprintf("the file is %s", megabytes(len(data))), "keep SOPS' rules short")
		return Rules{}, report.problems
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		message, hint := explainYAML(err)
		report.add(plan.Error, mistakeLine(data, err), message, hint)
		return Rules{}, report.problems
	}
	var out Rules
	for _, rule := range file.Rules {
		if rule.Path.Value == "" {
			continue
		}
		compiled, err := regexp.Compile(rule.Path.Value)
		if err != nil {
			report.add(plan.Error, rule.Path.Line, "path_regex is not a regular expression that SOPS understands", "it is written in Go's syntax")
			continue
		}
		if !slices.ContainsFunc(notSecret, compiled.MatchString) {
			out.paths = append(out.paths, compiled)
		}
	}
	return out, report.problems
}

// Match says whether the file at the path, from the repository's root, is
// meant to be encrypted. Documentation and files that Git keeps a folder with
// never are.
func (r Rules) Match(name string) bool {
	base := path.Base(name)
	switch strings.ToLower(path.Ext(base)) {
	case ".md", ".rst", ".txt", ".pub", ".example", ".template":
		return false
	}
	if strings.HasPrefix(base, ".git") || strings.HasPrefix(base, ".sops") || strings.EqualFold(base, "README") {
		return false
	}
	return slices.ContainsFunc(r.paths, func(p *regexp.Regexp) bool { return p.MatchString(name) })
}
