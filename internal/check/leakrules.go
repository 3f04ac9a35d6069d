package check

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/pelletier/go-toml/v2"
	"github.com/zricethezav/gitleaks/v8/config"
	"github.com/zricethezav/gitleaks/v8/detect"

	"github.com/hubship/hubship/internal/plan"
)

//lint:file-ignore SA1019 gitleaks' own rules are written with the older allowlist

// leakRules are gitleaks' rules as written. Compiling them all takes longer
// than everything else in a plan, so each is compiled when a word that it
// goes by is first met.
type leakRules struct {
	written  config.ViperConfig
	at       map[string]int      // where a rule is among those written, by its id
	keywords map[string][]string // of a rule, in lower case
	global   []*config.Allowlist

	mu    sync.Mutex
	ready map[string]compiled
}

// compiled is a rule with those that it builds on.
type compiled struct {
	rules map[string]config.Rule
	err   error
}

// defaultRules are those that gitleaks comes with.
var defaultRules = sync.OnceValues(func() (*leakRules, error) {
	var written config.ViperConfig
	if err := toml.Unmarshal([]byte(config.DefaultConfig), &written); err != nil {
		return nil, errors.New("gitleaks' rules cannot be read")
	}
	return newRules(written)
})

func newRules(written config.ViperConfig) (*leakRules, error) {
	if written.AllowList != nil {
		written.Allowlists = append(slices.Clip(written.Allowlists), written.AllowList)
		written.AllowList = nil
	}
	r := &leakRules{written: written, at: map[string]int{}, keywords: map[string][]string{}, ready: map[string]compiled{}}
	for i, w := range written.Rules {
		r.at[w.ID] = i
		for _, k := range w.Keywords {
			r.keywords[w.ID] = append(r.keywords[w.ID], strings.ToLower(k))
		}
	}
	global := config.ViperConfig{}
	for _, a := range written.Allowlists {
		if len(a.TargetRules) == 0 {
			global.Allowlists = append(global.Allowlists, a)
		}
	}
	c, err := translate(global)
	if err != nil {
		return nil, fmt.Errorf("an allowlist is not valid: %w", err)
	}
	r.global = c.Allowlists
	return r, nil
}

// translate compiles rules. gitleaks panics at a regular expression that is
// none.
func translate(v config.ViperConfig) (c config.Config, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("a regular expression does not compile")
		}
	}()
	return v.Translate()
}

// loadRules returns gitleaks' own rules with what the repository's
// .gitleaks.toml adds to them, or takes away. Its rules never replace all
// others, and files that it would extend are not read.
func loadRules(own []byte) (*leakRules, []plan.Problem) {
	base, err := defaultRules()
	if err != nil {
		empty := &leakRules{ready: map[string]compiled{}}
		return empty, []plan.Problem{{Severity: plan.Warning, Check: CheckCredential, Message: "the change was not searched for credentials: " + err.Error()}}
	}
	if len(own) == 0 {
		return base, nil
	}
	r, err := base.with(own)
	if err != nil {
		return base, []plan.Problem{{Severity: plan.Warning, Check: CheckCredential, File: ".gitleaks.toml",
			Message: err.Error() + ": only gitleaks' own rules were used", Hint: "check it with `gitleaks dir .`"}}
	}
	return r, nil
}

func (r *leakRules) with(own []byte) (*leakRules, error) {
	if len(own) > 1<<20 {
		return nil, errors.New("the file is " + megabytes(len(own)))
	}
	var over config.ViperConfig
	if err := toml.Unmarshal(own, &over); err != nil {
		return nil, errors.New("the file is not valid TOML")
	}
	joined := config.ViperConfig{Allowlists: slices.Concat(r.written.Allowlists, over.Allowlists)}
	if over.AllowList != nil {
		joined.Allowlists = append(joined.Allowlists, over.AllowList)
	}
	for _, w := range r.written.Rules {
		if !slices.Contains(over.Extend.DisabledRules, w.ID) {
			joined.Rules = append(joined.Rules, w)
		}
	}
	for _, w := range over.Rules {
		place := -1
		for i := range joined.Rules {
			if joined.Rules[i].ID == w.ID {
				place = i
			}
		}
		if place < 0 {
			joined.Rules = append(joined.Rules, w)
			continue
		}
		// What is said again of one of gitleaks' rules counts; exceptions are
		// added to those that it has.
		base := joined.Rules[place]
		if w.AllowList != nil {
			w.Allowlists = append(w.Allowlists, w.AllowList)
			w.AllowList = nil
		}
		w.Allowlists = slices.Concat(base.Allowlists, w.Allowlists)
		w.Keywords = slices.Concat(base.Keywords, w.Keywords)
		if w.Regex == "" {
			w.Regex, w.SecretGroup = base.Regex, base.SecretGroup
		}
		if w.Path == "" {
			w.Path = base.Path
		}
		if w.Description == "" {
			w.Description = base.Description
		}
		if w.Entropy == 0 {
			w.Entropy = base.Entropy
		}
		joined.Rules[place] = w
	}
	out, err := newRules(joined)
	if err != nil {
		return nil, err
	}
	for _, w := range over.Rules {
		if c := out.compile(w.ID); c.err != nil {
			return nil, c.err
		}
	}
	return out, nil
}

// compile returns the rule with those that it builds on, compiled.
func (r *leakRules) compile(id string) compiled {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c, ok := r.ready[id]; ok {
		return c
	}
	var v config.ViperConfig
	wanted := []string{id}
	for i := 0; i < len(wanted) && i < 100; i++ {
		at, ok := r.at[wanted[i]]
		if !ok {
			continue // gitleaks says which is missing
		}
		w := r.written.Rules[at]
		w.Keywords = slices.Clone(w.Keywords) // gitleaks writes into it
		v.Rules = append(v.Rules, w)
		for _, needs := range w.Required {
			if !slices.Contains(wanted, needs.ID) {
				wanted = append(wanted, needs.ID)
			}
		}
	}
	for _, a := range r.written.Allowlists {
		for _, target := range a.TargetRules {
			if slices.Contains(wanted, target) {
				own := *a
				own.TargetRules = []string{target}
				v.Allowlists = append(v.Allowlists, &own)
			}
		}
	}
	c, err := translate(v)
	if err != nil {
		err = fmt.Errorf("the rule %s is not valid: %w", id, err)
	}
	out := compiled{rules: c.Rules, err: err}
	r.ready[id] = out
	return out
}

// detector returns gitleaks with the rules whose words are in the pieces, and
// with those that go by the name of a file.
func (r *leakRules) detector(pieces []piece) (*detect.Detector, error) {
	c := config.Config{Rules: map[string]config.Rule{}, Keywords: map[string]struct{}{}, Allowlists: r.global}
	words := map[string]bool{}
	has := func(word string) bool {
		found, known := words[word]
		if !known {
			found = slices.ContainsFunc(pieces, func(p piece) bool { return strings.Contains(p.lower, word) })
			words[word] = found
		}
		return found
	}
	for _, w := range r.written.Rules {
		words := r.keywords[w.ID]
		if len(words) > 0 && !slices.ContainsFunc(words, has) {
			continue
		}
		ready := r.compile(w.ID)
		if ready.err != nil {
			return nil, ready.err
		}
		for id, rule := range ready.rules {
			c.Rules[id] = rule
			c.OrderedRules = append(c.OrderedRules, id)
			for _, k := range rule.Keywords {
				c.Keywords[k] = struct{}{}
			}
		}
	}
	return detect.NewDetector(c), nil
}
