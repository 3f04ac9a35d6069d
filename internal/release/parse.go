package release

import (
	"math"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
	goyaml "sigs.k8s.io/yaml/goyaml.v2"
)

// parseMap reads a YAML map as yaml.Unmarshal does, in half of its time: the
// way by JSON is taken only where it may make a difference.
func parseMap(text []byte) (map[string]any, error) {
	var raw any
	if err := goyaml.Unmarshal(text, &raw); err == nil {
		if out, ok := asJSON(raw); ok {
			if m, ok := out.(map[string]any); ok {
				return m, nil
			}
		}
	}
	var out map[string]any
	if err := yaml.Unmarshal(text, &out); err != nil {
		return nil, err
	}
	return out, nil
}

// asJSON turns what the YAML parser made into what a JSON parser makes. It is
// not ok where that needs more than another type.
func asJSON(v any) (any, bool) {
	switch v := v.(type) {
	case nil, bool, string:
		return v, true
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case float64:
		return v, !math.IsNaN(v) && !math.IsInf(v, 0)
	case []any:
		for i, e := range v {
			item, ok := asJSON(e)
			if !ok {
				return nil, false
			}
			v[i] = item
		}
		return v, true
	case map[any]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			key, ok := k.(string)
			value, also := asJSON(e)
			if !ok || !also {
				return nil, false
			}
			out[key] = value
		}
		return out, true
	}
	return nil, false
}

// Lines that begin a section of a document, and marks by which one may reach
// into another.
var (
	sectionHead = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./-]*:( |$)`)
	anchor      = regexp.MustCompile(`[\s\[{,]&[^\s&]`)
)

// unequal returns two documents without the top-level sections that both have
// word for word, so that only the others need to be parsed. It returns them as
// they are where it is not plain what is a section.
func unequal(a, b string) (string, string) {
	x, ok := sections(a)
	if !ok {
		return a, b
	}
	y, ok := sections(b)
	if !ok {
		return a, b
	}
	var ra, rb strings.Builder
	for _, key := range x.order {
		if x.text[key] != y.text[key] {
			ra.WriteString(x.text[key])
		}
	}
	for _, key := range y.order {
		if x.text[key] != y.text[key] {
			rb.WriteString(y.text[key])
		}
	}
	return ra.String(), rb.String()
}

type sectioned struct {
	order []string
	text  map[string]string
}

func sections(doc string) (sectioned, bool) {
	s := sectioned{text: map[string]string{}}
	if anchor.MatchString(doc) {
		return s, false
	}
	start, key := 0, ""
	end := func(at int) {
		if key != "" {
			s.text[key] = doc[start:at]
			if !strings.HasSuffix(s.text[key], "\n") {
				s.text[key] += "\n"
			}
		}
	}
	at := 0
	for line := range strings.Lines(doc) {
		if c := line[0]; c != ' ' && c != '\n' && c != '#' {
			bare := strings.TrimRight(line, "\n")
			head, _, _ := strings.Cut(bare, ":")
			_, twice := s.text[head]
			if !sectionHead.MatchString(bare) || twice || head == key {
				return s, false
			}
			end(at)
			start, key = at, head
			s.order = append(s.order, key)
		} else if key == "" && c == ' ' {
			return s, false
		}
		at += len(line)
	}
	end(at)
	return s, len(s.order) > 0
}
