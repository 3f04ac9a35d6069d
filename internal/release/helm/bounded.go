package helm

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

// plain functions of sprig, of which bounded ones are made.
var sprigFuncs = sprig.TxtFuncMap()

// The sprig functions that bounded ones call, by their types.
var (
	sprigUntil     = sprigFuncs["until"].(func(int) []int)
	sprigUntilStep = sprigFuncs["untilStep"].(func(int, int, int) []int)
	sprigSeq       = sprigFuncs["seq"].(func(...int) string)
	sprigCat       = sprigFuncs["cat"].(func(...any) string)
	sprigQuote     = sprigFuncs["quote"].(func(...any) string)
	sprigSquote    = sprigFuncs["squote"].(func(...any) string)
	sprigToString  = sprigFuncs["toString"].(func(any) string)
	sprigJoin      = sprigFuncs["join"].(func(string, any) string)
	sprigIndent    = sprigFuncs["indent"].(func(int, string) string)
	sprigReplace   = sprigFuncs["replace"].(func(string, string, string) string)
	sprigWrapWith  = sprigFuncs["wrapWith"].(func(int, string, string) string)
	sprigRandBytes = sprigFuncs["randBytes"].(func(int) (string, error))
	sprigDict      = sprigFuncs["dict"].(func(...any) map[string]any)
	sprigSet       = sprigFuncs["set"].(func(map[string]any, string, any) map[string]any)
	sprigDeepCopy  = sprigFuncs["mustDeepCopy"].(func(any) (any, error))
	sprigSplitList = sprigFuncs["splitList"].(func(string, string) []string)
)

// funcs are the functions of one render for the templates of t.
func (r *run) funcs(t *template.Template) template.FuncMap {
	out := r.countedFuncs()
	maps.Copy(out, r.ownFuncs(t))
	return out
}

// ownFuncs are those of them that have bounds of their own.
func (r *run) ownFuncs(t *template.Template) template.FuncMap {
	out := template.FuncMap{"include": r.include(t), "tpl": r.tpl(t)}
	maps.Copy(out, r.guardFuncs())
	maps.Copy(out, r.textFuncs())
	maps.Copy(out, r.listFuncs())
	return out
}

// counted counts a text that a function has made.
func (r *run) counted(s string) (string, error) { return s, r.grown(len(s)) }

// textFuncs are functions that make larger texts of smaller ones.
func (r *run) textFuncs() template.FuncMap {
	return template.FuncMap{
		"print":    func(v ...any) (string, error) { return r.counted(fmt.Sprint(v...)) },
		"println":  func(v ...any) (string, error) { return r.counted(fmt.Sprintln(v...)) },
		"printf":   r.printf,
		"cat":      func(v ...any) (string, error) { return r.counted(sprigCat(v...)) },
		"quote":    func(v ...any) (string, error) { return r.counted(sprigQuote(v...)) },
		"squote":   func(v ...any) (string, error) { return r.counted(sprigSquote(v...)) },
		"toString": func(v any) (string, error) { return r.counted(sprigToString(v)) },
		"toYaml":   r.toYAML,
		"toJson":   func(v any) (string, error) { return r.counted(toJSON(v)) },
		"join": func(sep string, v any) (string, error) {
			if list := reflect.ValueOf(v); list.IsValid() && list.Kind() == reflect.Slice {
				if err := r.grown(len(sep) * list.Len()); err != nil {
					return "", err
				}
			}
			return r.counted(sprigJoin(sep, v))
		},
		"repeat": func(n int, s string) (string, error) {
			if n < 0 {
				return "", fmt.Errorf("repeat: %d times", n)
			}
			if len(s) > 0 && n > maxText/len(s) {
				return "", r.grown(maxText + 1)
			}
			if err := r.grown(n * len(s)); err != nil {
				return "", err
			}
			return strings.Repeat(s, n), nil
		},
		"indent": func(n int, s string) (string, error) {
			if err := r.grownBy(n, s); err != nil {
				return "", err
			}
			return sprigIndent(n, s), nil
		},
		"nindent": func(n int, s string) (string, error) {
			if err := r.grownBy(n, s); err != nil {
				return "", err
			}
			return "\n" + sprigIndent(n, s), nil
		},
		"replace": func(old, by, s string) (string, error) {
			n := len(s)
			if len(by) > len(old) {
				n += strings.Count(s, old) * (len(by) - len(old))
			}
			if err := r.grown(n); err != nil {
				return "", err
			}
			return sprigReplace(old, by, s), nil
		},
		"wrapWith": func(width int, sep, s string) (string, error) {
			if err := r.grown(len(s) + (len(s)/max(width, 1)+1)*len(sep)); err != nil {
				return "", err
			}
			return sprigWrapWith(width, sep, s), nil
		},
		"randAlphaNum": r.random("randAlphaNum"), "randAlpha": r.random("randAlpha"),
		"randAscii": r.random("randAscii"), "randNumeric": r.random("randNumeric"),
		"randBytes": func(n int) (string, error) {
			if err := r.grown(2 * max(n, 0)); err != nil {
				return "", err
			}
			return sprigRandBytes(n)
		},
		"regexReplaceAll":            r.replaceAll("regexReplaceAll"),
		"mustRegexReplaceAll":        r.replaceAll("mustRegexReplaceAll"),
		"regexReplaceAllLiteral":     r.replaceAll("regexReplaceAllLiteral"),
		"mustRegexReplaceAllLiteral": r.replaceAll("mustRegexReplaceAllLiteral"),
	}
}

