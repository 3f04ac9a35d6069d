package helm

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"

	helmchart "helm.sh/helm/v4/pkg/chart"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"

	"github.com/hubship/hubship/internal/release"
)

// keptSets is how many sets of templates of one chart are kept: one for each
// combination of subcharts that releases switch on.
const keptSets = 16

// compiled is what all releases of a chart share. Nothing in it changes while
// releases are rendered, but for what is guarded by mu.
type compiled struct {
	chart *chart.Chart   // with all dependencies
	own   map[string]any // the top chart's own values.yaml
	// plain says that no value can change which subcharts there are, nor what
	// they import. The chart's dependencies are then processed already.
	plain   bool
	schemas map[*byte]*valuesSchema // by the text's place: copies of a chart share it
	parsed  *parsedTexts

	mu   sync.Mutex
	sets map[string]*templateSet
}

// load reads the chart and compiles what does not depend on values.
func (c *compiled) load(ctx context.Context, src *sources, tree fs.FS, dir string) error {
	l := newChartLoader(tree, src.fetcher(ctx, nil))
	ch, err := l.load(dir, 0)
	if err != nil {
		return err
	}
	return c.adopt(ch, dir)
}

// adopt compiles a chart that is complete.
func (c *compiled) adopt(ch *chart.Chart, dir string) error {
	if t := ch.Metadata.Type; t != "" && t != "application" {
		return fmt.Errorf("chart %s: %s charts are not installable", dir, t)
	}
	c.chart, c.own = ch, ch.Values
	c.schemas = map[*byte]*valuesSchema{}
	collectSchemas(ch, c.schemas)
	c.parsed = newParsedTexts()
	c.sets = map[string]*templateSet{}
	if isPlain(ch) {
		done := copyChart(ch)
		if err := chartutil.ProcessDependencies(done, map[string]any{}); err == nil {
			c.plain, c.chart = true, done
		}
	}
	return nil
}

// isPlain says that values have no say in a chart's dependencies.
func isPlain(c *chart.Chart) bool {
	for _, d := range c.Metadata.Dependencies {
		if d == nil || d.Condition != "" || len(d.Tags) > 0 || len(d.ImportValues) > 0 {
			return false
		}
	}
	for _, sub := range c.Dependencies() {
		if !isPlain(sub) {
			return false
		}
	}
	return true
}

// prepare returns what one render works with: the chart with the subcharts
// that its values switch on, the templates of that chart, and the data at the
// top.
func (c *compiled) prepare(q RenderRequest, caps *common.Capabilities) (*chart.Chart, *templateSet, map[string]any, error) {
	ch := c.chart
	if !c.plain {
		ch = copyChart(ch)
		if err := chartutil.ProcessDependencies(ch, copyMap(q.Values)); err != nil {
			return nil, nil, nil, fmt.Errorf("process the chart's dependencies: %w", withoutValue(err))
		}
	}
	values, err := util.CoalesceValues(ch, q.Values)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("merge values with the chart's: %w", withoutValue(err))
	}
	if err := c.validate(ch, values); err != nil {
		return nil, nil, nil, err
	}
	if err := checkKubeVersion(ch, caps); err != nil {
		return nil, nil, nil, err
	}
	set, err := c.set(ch)
	if err != nil {
		return nil, nil, nil, err
	}
	return ch, set, map[string]any{"Release": releaseValues(q), "Capabilities": caps, "Values": values}, nil
}

