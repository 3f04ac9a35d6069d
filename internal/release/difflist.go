package release

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	udiff "github.com/aymanbagabas/go-udiff"
	"github.com/aymanbagabas/go-udiff/lcs"

	"github.com/hubship/hubship/internal/plan"
)

// identities are the keys by which the items of a list are told apart, the
// first that every item of both sides has, each time with another value.
var identities = []string{"name", "mountPath", "containerPort", "port", "host", "key", "topologyKey", "path", "id", "slug", "display_name"}

// unordered are lists whose order means nothing to Kubernetes.
var unordered = []string{"accessModes", "apiGroups", "finalizers", "imagePullSecrets", "loadBalancerSourceRanges", "policyTypes", "resourceNames", "resources", "verbs"}

func (c *comparison) lists(p place, a, b []any) {
	if key := identity(a, b); key != "" {
		c.named(p, key, a, b)
		return
	}
	x, y := texts(a), texts(b)
	if slices.Contains(unordered, p.key) {
		xs, ys := slices.Sorted(slices.Values(x)), slices.Sorted(slices.Values(y))
		if slices.Equal(xs, ys) {
			return
		}
	}
	had := len(c.fields)
	for _, d := range lcs.DiffLines(x, y) {
		gone, come := d.End-d.Start, d.ReplEnd-d.ReplStart
		for i := range max(gone, come) {
			switch {
			case i < gone && i < come:
				c.values(p.item(strconv.Itoa(d.ReplStart+i)), a[d.Start+i], b[d.ReplStart+i])
			case i < gone:
				c.leaf(p.item(strconv.Itoa(d.Start+i)), a[d.Start+i], nil)
			default:
				c.leaf(p.item(strconv.Itoa(d.ReplStart+i)), nil, b[d.ReplStart+i])
			}
		}
	}
	if len(c.fields) == had && len(x) != len(y) {
		// Only items that are null came or went.
		c.add(plan.Field{Path: p.path, Lines: []string{fmt.Sprintf(" … %d items before, %d after", len(x), len(y))}})
	}
}

// identity is the key that tells the items of both lists apart, or empty.
func identity(a, b []any) string {
	if len(a)+len(b) == 0 {
		return ""
	}
	for _, key := range identities {
		if unique(a, key) && unique(b, key) {
			return key
		}
	}
	return ""
}

func unique(items []any, key string) bool {
	seen := make(map[string]bool, len(items))
	for _, item := range items {
		m, _ := item.(map[string]any)
		id := name(m[key])
		if id == "" || seen[id] {
			return false
		}
		seen[id] = true
	}
	return true
}

// name is a text or number that names something.
func name(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case nil, bool, []any, map[string]any:
		return ""
	}
	text, _ := number(v)
	return string(text)
}

// named compares lists whose items have names.
func (c *comparison) named(p place, key string, a, b []any) {
	old := make(map[string]any, len(a))
	var was, is []string
	for _, item := range a {
		id := name(item.(map[string]any)[key])
		old[id] = item
		was = append(was, id)
	}
	for _, item := range b {
		id := name(item.(map[string]any)[key])
		is = append(is, id)
		in := p.member(key, id)
		if before, ok := old[id]; !ok {
			c.leaf(in, nil, item)
		} else if !same(before, item) {
			c.values(in, before, item)
		}
	}
	now := make(map[string]bool, len(is))
	for _, id := range is {
		now[id] = true
	}
	for _, id := range was {
		if !now[id] {
			c.leaf(p.member(key, id), old[id], nil)
		}
	}
	x := slices.DeleteFunc(was, func(id string) bool { return !now[id] })
	y := slices.DeleteFunc(is, func(id string) bool { return old[id] == nil })
	if !slices.Equal(x, y) && !slices.Contains(unordered, p.key) {
		c.order(p, x, y)
	}
}

// order notes that a list has its items in another order.
func (c *comparison) order(p place, before, after []string) {
	f := plan.Field{Path: p.path, Before: strings.Join(before, ", "), After: strings.Join(after, ", ")}
	if p.secret {
		f = plan.Field{Path: p.path, Masked: true}
	}
	c.add(f)
}

// member is the place of a list's item that has a name.
func (p place) member(key, id string) place {
	text := id
	if len(text) > maxKey || strings.ContainsAny(text, "[]\"'` \t\r\n") {
		text = strconv.Quote(text[:min(len(text), maxKey)])
	}
	in := p.item(text)
	in.env = key == "name" && secretName(id)
	return in
}

// texts are the items in a form in which equal ones have equal text.
func texts(items []any) []string {
	out := make([]string, len(items))
	for i, item := range items {
		raw, err := json.Marshal(item)
		if err != nil {
			raw = fmt.Appendf(nil, "%v", item)
		}
		out[i] = string(raw)
	}
	return out
}

// number is a number in a form in which equal ones have equal text.
func number(v any) ([]byte, bool) {
	switch v := v.(type) {
	case float64:
		return strconv.AppendFloat(nil, v, 'f', -1, 64), true
	case int64:
		return strconv.AppendInt(nil, v, 10), true
	case int:
		return strconv.AppendInt(nil, int64(v), 10), true
	case uint64:
		return strconv.AppendUint(nil, v, 10), true
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return strconv.AppendInt(nil, n, 10), true
		}
		if f, err := v.Float64(); err == nil {
			return strconv.AppendFloat(nil, f, 'f', -1, 64), true
		}
		return []byte(v), true
	}
	return nil, false
}

// Bounds of a text's differing lines.
const (
	maxLines   = 200     // lines that are told
	maxLine    = 400     // bytes of one of them
	maxCompare = 1 << 20 // bytes of both texts that are compared by line
)

// lines are the differing lines of two texts with two lines around them, and
// empty when what differs may not be told.
func lines(a, b string) []string {
	x, hiddenX := scrub(a)
	y, hiddenY := scrub(b)
	if x == y {
		return nil
	}
	if len(x)+len(y) > maxCompare {
		return []string{fmt.Sprintf(" … too long to compare: %d lines before, %d after", strings.Count(x, "\n"), strings.Count(y, "\n"))}
	}
	var out []string
	d, err := udiff.ToUnifiedDiff("", "", terminated(x), udiff.Lines(terminated(x), terminated(y)), 2)
	if err != nil {
		return []string{" … cannot be compared by line"}
	}
	left := 0
	for i, h := range d.Hunks {
		if i > 0 {
			out = append(out, " …")
		}
		for _, l := range h.Lines {
			sign := " "
			switch l.Kind {
			case udiff.Delete:
				sign = "-"
			case udiff.Insert:
				sign = "+"
			}
			if len(out) >= maxLines {
				left++
				continue
			}
			out = append(out, sign+cut(strings.TrimRight(l.Content, "\r\n"), maxLine))
		}
	}
	if len(out) == 0 {
		out = []string{" … only the end of the text or of its lines differs"}
	}
	if left > 0 {
		out = append(out, fmt.Sprintf(" … and %d more lines", left))
	}
	if !slices.Equal(hiddenX, hiddenY) {
		out = append(out, " … a secret in this text changes, too")
	}
	return out
}

func terminated(s string) string {
	if s == "" || strings.HasSuffix(s, "\n") {
		return s
	}
	return s + "\n"
}

// cut shortens a text to some bytes, at a character's end.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
