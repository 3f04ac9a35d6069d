package check

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/release"
)

const (
	// usualShare is the share of the hubs with a setting in which it differs
	// between environments, from which on the difference is meant.
	usualShare = 0.8
	// usualHubs is how many hubs it takes to say so.
	usualHubs = 3
	// maxPaths bounds the settings that are listed of one hub.
	maxPaths = 10
)

// HubSettings are the settings of one hub in an environment and in the one
// that comes after it.
type HubSettings struct {
	Hub   string
	First string // the environment where changes are tested: "staging"
	Next  string // the one that they go to then: "prod"
	// Before and After are the values in the two environments, all files
	// merged, encrypted ones left out. Before is nil when the hub has no
	// release in the first environment.
	Before map[string]any
	After  map[string]any
	// Files are the values files of the next environment, the one that counts
	// most last. They are read for the lines only.
	Files []ValuesFile
	// Was are the settings of the same hub before the change; nil when there
	// were none. What differed then is not told again.
	Was *HubSettings
}

// ValuesFile is a values file as written.
type ValuesFile struct {
	Name string
	Data []byte
}

// Parity reports where a hub's environments differ beyond what is usual, so
// that what was tested is not what will run: one problem a hub, a warning when
// it is about what runs, otherwise a notice. Usual is what differs in at least
// four fifths of the hubs that set it, and in three at least; what is well
// known to differ (addresses, certificates, sizes, replicas); values that
// differ by the environment's name alone; and what differed before the change.
// hubs are all hubs of the fleet: it takes the others to know what is usual.
// Values of settings that have the name of a secret are not told.
func Parity(hubs []HubSettings) []plan.Problem {
	flat := make([]differences, len(hubs))
	set, differs := map[string]int{}, map[string]int{}
	for i, h := range hubs {
		if h.Before == nil {
			continue
		}
		flat[i] = compare(h)
		for path := range flat[i].set {
			set[path]++
		}
		for path := range flat[i].differ {
			differs[path]++
		}
	}
	var out []plan.Problem
	for i, h := range hubs {
		if h.Before == nil {
			out = append(out, unstaged(h))
			continue
		}
		var odd []string
		was := differences{}
		if h.Was != nil && h.Was.Before != nil {
			was = compare(*h.Was)
		}
		for path := range flat[i].differ {
			if _, old := was.differ[path]; old {
				continue
			}
			usual := differs[path] >= usualHubs && float64(differs[path]) >= usualShare*float64(set[path])
			if !usual && !wellKnown.MatchString(path) {
				odd = append(odd, path)
			}
		}
		if len(odd) > 0 {
			out = append(out, disparity(h, flat[i], odd))
		}
	}
	return out
}

func unstaged(h HubSettings) plan.Problem {
	p := plan.Problem{
		Severity: plan.Warning,
		Check:    CheckParity,
		Message:  fmt.Sprintf("%s has a release in %s and none in %s: its changes reach users untested", h.Hub, h.Next, h.First),
		Hint:     "give it values for " + h.First,
		Releases: []string{h.Hub + "@" + h.Next},
	}
	if n := len(h.Files); n > 0 {
		p.File = h.Files[n-1].Name
	}
	return p
}

// differences are those of one hub, by the path of the setting.
type differences struct {
	set    map[string]bool
	differ map[string][2]any // nil for what is not set
}

func compare(h HubSettings) differences {
	before, after := map[string]any{}, map[string]any{}
	flatten(nil, h.Before, h.First, before)
	flatten(nil, h.After, h.Next, after)
	d := differences{set: map[string]bool{}, differ: map[string][2]any{}}
	for path, b := range before {
		d.set[path] = true
		if a, ok := after[path]; !ok || !same(a, b, h) {
			d.differ[path] = [2]any{b, after[path]}
		}
	}
	for path, a := range after {
		d.set[path] = true
		if _, ok := before[path]; !ok {
			d.differ[path] = [2]any{nil, a}
		}
	}
	return d
}

// flatten lists settings by their paths, in which the environment's name is
// left out. A list is one value, as it is for Helm.
func flatten(path []string, v any, env string, into map[string]any) {
	m, ok := v.(map[string]any)
	if !ok || len(m) == 0 || len(path) > maxYAMLDepth {
		if len(path) > 0 {
			into[dotted(path)] = v
		}
		return
	}
	for k, e := range m {
		key := withoutName(k, env)
		if _, taken := m[key]; taken || key == "" {
			key = k
		}
		flatten(append(slices.Clip(path), key), e, env, into)
	}
}

// same compares two values, the names of their environments aside.
func same(after, before any, h HubSettings) bool {
	a, b := compact(after), compact(before)
	if a == b {
		return true
	}
	return withoutName(b, h.First) == withoutName(a, h.Next) || withoutName(b, h.First) == a
}

// withoutName takes the environment's name out of a value, with what joins it
// to its surroundings: data8-staging.example.org becomes data8.example.org.
func withoutName(s, name string) string {
	if name == "" || !strings.Contains(s, name) {
		return s
	}
	p := patternsOf(name)
	return p.before.ReplaceAllString(p.joined.ReplaceAllString(s, ""), "")
}

// namePatterns find an environment's name in text: with what joins it to what
// comes before, and else with what joins it to what comes after.
type namePatterns struct {
	joined, before *regexp.Regexp
}