// replaceAll is a function of sprig that replaces what a pattern matches.
func (r *run) replaceAll(name string) func(string, string, string) (string, error) {
	do := sprigFuncs[name]
	switch do := do.(type) {
	case func(string, string, string) string:
		return func(pattern, s, by string) (string, error) {
			if err := r.grown(len(s) + (len(s)+1)*len(by)); err != nil {
				return "", err
			}
			return do(pattern, s, by), nil
		}
	case func(string, string, string) (string, error):
		return func(pattern, s, by string) (string, error) {
			if err := r.grown(len(s) + (len(s)+1)*len(by)); err != nil {
				return "", err
			}
			return do(pattern, s, by)
		}
	}
	return nil
}

func (r *run) toYAML(v any) (string, error) {
	s, err := marshalYAML(v)
	if errors.Is(err, errTooLarge) {
		return "", r.grown(maxText + 1)
	}
	if err != nil {
		return "", nil //nolint:nilerr // as in Helm: a template has no way to handle it
	}
	return r.counted(s)
}

// random is a function that draws a text of a length.
func (r *run) random(name string) func(int) (string, error) {
	do := sprigFuncs[name].(func(int) string)
	return func(n int) (string, error) {
		if err := r.grown(max(n, 0)); err != nil {
			return "", err
		}
		return do(n), nil
	}
}

// grownBy counts a text whose lines are moved to the right.
func (r *run) grownBy(n int, s string) error {
	if n < 0 {
		return fmt.Errorf("indent: %d spaces", n)
	}
	if n > maxText {
		return r.grown(n)
	}
	return r.grown(len(s) + n*(strings.Count(s, "\n")+1))
}

// listed counts a list that a function is about to make.
func (r *run) listed(n int) error {
	if n > maxList {
		return r.fail("a template creates a list of more than %d items", maxList)
	}
	return r.grown(max(n, 0) * 16)
}

