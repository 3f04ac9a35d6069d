package helm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
	"github.com/hubship/hubship/internal/release/confine"
)

// shadow is what a release would be with made-up values in the place of its
// secrets, rendered as a plan is. What it says holds nothing of them, in no
// encoding.
type shadow struct {
	objects []release.Object
	err     error
}

// shadow renders the release without its secrets, and without the cluster.
func (up *upgrade) shadow(ctx context.Context) shadow {
	n := 0
	values := maps.Clone(up.values)
	for _, s := range up.secrets {
		values = release.Merge(values, madeUp(s, &n).(map[string]any))
	}
	t := up.Desired.Target
	out, err := up.r.renderer.Render(ctx, RenderRequest{
		Tree: up.Tree, Chart: up.Desired.Chart, Release: t.Release, Namespace: t.Namespace, Values: values, Deterministic: true,
	})
	if err != nil {
		return shadow{err: err}
	}
	return shadow{objects: out.Objects}
}

// madeUp takes the place of secrets: the same maps and lists, and values that
// were not made from theirs.
func madeUp(v any, n *int) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out[k] = madeUp(v[k], n)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = madeUp(e, n)
		}
		return out
	case string:
		*n++
		return "stand-in-" + strconv.Itoa(*n)
	case nil:
		return nil
	case bool:
		return false
	}
	return int64(1)
}

// withheldHint is how the operator sees what is not told.
const withheldHint = "the message is withheld because it may quote a secret; anybody with the key can see it with `hubship render --show-secrets --hub %s --env %s %.12s | kubectl apply --dry-run=server -n %s -f -`"

// sayable words an error of an action in which secrets took part. Templates,
// Helm and the API server quote values, in whatever way a template has spelt
// them. So what is told is what the same release says without its secrets,
// where it fails in the same way, and otherwise the place and the reason's
// name alone.
func (up *upgrade) sayable(ctx context.Context, cfg *configuration, err error) error {
	if ctx.Err() != nil || len(up.secrets) == 0 && !cfg.lookup.used() {
		return err
	}
	var ours *ownWords
	if errors.As(err, &ours) {
		return err // made here, of names; the redactor sees to them
	}
	text := err.Error()
	s := up.shadow(ctx)
	if s.err == nil {
		s.err = confine.Refuse(confine.Of(s.objects), up.Desired.Target, up.r.opts.Charts)
	}
	if s.err != nil && failsAlike(text, err, s.err) {
		return s.err
	}
	t := up.Desired.Target
	words := s.words(up.places(text), text, err)
	hint := fmt.Sprintf(withheldHint, t.Hub, t.Environment, up.Desired.Commit, t.Namespace)
	if known := model.HintOf(explainApply(err)); known != "" && known != model.HintOf(err) {
		hint = known + ". And " + hint
	}
	return model.WithHint(&withheld{words, err}, hint)
}

// ownWords marks an error that this package worded, of names alone.
type ownWords struct{ error }

func (e *ownWords) Unwrap() error { return e.error }

// withheld is an error whose own text is not told.
type withheld struct {
	text string
	err  error
}

func (e *withheld) Error() string { return e.text }

// Is lets errors.Is see the cause without handing it out.
func (e *withheld) Is(target error) bool { return errors.Is(e.err, target) }

// templatePlace is where text/template says that it failed.
var templatePlace = regexp.MustCompile(`\(?([A-Za-z0-9_./-]+\.(?:yaml|yml|tpl|txt|json)):(\d+)`)

// places are the lines of the chart's own files that a text names, or else the
// files.
func (up *upgrade) places(text string) []string {
	var out []string
	for _, m := range templatePlace.FindAllStringSubmatch(text, -1) {
		if up.files[m[1]] && len(m[2]) < minLine {
			out = append(out, m[1]+":"+m[2])
		}
	}
	if len(out) > 0 {
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(up.files)) {
		if strings.Contains(text, name) {
			out = append(out, name)
		}
	}
	return out
}

// minLine is how many digits a number has that is no line of a file.
const minLine = 6

// templateFiles are the names of a chart's templates, as errors give them.
func templateFiles(ch *chart.Chart, under string, into map[string]bool) {
	at := path.Join(under, ch.Name())
	for _, f := range ch.Templates {
		into[path.Join(at, f.Name)] = true
	}
	for _, sub := range ch.Dependencies() {
		templateFiles(sub, path.Join(at, "charts"), into)
	}
}

// failsAlike says that a release fails without its secrets as it did with them:
// at the same place of a template, by the schema, or by what it reaches for.
func failsAlike(text string, real, without error) bool {
	var template *TemplateError
	var schema *SchemaError
	var beyond *confine.Error
	switch {
	case errors.As(without, &template):
		for _, m := range templatePlace.FindAllStringSubmatch(text, -1) {
			if m[1] == template.File && m[2] == strconv.Itoa(template.Line) {
				return true
			}
		}
		return false
	case errors.As(without, &schema):
		return strings.Contains(text, "values don't meet the specifications of the schema")
	case errors.As(without, &beyond):
		return errors.As(real, &beyond)
	}
	return false
}

