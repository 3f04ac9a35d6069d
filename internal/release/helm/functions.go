package helm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"text/template"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/Masterminds/sprig/v3"
	"sigs.k8s.io/yaml"
	yamlv3 "sigs.k8s.io/yaml/goyaml.v3"
)

// shared are the template functions that every render has, by Helm's names.
// Those that work within one render, or that have bounds there, are replaced
// for each (see run.funcs); they are here that parsing knows them. There are
// none that read the environment or ask the network.
var shared = sync.OnceValue(func() template.FuncMap {
	out := sprig.TxtFuncMap()
	delete(out, "env")
	delete(out, "expandenv")
	maps.Copy(out, template.FuncMap{
		"toYaml": toYAML, "mustToYaml": mustToYAML, "toYamlPretty": toPrettyYAML,
		"fromYaml": fromYAML, "fromYamlArray": fromYAMLList,
		"toJson": toJSON, "mustToJson": mustToJSON, "fromJson": fromJSON, "fromJsonArray": fromJSONList,
		"toToml": toTOML, "mustToToml": mustToTOML, "fromToml": fromTOML,
		"required":      required,
		"fail":          func(message string) (string, error) { return "", &spokenError{message} },
		"lookup":        func(_, _, _, _ string) (map[string]any, error) { return map[string]any{}, nil },
		"getHostByName": func(string) string { return "" },
	})
	maps.Copy(out, durations())
	r := &run{}
	maps.Copy(out, r.ownFuncs(nil))
	return out
})

func mustToYAML(v any) (string, error) { return marshalYAML(v) }

// toYAML returns "" for what cannot be written: a template has no way to
// handle an error.
func toYAML(v any) string {
	s, err := marshalYAML(v)
	if err != nil {
		return ""
	}
	return s
}

func toPrettyYAML(v any) string {
	var out bytes.Buffer
	enc := yamlv3.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(v); err != nil {
		return ""
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// fromYAML returns an error under the key "Error".
func fromYAML(s string) map[string]any {
	out := map[string]any{}
	if err := yaml.Unmarshal([]byte(s), &out); err != nil {
		out["Error"] = err.Error()
	}
	return out
}

// fromYAMLList returns an error as the only item.
func fromYAMLList(s string) []any {
	out := []any{}
	if err := yaml.Unmarshal([]byte(s), &out); err != nil {
		out = []any{err.Error()}
	}
	return out
}

func toJSON(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(out)
}

func mustToJSON(v any) (string, error) {
	out, err := json.Marshal(v)
	return string(out), err
}

func fromJSON(s string) map[string]any {
	out := make(map[string]any)
	if err := json.Unmarshal([]byte(s), &out); err != nil {
		out["Error"] = err.Error()
	}
	return out
}

func fromJSONList(s string) []any {
	out := []any{}
	if err := json.Unmarshal([]byte(s), &out); err != nil {
		out = []any{err.Error()}
	}
	return out
}

func toTOML(v any) string {
	s, err := mustToTOML(v)
	if err != nil {
		return err.Error()
	}
	return s
}

func mustToTOML(v any) (string, error) {
	var out bytes.Buffer
	err := toml.NewEncoder(&out).Encode(v)
	return out.String(), err
}

func fromTOML(s string) map[string]any {
	out := make(map[string]any)
	if err := toml.Unmarshal([]byte(s), &out); err != nil {
		out["Error"] = err.Error()
	}
	return out
}

// durations are the functions that reckon with lengths of time. Those without
// "must" take what is no duration for none.
func durations() template.FuncMap {
	in := func(unit time.Duration) func(any) float64 {
		return func(v any) float64 {
			d, err := asDuration(v)
			if err != nil {
				return 0
			}
			return float64(d/unit) + float64(d%unit)/float64(unit)
		}
	}
	whole := func(of func(time.Duration) int64) func(any) int64 {
		return func(v any) int64 {
			d, err := asDuration(v)
			if err != nil {
				return 0
			}
			return of(d)
		}
	}
	to := func(round func(d, to time.Duration) time.Duration) func(v, to any) time.Duration {
		return func(v, to any) time.Duration {
			d, err := asDuration(v)
			if err != nil {
				return 0
			}
			unit, err := asDuration(to)
			if err != nil {
				return d
			}
			return round(d, unit)
		}
	}
	hours := func(per float64) func(any) float64 {
		return func(v any) float64 { return in(time.Hour)(v) / per }
	}
	return template.FuncMap{
		"mustToDuration":  asDuration,
		"durationSeconds": in(time.Second), "durationMinutes": in(time.Minute), "durationHours": in(time.Hour),
		"durationDays":         hours(24),
		"durationWeeks":        func(v any) float64 { return hours(24)(v) / 7 },
		"durationMilliseconds": whole(time.Duration.Milliseconds),
		"durationMicroseconds": whole(time.Duration.Microseconds),
		"durationNanoseconds":  whole(time.Duration.Nanoseconds),
		"durationRoundTo":      to(time.Duration.Round),
		"durationTruncateTo":   to(time.Duration.Truncate),
	}
}

// asDuration reads a duration: one of Go's, its text, or a number of seconds.
func asDuration(v any) (time.Duration, error) {
	switch v := v.(type) {
	case nil:
		return 0, errors.New("invalid duration")
	case time.Duration:
		return v, nil
	case string:
		s := strings.TrimSpace(v)
		if s == "" {
			return 0, errors.New("empty duration")
		}
		if d, err := time.ParseDuration(s); err == nil {
			return d, nil
		}
		seconds, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return 0, fmt.Errorf("could not parse duration %q", v)
		}
		return ofSeconds(seconds)
	}
	const most = int64(math.MaxInt64) / int64(time.Second)
	n := reflect.ValueOf(v)
	switch {
	case n.CanInt():
		if i := n.Int(); i > most || i < -most {
			return 0, fmt.Errorf("duration seconds overflow: %d", i)
		}
		return time.Duration(n.Int()) * time.Second, nil
	case n.CanUint():
		if u := n.Uint(); u > uint64(most) {
			return 0, fmt.Errorf("duration seconds overflow: %d", u)
		}
		return time.Duration(int64(n.Uint())) * time.Second, nil //nolint:gosec // bounded above
	case n.CanFloat():
		return ofSeconds(n.Float())
	}
	return 0, fmt.Errorf("unsupported duration type %T", v)
}

func ofSeconds(s float64) (time.Duration, error) {
	switch n := s * float64(time.Second); {
	case math.IsNaN(s) || math.IsInf(s, 0):
		return 0, fmt.Errorf("invalid duration seconds: %v", s)
	case n >= math.MaxInt64 || n <= math.MinInt64:
		return 0, fmt.Errorf("duration seconds overflow: %v", s)
	default:
		return time.Duration(n), nil
	}
}