// listFuncs are functions that make lists of any length.
func (r *run) listFuncs() template.FuncMap {
	concat := sprigFuncs["concat"].(func(...any) any)
	out := template.FuncMap{
		"until":     func(n int) ([]int, error) { return r.stepped(0, n, sign(n)) },
		"untilStep": r.stepped,
		"seq":       r.seq,
		"concat": func(lists ...any) (any, error) {
			n := 0
			for _, l := range lists {
				n += listLength(l)
			}
			if err := r.listed(n); err != nil {
				return nil, err
			}
			return concat(lists...), nil
		},
		"splitList": func(sep, s string) ([]string, error) {
			n := strings.Count(s, sep) + 1
			if err := r.listed(n); err != nil {
				return nil, err
			}
			return sprigSplitList(sep, s), nil
		},
		"uniq": r.comparing("uniq"), "mustUniq": r.comparing("mustUniq"),
		"dict": func(v ...any) (map[string]any, error) { return sprigDict(v...), r.grown(mapWeight + itemWeight*len(v)) },
		"list": func(v ...any) ([]any, error) { return v, r.grown(itemWeight * (len(v) + 2)) },
		"set": func(d map[string]any, key string, v any) (map[string]any, error) {
			return sprigSet(d, key, v), r.grown(len(key) + 4*itemWeight)
		},
	}
	out["tuple"] = out["list"]
	for _, name := range []string{"deepCopy", "mustDeepCopy"} {
		out[name] = func(v any) (any, error) {
			n, err := r.weigh(v)
			if err != nil {
				return nil, err
			}
			if err := r.grown(n); err != nil {
				return nil, err
			}
			return sprigDeepCopy(v)
		}
	}
	for _, name := range []string{"append", "push", "mustAppend", "mustPush", "prepend", "mustPrepend"} {
		out[name] = r.extending(name)
	}
	return out
}

// extending is a list function of sprig that makes one list of another and a
// value, counted.
func (r *run) extending(name string) any {
	switch do := sprigFuncs[name].(type) {
	case func(any, any) []any:
		return func(list, v any) ([]any, error) {
			if err := r.listed(listLength(list) + 1); err != nil {
				return nil, err
			}
			return do(list, v), nil
		}
	case func(any, any) ([]any, error):
		return func(list, v any) ([]any, error) {
			if err := r.listed(listLength(list) + 1); err != nil {
				return nil, err
			}
			return do(list, v)
		}
	}
	return sprigFuncs[name]
}

// comparing is one that compares all items with each other, counted.
func (r *run) comparing(name string) any {
	switch do := sprigFuncs[name].(type) {
	case func(any) []any:
		return func(list any) ([]any, error) {
			if err := r.compared(listLength(list)); err != nil {
				return nil, err
			}
			return do(list), nil
		}
	case func(any) ([]any, error):
		return func(list any) ([]any, error) {
			if err := r.compared(listLength(list)); err != nil {
				return nil, err
			}
			return do(list)
		}
	}
	return sprigFuncs[name]
}

func listLength(v any) int {
	if list := reflect.ValueOf(v); list.IsValid() && (list.Kind() == reflect.Slice || list.Kind() == reflect.Array) {
		return list.Len()
	}
	return 0
}

func (r *run) compared(n int) error {
	if n > 20_000 {
		return r.fail("a template compares %d items with each other", n)
	}
	return r.check()
}

func sign(n int) int {
	if n < 0 {
		return -1
	}
	return 1
}

func (r *run) stepped(from, to, step int) ([]int, error) {
	if step != 0 {
		if n := (float64(to) - float64(from)) / float64(step); n > maxList {
			return nil, r.listed(maxList + 1)
		} else if err := r.listed(int(n)); err != nil {
			return nil, err
		}
	}
	if step == sign(to) && from == 0 {
		return sprigUntil(to), nil
	}
	return sprigUntilStep(from, to, step), nil
}

func (r *run) seq(params ...int) (string, error) {
	from, to := 1, 0
	step := 1.0
	switch len(params) {
	case 1:
		to = params[0]
	case 2:
		from, to = params[0], params[1]
	case 3:
		from, step, to = params[0], float64(params[1]), params[2]
	}
	if step == 0 {
		step = 1
	}
	if n := (float64(to) - float64(from)) / step; n > maxList || -n > maxList {
		return "", r.listed(maxList + 1)
	}
	return r.counted(sprigSeq(params...))
}