// words tell what may be told of an error: places that the release has without
// its secrets too, and the API server's names of reasons.
func (s shadow) words(places []string, text string, err error) string {
	var beyond *confine.Error
	if errors.As(err, &beyond) {
		return "the chart reaches beyond its release, with something it derives from a secret" + inTemplate(beyond)
	}
	if all := statuses(err); len(all) > 0 {
		parts := make([]string, 0, len(all))
		for _, status := range all {
			parts = append(parts, s.status(status, text))
		}
		slices.Sort(parts)
		return strings.Join(slices.Compact(parts), "; ")
	}
	if strings.Contains(text, "values don't meet the specifications of the schema") {
		return "values do not meet the schema of the chart"
	}
	if len(places) > 0 {
		return places[len(places)-1] + ": the template fails, or produces something that cannot be read"
	}
	if strings.Contains(text, "invalid ownership metadata") {
		return "an object already exists and does not belong to this release" + s.named(text)
	}
	return "Helm could not apply the release" + s.named(text)
}

func inTemplate(e *confine.Error) string {
	if len(e.Violations) > 0 && e.Violations[0].Object.Template != "" {
		return ", in " + e.Violations[0].Object.Template
	}
	return ""
}

// named names the objects of the release that a text speaks of.
func (s shadow) named(text string) string {
	var out []string
	for _, o := range s.objects {
		if mentions(text, o.Name) && strings.Contains(text, o.Kind) {
			out = append(out, o.String())
		}
	}
	if len(out) == 0 {
		return ""
	}
	slices.Sort(out)
	return ": " + strings.Join(slices.Compact(out), ", ")
}

// mentions says that a text names an object: in quotes, or behind its namespace.
func mentions(text, name string) bool {
	for _, around := range []string{`"` + name + `"`, "/" + name + " ", "/" + name + ";"} {
		if strings.Contains(text, around) {
			return true
		}
	}
	return false
}

// status words an answer of the API server: the object, the field and the
// reason's name, as far as the release has them without its secrets.
func (s shadow) status(status *apierrors.StatusError, text string) string {
	what, fields := "an object", []string{}
	known := map[string]bool{}
	for _, o := range s.objects {
		keys(o.Content, known, 0)
	}
	if d := status.ErrStatus.Details; d != nil {
		for _, o := range s.objects {
			if o.Name == d.Name && (d.Kind == "" || strings.EqualFold(o.Kind, d.Kind) || strings.HasPrefix(strings.ToLower(d.Kind), strings.ToLower(o.Kind))) {
				what = o.String()
			}
		}
		for _, c := range d.Causes {
			if field := c.Field; field != "" && vouched(field, known) && !slices.Contains(fields, field) {
				fields = append(fields, field)
			}
		}
	}
	for _, m := range undeclared.FindAllStringSubmatch(status.ErrStatus.Message, -1) {
		if vouched(m[1], known) && !slices.Contains(fields, m[1]) {
			fields = append(fields, m[1])
		}
	}
	if what == "an object" {
		if named := s.named(text); named != "" {
			what = strings.TrimPrefix(named, ": ")
		}
	}
	reason := string(status.ErrStatus.Reason)
	if reason == "" {
		reason = fmt.Sprintf("status %d", status.ErrStatus.Code)
	}
	out := what + ": the API server rejects it: " + reason
	if len(fields) > 0 {
		out += " at " + strings.Join(fields, ", ")
	}
	if managers := managers(status); len(managers) > 0 {
		out += ", which " + strings.Join(managers, ", ") + " has set"
	}
	return out
}

// undeclared is how the API server names a field that a kind does not have.
var undeclared = regexp.MustCompile(`((?:\.[A-Za-z0-9_-]+)+): field not declared in schema`)

// holder is how the API server names whoever has set a field that two want to.
var holder = regexp.MustCompile(`^conflict with "([A-Za-z0-9 ._/-]{1,128})"`)

// managers are those that a conflict is with. Their names are theirs: no chart
// makes them.
func managers(status *apierrors.StatusError) []string {
	var out []string
	if status.ErrStatus.Details == nil {
		return nil
	}
	for _, c := range status.ErrStatus.Details.Causes {
		if m := holder.FindStringSubmatch(c.Message); c.Type == metav1.CauseTypeFieldManagerConflict && m != nil && !slices.Contains(out, m[1]) {
			out = append(out, m[1])
		}
	}
	return out
}

var fieldPart = regexp.MustCompile(`[^.\[\]"\\]+`)

// vouched says that a release has every key of a field's path without its
// secrets too.
func vouched(field string, known map[string]bool) bool {
	for _, part := range fieldPart.FindAllString(field, -1) {
		if _, err := strconv.Atoi(part); err == nil && len(part) < 4 {
			continue
		}
		if !known[part] {
			return false
		}
	}
	return true
}

// keys gathers the keys of an object, and their parts between dots.
func keys(v any, into map[string]bool, depth int) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			for _, part := range fieldPart.FindAllString(k, -1) {
				into[part] = true
			}
			keys(e, into, depth+1)
		}
	case []any:
		for _, e := range v {
			keys(e, into, depth+1)
		}
	}
}

// statuses are all answers of the API server in an error, bounded.
func statuses(err error) []*apierrors.StatusError {
	const most = 10
	var out []*apierrors.StatusError
	var walk func(error)
	walk = func(err error) {
		if err == nil || len(out) == most {
			return
		}
		if s, ok := err.(*apierrors.StatusError); ok { //nolint:errorlint // each link of the tree is looked at
			out = append(out, s)
			return
		}
		switch e := err.(type) { //nolint:errorlint // each link of the tree is looked at
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		case interface{ Unwrap() []error }:
			for _, each := range e.Unwrap() {
				walk(each)
			}
		}
	}
	walk(err)
	return out
}