// knownNames keeps the patterns of the environments' names, which are few and
// looked for in every setting of every hub.
var knownNames sync.Map

func patternsOf(name string) namePatterns {
	if known, ok := knownNames.Load(name); ok {
		return known.(namePatterns)
	}
	quoted := regexp.QuoteMeta(name)
	if name == "prod" {
		quoted = "prod(?:uction)?"
	}
	p := namePatterns{regexp.MustCompile(`[-_./]` + quoted + `\b`), regexp.MustCompile(`\b` + quoted + `[-_./]?`)}
	knownNames.Store(name, p)
	return p
}

// compact writes a value in one way; maps have their keys in order.
func compact(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(raw)
}

// wellKnown matches settings that are meant to differ: staging is smaller, has
// another address, and keeps its users' files elsewhere.
var wellKnown = regexp.MustCompile(`(?i)(?:^|\.)(?:` + strings.Join([]string{
	`ingress(?:\..*)?`, `https?\.hosts`, `hosts?`, `tls`, `hostname`, `domain`, `[a-z]*URL`, `[a-z_]*ur[il]`, `client_?id`, `oauth_client_id`,
	`replicas`, `resources(?:\..*)?`, `storage`, `(?:db\.)?pvc\.[a-zA-Z]*`, `capacity`,
	`shareName`, `serverIP`, `subPath`, `bucket[a-zA-Z]*`,
	`loadBalancerIP`, `placeholder(?:\..*)?`, `userPlaceholder(?:\..*)?`, `prePuller(?:\..*)?`, `pdb(?:\..*)?`,
	`debug(?:\.enabled)?`, `logLevel`, `log_level`,
}, "|") + `)$`)

// grave matches settings about what runs.
var grave = regexp.MustCompile(`(?:^|\.)(?:singleuser\.(?:image|cmd|lifecycleHooks|initContainers|extraContainers|extraFiles|profileList)|hub\.(?:image|config|extraConfig|extraFiles)|proxy\.(?:chp\.|traefik\.)?image)(?:\.|\[|$)`)

// secretName matches settings whose values are not told.
var secretName = regexp.MustCompile(`(?i)secret|token|passw|credential|cookie|private|api_?key|key$`)

// disparity words what differs in one hub.
func disparity(h HubSettings, d differences, odd []string) plan.Problem {
	slices.SortFunc(odd, func(a, b string) int {
		return cmp.Or(boolRank(grave.MatchString(a))-boolRank(grave.MatchString(b)), strings.Compare(a, b))
	})
	p := plan.Problem{Severity: plan.Notice, Check: CheckParity, Releases: []string{h.Hub + "@" + h.Next},
		Hint: "move settings for both into the values that they share, so that " + h.First + " tests what " + h.Next + " runs"}
	if grave.MatchString(odd[0]) {
		p.Severity = plan.Warning
	}
	at := positions(h.Files)
	var list []string
	for i, path := range odd {
		if i == maxPaths {
			list = append(list, fmt.Sprintf("and %d more", len(odd)-i))
			break
		}
		place := at[path]
		if i == 0 {
			p.File, p.Line = place.name, place.line
		}
		where := ""
		if place.line > 0 {
			where = fmt.Sprintf(" (%s:%d)", place.name, place.line)
		}
		list = append(list, fmt.Sprintf("%s is %s in %s, %s in %s%s", path, tell(path, d.differ[path][0]), h.First, tell(path, d.differ[path][1]), h.Next, where))
	}
	if p.File == "" && len(h.Files) > 0 {
		p.File = h.Files[len(h.Files)-1].Name
	}
	p.Message = fmt.Sprintf("%s: %s and %s now differ where they usually do not: %s", h.Hub, h.First, h.Next, strings.Join(list, "; "))
	return p
}

func boolRank(first bool) int {
	if first {
		return 0
	}
	return 1
}

// tell writes a value for people, short and without secrets.
func tell(path string, v any) string {
	if v == nil {
		return "not set"
	}
	if secretName.MatchString(path) {
		return release.Masked
	}
	switch v := v.(type) {
	case string:
		if n := strings.Count(strings.TrimSpace(v), "\n"); n > 0 {
			return fmt.Sprintf("a string of %d lines", n+1)
		}
	case []any:
		if len(v) > 3 {
			return fmt.Sprintf("a list of %d items", len(v))
		}
	}
	text := compact(v)
	if secretName.MatchString(text) {
		return release.Masked
	}
	if r := []rune(text); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return text
}

type position struct {
	name string
	line int
}

// positions finds where settings are written, by their paths; where several
// files have one, the last counts.
func positions(files []ValuesFile) map[string]position {
	out := map[string]position{}
	for _, f := range files {
		for _, doc := range documents(&reporter{}, f.Data, true) {
			w := walker{reporter: &reporter{}, sizes: map[*yaml.Node]int{}}
			if w.size(doc, 0) <= maxYAMLNodes && !w.refused {
				place(doc, nil, f.Name, out)
			}
		}
	}
	return out
}

func place(n *yaml.Node, path []string, name string, into map[string]position) {
	if n.Kind == yaml.DocumentNode {
		for _, c := range n.Content {
			place(c, path, name, into)
		}
	}
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		at := append(slices.Clip(path), n.Content[i].Value)
		into[dotted(at)] = position{name, n.Content[i].Line}
		place(n.Content[i+1], at, name, into)
	}
}
