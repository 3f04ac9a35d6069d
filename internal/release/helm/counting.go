package helm

import (
	"fmt"
	"reflect"
	"sync"
	"text/template"
)

// A template can make a text a little longer a thousand times, or keep a
// thousand lists of what a text has. So what functions make counts, whichever
// they are: those that have bounds of their own count by themselves (see
// textFuncs and listFuncs), and all others here.
const (
	maxParsed   = 4 << 20 // bytes of a text that is taken apart: the parts take many times as much
	entryWeight = 64      // bytes of an entry of a map
	countedFunc = "hubshipCounted"
)

// countable is a function that makes texts, lists or maps.
type countable struct {
	name  string
	do    reflect.Value
	as    reflect.Type // the same, and it may fail
	parts bool         // it makes a list or a map
}

var countables = sync.OnceValue(func() []countable {
	own := (&run{}).ownFuncs(nil)
	var out []countable
	for name, f := range shared() {
		do := reflect.ValueOf(f)
		if own[name] != nil || do.Kind() != reflect.Func || do.Type().NumOut() == 0 {
			continue
		}
		t := do.Type()
		c := countable{name: name, do: do}
		switch t.Out(0).Kind() {
		case reflect.String:
		case reflect.Slice, reflect.Map, reflect.Interface:
			c.parts = true
		default:
			continue
		}
		in := make([]reflect.Type, t.NumIn())
		for i := range in {
			in[i] = t.In(i)
		}
		c.as = reflect.FuncOf(in, []reflect.Type{t.Out(0), reflect.TypeFor[error]()}, t.IsVariadic())
		out = append(out, c)
	}
	return out
})

// countedFuncs are the functions that have no bounds of their own.
func (r *run) countedFuncs() template.FuncMap {
	out := template.FuncMap{
		"html":     func(v ...any) (string, error) { return r.counted(template.HTMLEscaper(v...)) },
		"js":       func(v ...any) (string, error) { return r.counted(template.JSEscaper(v...)) },
		"urlquery": func(v ...any) (string, error) { return r.counted(template.URLQueryEscaper(v...)) },
	}
	for _, c := range countables() {
		out[c.name] = reflect.MakeFunc(c.as, func(args []reflect.Value) []reflect.Value {
			value, err := r.call(c, args)
			return []reflect.Value{value, reflect.ValueOf(&err).Elem()}
		}).Interface()
	}
	return out
}

func (r *run) call(c countable, args []reflect.Value) (reflect.Value, error) {
	none := reflect.Zero(c.as.Out(0))
	if c.parts {
		n := 0
		for _, a := range args {
			if a.Kind() == reflect.String {
				n += a.Len()
			}
		}
		if n > maxParsed {
			return none, r.fail("a template splits a text of more than %d MiB (%s)", maxParsed>>20, c.name)
		}
		if err := r.spent(itemWeight * n); err != nil {
			return none, err
		}
	}
	var out []reflect.Value
	if c.as.IsVariadic() {
		out = c.do.CallSlice(args)
	} else {
		out = c.do.Call(args)
	}
	if len(out) > 1 {
		if err, _ := out[1].Interface().(error); err != nil {
			return out[0], err
		}
	}
	return out[0], r.size(out[0])
}

// size counts what a function has made, a list or a map without what is in it.
func (r *run) size(v reflect.Value) error {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.String:
		return r.grown(v.Len())
	case reflect.Slice:
		return r.spent(itemWeight * v.Len())
	case reflect.Map:
		return r.spent(entryWeight * v.Len())
	}
	return nil
}

// made counts what a method of a chart's files has made.
func (r *run) made(v any) (any, error) {
	if files, ok := v.(chartFiles); ok {
		return v, r.spent(entryWeight * len(files))
	}
	n, err := r.weigh(v)
	if err != nil {
		return nil, err
	}
	return v, r.grown(n)
}

// makes names the methods of a chart's files that make something.
func makes(field string) bool {
	switch field {
	case "Get", "Glob", "Lines", "AsConfig", "AsSecrets":
		return true
	}
	return false
}

// printf is fmt's, if what it makes can be told to be no longer than a text may
// be: a width, or an argument that is named again and again, makes much of
// little.
func (r *run) printf(format string, args ...any) (string, error) {
	largest := 0
	for _, a := range args {
		n, err := r.weigh(a)
		if err != nil {
			return "", err
		}
		largest = max(largest, n)
	}
	if printedLength(format, largest) > maxText {
		return "", r.fail("a template builds a text of more than %d MiB (printf)", maxText>>20)
	}
	return r.counted(fmt.Sprintf(format, args...))
}

// printedLength is about how long a text becomes at most, with arguments of at
// most that length.
func printedLength(format string, largest int) int {
	const widest = 1e6 // fmt knows no wider
	n := len(format)
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			continue
		}
		number := 0
	verb:
		for i++; i < len(format); i++ {
			switch c := format[i]; {
			case c >= '0' && c <= '9':
				number = min(10*number+int(c-'0'), widest)
				continue
			case c == '*':
				n += widest
			case c == '+' || c == '-' || c == '#' || c == ' ' || c == '.' || c == '[' || c == ']':
			default:
				break verb
			}
			n, number = n+number, 0
		}
		n += number + largest
	}
	return n
}
