package report

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/hubship/hubship/internal/plan"
)

// fieldText is what differs in a field, without its path: old → new. It is
// empty where the lines say it.
func fieldText(f plan.Field, n int) string {
	switch {
	case f.Sealed:
		return "encrypted value changes"
	case f.Masked:
		return "changes (secret)"
	case f.Digest:
		return "changes (a checksum)"
	case f.Lines != nil:
		return ""
	case f.Before == nil && f.After == nil:
		return "changes"
	case f.Before == nil:
		return "added: " + value(f.After, n)
	case f.After == nil:
		return "removed: " + value(f.Before, n)
	}
	before, after := pair(f.Before, f.After, n)
	return before + " → " + after
}

// pair writes two values, each in at most n characters, so that what differs
// between them is seen.
func pair(a, b any, n int) (string, string) {
	const around = 12
	x, y := []rune(oneLine(a)), []rune(oneLine(b))
	same := 0
	for same < len(x) && same < len(y) && x[same] == y[same] {
		same++
	}
	if max(len(x), len(y)) > n && same > n-around {
		lead := []rune("…")
		x, y = append(lead[:1:1], x[same-around:]...), append(lead[:1:1], y[same-around:]...)
	}
	return cut(x, n), cut(y, n)
}

// value writes a value in one line of at most n characters.
func value(v any, n int) string { return cut([]rune(oneLine(v)), n) }

func cut(r []rune, n int) string {
	if len(r) > n {
		return string(r[:n]) + "…"
	}
	return string(r)
}

// oneLine writes a value in one line.
func oneLine(v any) string {
	var text string
	switch v := v.(type) {
	case string:
		text = v
		if v == "" || strings.TrimSpace(v) != v || looksOther(v) {
			text = strconv.Quote(v)
		}
	case float64:
		text = strconv.FormatFloat(v, 'f', -1, 64)
	case map[string]any, []any:
		raw, err := json.Marshal(v)
		if err != nil {
			raw = fmt.Append(nil, v)
		}
		text = string(raw)
	default:
		text = fmt.Sprint(v)
	}
	return strings.ReplaceAll(text, "\n", "⏎")
}

// looksOther says that a text would be taken for a number or a switch.
func looksOther(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil || s == "true" || s == "false" // "null" is how a plan tells a null
}