// set returns the parsed templates of a chart with the subcharts that it has
// now. A template in a subchart that is switched off must not be known to the
// others, so each combination has a set of its own.
func (c *compiled) set(ch *chart.Chart) (*templateSet, error) {
	files := templatesOf(ch)
	var id strings.Builder
	for _, f := range files {
		fmt.Fprintf(&id, "%s\x00%p\x00", f.name, f.file)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sets[id.String()]; s != nil {
		return s, nil
	}
	s, err := newTemplateSet(files, c.parsed)
	if err != nil {
		return nil, err
	}
	s.files = map[string]chartFiles{}
	collectFiles(ch, s.files)
	if len(c.sets) < keptSets {
		c.sets[id.String()] = s
	}
	return s, nil
}

// templateFile is a template as the engine knows it.
type templateFile struct {
	name string // "hub/charts/sub/templates/x.yaml"
	file *common.File
}

// templatesOf lists the templates of a chart and its subcharts. Of a library
// chart only partials count.
func templatesOf(c *chart.Chart) []templateFile {
	var out []templateFile
	for _, sub := range c.Dependencies() {
		out = append(out, templatesOf(sub)...)
	}
	at := c.ChartFullPath()
	for _, f := range c.Templates {
		if f == nil || isLibrary(c) && !isPartial(f.Name) {
			continue
		}
		out = append(out, templateFile{name: path.Join(at, f.Name), file: f})
	}
	return out
}

func isLibrary(c *chart.Chart) bool { return strings.EqualFold(c.Metadata.Type, "library") }

// isPartial says that a template is there for others to include.
func isPartial(name string) bool { return strings.HasPrefix(path.Base(name), "_") }

func collectFiles(c *chart.Chart, into map[string]chartFiles) {
	files := chartFiles{}
	for _, f := range c.Files {
		files[f.Name] = f.Data
	}
	into[c.ChartFullPath()] = files
	for _, sub := range c.Dependencies() {
		collectFiles(sub, into)
	}
}

// scope is the data of one chart's templates.
type scope struct {
	data     map[string]any
	basePath string
}

// scopes prepares the data of a chart's templates and those of its subcharts,
// each seeing its own values only.
func scopes(c *chart.Chart, files map[string]chartFiles, parent map[string]any, into map[string]scope) (map[string]any, error) {
	access, err := helmchart.NewAccessor(c)
	if err != nil {
		return nil, err
	}
	meta := access.MetadataAsMap()
	meta["IsRoot"] = c.IsRoot()
	subs := map[string]any{}
	data := map[string]any{
		"Chart": meta, "Files": files[c.ChartFullPath()], "Subcharts": subs,
		"Release": parent["Release"], "Capabilities": parent["Capabilities"], "Values": common.Values{},
	}
	if c.IsRoot() {
		data["Values"] = parent["Values"]
	} else if own, err := common.Values(parent).Table("Values." + c.Name()); err == nil {
		data["Values"] = own
	}
	for _, sub := range c.Dependencies() {
		if subs[sub.Name()], err = scopes(sub, files, data, into); err != nil {
			return nil, err
		}
	}
	at := c.ChartFullPath()
	s := scope{data: data, basePath: path.Join(at, "templates")}
	for _, f := range c.Templates {
		if f != nil {
			into[path.Join(at, f.Name)] = s
		}
	}
	return data, nil
}

// Fetched charts and those of the tree are one to the renderer, so the
// violations of all schemas are reported together.
func (c *compiled) validate(ch *chart.Chart, values map[string]any) error {
	var found []SchemaViolation
	if err := c.violations(ch, values, &found); err != nil {
		return err
	}
	if len(found) > 0 {
		return &SchemaError{Violations: found}
	}
	return nil
}

func (c *compiled) violations(ch *chart.Chart, values map[string]any, into *[]SchemaViolation) error {
	if len(ch.Schema) > 0 {
		if s := c.schemas[&ch.Schema[0]]; s != nil {
			if err := s.validate(ch.Name(), values, into); err != nil {
				return err
			}
		}
	}
	for _, sub := range ch.Dependencies() {
		raw, ok := values[sub.Name()]
		if !ok || raw == nil {
			continue
		}
		own, ok := raw.(map[string]any)
		if !ok {
			*into = append(*into, SchemaViolation{Chart: sub.Name(), Message: fmt.Sprintf("expected object (map), got %T", raw)})
			continue
		}
		if err := c.violations(sub, own, into); err != nil {
			return err
		}
	}
	return nil
}

// defaults are the values in the top chart's own file.
func (c *compiled) defaults() map[string]any {
	if out, ok := release.Copy(c.own).(map[string]any); ok && out != nil {
		return out
	}
	return map[string]any{}
}

// withoutValue takes out of an error the value that the SDK quotes when what is
// meant for a subchart is not a map.
func withoutValue(err error) error {
	at, _, quotes := strings.Cut(err.Error(), ": %!t(")
	if !quotes {
		return err
	}
	return fmt.Errorf("%s: the values of a subchart are not a map", at)
}
