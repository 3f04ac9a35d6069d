package helm

import (
	"fmt"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// MissingChartError says that a chart's dependency cannot be had.
type MissingChartError struct {
	Chart      string   // that depends on it
	Name       string   // of the dependency
	Version    string   // wanted: locked, or the range in Chart.yaml
	Repository string   // as declared; empty when it is declared without
	Tried      []string // where it was looked for, and why it was not had there
}

// Error says which chart is missing, and where it was looked for.
func (e *MissingChartError) Error() string {
	from := ""
	if e.Repository != "" {
		from = " from " + e.Repository
	}
	return fmt.Sprintf("dependency %s %s of chart %s%s is not available: %s", e.Name, e.Version, e.Chart, from, strings.Join(e.Tried, "; "))
}

// SchemaError says that values violate the schema of a chart.
type SchemaError struct {
	Violations []SchemaViolation
}

// SchemaViolation is one value that a schema does not allow. It names the
// value's place, and never quotes the value.
type SchemaViolation struct {
	Chart   string // the chart whose schema it is
	Path    string // dotted, from that chart's values; "" is all of them
	Message string
}

// Error lists the violations.
func (e *SchemaError) Error() string {
	parts := make([]string, len(e.Violations))
	for i, v := range e.Violations {
		at := v.Path
		if at == "" {
			at = "(values)"
		}
		parts[i] = fmt.Sprintf("%s: %s: %s", v.Chart, at, v.Message)
	}
	return "values do not meet the schema of the chart: " + strings.Join(parts, "; ")
}

// TemplateError says that a template cannot be parsed or fails.
type TemplateError struct {
	File    string // "hub/templates/x.yaml", as in "# Source:"; empty when it is not known
	Line    int    // from 1; 0 when it is not known
	Message string

	bound bool // a bound of the renderer was met, which the SDK does not have
}

// Error says where and why.
func (e *TemplateError) Error() string {
	switch {
	case e.File == "":
		return e.Message
	case e.Line == 0:
		return e.File + ": " + e.Message
	}
	return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message)
}

// missing makes the error of a dependency that cannot be had.
func missing(e *MissingChartError) error {
	return model.WithHint(e, "vendor it: run `helm dependency update` in the chart's folder and commit charts/; or give a folder that has it with --charts DIR; or check the repository's URL and that it is reachable from here")
}
