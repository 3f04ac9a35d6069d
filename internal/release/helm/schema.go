package helm

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	chart "helm.sh/helm/v4/pkg/chart/v2"
)

// schemaAddress names a chart's schema within the compiler.
const schemaAddress = "file:///values.schema.json"

// maxViolations is how many violations of one schema are told.
const maxViolations = 50

// valuesSchema is a chart's values.schema.json, compiled when it is first used: a
// subchart that is switched off may have one that cannot be.
type valuesSchema struct {
	text []byte
	once sync.Once
	is   *jsonschema.Schema
	// until is when who began last to apply it has to be done, in ns.
	until atomic.Int64
	err   error
}

func collectSchemas(c *chart.Chart, into map[*byte]*valuesSchema) {
	if len(c.Schema) > 0 {
		into[&c.Schema[0]] = &valuesSchema{text: c.Schema}
	}
	for _, sub := range c.Dependencies() {
		collectSchemas(sub, into)
	}
}

func (s *valuesSchema) compile() {
	defer func() {
		if p := recover(); p != nil {
			s.err = fmt.Errorf("%v", p)
		}
	}()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(s.text))
	if err != nil {
		s.err = err
		return
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(schemaLoader{})
	compiler.RegisterVocabulary(&jsonschema.Vocabulary{
		URL: "hubship:bounded",
		Compile: func(*jsonschema.CompilerContext, map[string]any) (jsonschema.SchemaExt, error) {
			return (*schemaClock)(s), nil
		},
	})
	compiler.AssertVocabs()
	if s.err = compiler.AddResource(schemaAddress, doc); s.err == nil {
		s.is, s.err = compiler.Compile(schemaAddress)
	}
}

// maxSchemaTime is how long a schema may take to be applied to values. One
// whose parts refer to each other twice, forty levels deep, never ends.
const maxSchemaTime = 10 * time.Second

// schemaClock is asked at every part of a schema, and ends what takes too long.
// It has one clock for all who apply the schema at a time.
type schemaClock valuesSchema

// Validate implements jsonschema.SchemaExt.
func (s *schemaClock) Validate(*jsonschema.ValidatorContext, any) {
	if time.Now().UnixNano() > s.until.Load() {
		panic(&boundError{fmt.Sprintf("it takes longer than %s to apply", maxSchemaTime)})
	}
}

// schemaLoader answers references out of a schema. A chart comes from a change
// that nobody has reviewed yet, so nothing is read from this machine, and
// nothing asked of the network: what stands elsewhere allows everything.
type schemaLoader struct{}

// Load returns the schema at an address.
func (schemaLoader) Load(address string) (any, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "file" {
		return nil, fmt.Errorf("%s: %w", address, fs.ErrNotExist)
	}
	return true, nil
}

// validate adds what the schema does not allow of the values.
func (s *valuesSchema) validate(name string, values map[string]any, into *[]SchemaViolation) (err error) {
	s.once.Do(s.compile)
	if s.err != nil {
		return fmt.Errorf("chart %s: values.schema.json: %w", name, s.err)
	}
	defer func() {
		switch p := recover().(type) {
		case nil:
		case *boundError:
			err = fmt.Errorf("chart %s: values.schema.json: %w", name, p)
		default:
			err = fmt.Errorf("chart %s: values.schema.json: %v", name, p)
		}
	}()
	if len(values) == 0 {
		values = map[string]any{}
	}
	s.until.Store(time.Now().Add(maxSchemaTime).UnixNano())
	verr := s.is.Validate(values)
	if verr == nil {
		return nil
	}
	var bad *jsonschema.ValidationError
	if !errors.As(verr, &bad) {
		return fmt.Errorf("chart %s: values.schema.json cannot be applied to the values", name)
	}
	var found []SchemaViolation
	leaves(bad, name, &found)
	slices.SortStableFunc(found, func(a, b SchemaViolation) int {
		if n := strings.Compare(a.Path, b.Path); n != 0 {
			return n
		}
		return strings.Compare(a.Message, b.Message)
	})
	found = slices.Compact(found)
	if more := len(found) - maxViolations; more > 0 {
		found = append(found[:maxViolations], SchemaViolation{Chart: name, Message: fmt.Sprintf("and %d more", more)})
	}
	*into = append(*into, found...)
	return nil
}

func leaves(e *jsonschema.ValidationError, name string, into *[]SchemaViolation) {
	if unknown, ok := e.ErrorKind.(*kind.AdditionalProperties); ok && len(e.Causes) == 0 {
		// Each by itself: they may come from different files.
		for _, key := range unknown.Properties {
			at := append(slices.Clone(e.InstanceLocation), key)
			*into = append(*into, SchemaViolation{Chart: name, Path: dotted(at), Message: "the schema does not know this key"})
		}
		return
	}
	if len(e.Causes) == 0 {
		*into = append(*into, SchemaViolation{Chart: name, Path: dotted(e.InstanceLocation), Message: violation(e.ErrorKind)})
		return
	}
	for _, cause := range e.Causes {
		leaves(cause, name, into)
	}
}

func dotted(at []string) string {
	var out strings.Builder
	for _, key := range at {
		switch _, err := strconv.Atoi(key); {
		case err == nil:
			out.WriteString("[" + key + "]")
		case strings.ContainsAny(key, "./[") || key == "":
			out.WriteString("[" + strconv.Quote(key) + "]")
		default:
			if out.Len() > 0 {
				out.WriteByte('.')
			}
			out.WriteString(key)
		}
	}
	return out.String()
}

// violation says what is wrong without the value, which may be secret.
func violation(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return fmt.Sprintf("is %s, want %s", k.Got, strings.Join(k.Want, " or "))
	case *kind.Required:
		return "lacks " + strings.Join(k.Missing, ", ")
	case *kind.Enum:
		return "is none of the allowed values: " + list(k.Want)
	case *kind.Const:
		return "is not the one allowed value: " + list([]any{k.Want})
	case *kind.Pattern:
		return "does not match the pattern " + k.Want
	case *kind.Format:
		return "is not a valid " + k.Want
	case *kind.MinLength:
		return fmt.Sprintf("has %d characters, want at least %d", k.Got, k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("has %d characters, want at most %d", k.Got, k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("has %d items, want at least %d", k.Got, k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("has %d items, want at most %d", k.Got, k.Want)
	case *kind.Minimum:
		return "is less than " + k.Want.RatString()
	case *kind.Maximum:
		return "is more than " + k.Want.RatString()
	}
	return "does not meet " + strings.Join(k.KeywordPath(), "/")
}

func list(values []any) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = fmt.Sprintf("%v", v)
	}
	return strings.Join(out, ", ")
}
