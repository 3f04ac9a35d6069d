package helm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	commonutil "helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/engine"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"pgregory.net/rapid"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
	"github.com/hubship/hubship/internal/release/confine"
)

// spells are ways in which a template writes a secret.
var spells = []string{
	`.Values.token`, `(printf "%x" .Values.token)`, `(printf "%q" .Values.token)`, `(b64enc .Values.token)`, `(b32enc .Values.token)`,
	`(upper .Values.token)`, `(splitList "" .Values.token | join "-")`, `(splitList "" .Values.token | reverse | join "")`,
	`(.Values.token | replace "a" "4" | swapcase)`, `(substr 0 7 .Values.token)`, `(printf "%v" .Values)`, `(toJson .Values)`,
}

// failures are templates that fail with a secret in their mouth, whether it is
// the real one or not, and others that do so only with the real one.
var failures = []string{
	`{{ fail %s }}`, `{{ required %s nil }}`, `{{ include %s . }}`, `{{ fromYaml %s | get "a" }}`, `{{ index .Values.list %s }}`,
	`{{ if ne .Values.token "stand-in-1" }}{{ fail %s }}{{ end }}`, `{{ tpl (printf "{{ %%s" %s) . }}`, `{{ atoi %s | div 1 }}{{ mustRegexMatch %s "x" }}`,
	"kind: ConfigMap\nmetadata: {name: a}\n{{ %s }}: [",
}

func upgradeOf(t testing.TB, token string, changes map[string]string) (*upgrade, error) {
	t.Helper()
	changes["secrets/staging.yaml"] = "token: \"" + token + "\"\n"
	r := offline(t, "")
	u := wanted(repository(t, changes))
	values, secrets, err := r.releases.values(t.Context(), u)
	if err != nil {
		return nil, err
	}
	up := &upgrade{r: r.releases, Upgrade: u, values: values, secrets: secrets, red: release.NewRedactor(secrets...), files: map[string]bool{}}
	ch, _, err := r.releases.charts.load(t.Context(), u.Tree, u.Desired.Commit+token, u.Desired.Chart, nil, false)
	if err != nil {
		return nil, err
	}
	templateFiles(ch, "", up.files)
	all, err := commonutil.ToRenderValues(ch, values, common.ReleaseOptions{Name: "r", Namespace: "n"}, common.DefaultCapabilities)
	if err != nil {
		return up, err
	}
	_, err = engine.Render(ch, all)
	return up, err
}

// told is everything that is told of an error.
func told(up *upgrade, err error) string {
	said := up.sayable(context.Background(), &configuration{lookup: &lookup{}}, err)
	return fmt.Sprintf("%v %+v %s %#v %s", said, said, model.HintOf(said), said.Error(), errors.Unwrap(errors.Unwrap(said)))
}

// TestErrorsHoldNoSecret lets templates fail in Helm's own engine with a secret
// in every spelling. Nothing of it is told.
func TestErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		token := rapid.StringMatching(`[a-z]{3}[a-z0-9]{12,20}`).Draw(rt, "token")
		spell := rapid.SampledFrom(spells).Draw(rt, "spell")
		template := strings.ReplaceAll(rapid.SampledFrom(failures).Draw(rt, "failure"), "%s", spell)
		template = strings.ReplaceAll(template, "%"+spell, "%s")
		up, err := upgradeOf(t, token, map[string]string{"hub/templates/bad.yaml": "# one\n" + template + "\n"})
		if up == nil {
			rt.Fatal(err)
		}
		if err == nil {
			return // it does not fail at this step
		}
		text := told(up, err)
		swapped := strings.ToUpper(strings.ReplaceAll(token, "a", "4"))
		if hidden := release.NewRedactor(map[string]any{"a": token, "b": swapped}); hidden.Text(text) != text {
			rt.Fatalf("%s with the secret %s: %s", template, token, text)
		}
		if !strings.Contains(text, "bad.yaml:2") {
			rt.Fatalf("%s: the place is not told: %s (of %v)", template, text, err)
		}
	})
}

func TestSchemaErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	const token = "correct-horse-battery"
	for _, rule := range []string{`{"pattern": "^[0-9]+$"}`, `{"type": "integer"}`, `{"enum": ["a"]}`, `{"not": {"const": "correct-horse-battery"}}`} {
		up, err := upgradeOf(t, token, map[string]string{"hub/values.schema.json": `{"properties": {"token": ` + rule + `}}`})
		if err == nil {
			t.Fatalf("%s: rendered", rule)
		}
		if text := told(up, err); strings.Contains(text, "horse") || !strings.Contains(text, "schema") {
			t.Errorf("%s: %s", rule, text)
		}
	}
}

// The API server quotes what it refuses, names of objects and of fields
// included.
func TestAnswersHoldNoSecret(t *testing.T) {
	t.Parallel()
	const token = "correct-horse-battery"
	up, err := upgradeOf(t, token, map[string]string{"hub/templates/good.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: good}\ndata: {known: x}\n"})
	if err != nil {
		t.Fatal(err)
	}
	spelt := fmt.Sprintf("%x", token)
	invalid := func(name, at string) error {
		return apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, name, field.ErrorList{field.Invalid(field.NewPath("data").Key(at), spelt, "bad "+token)})
	}
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"invalid":           {fmt.Errorf("apply: %w", invalid("good", "known")), "ConfigMap good: the API server rejects it: Invalid at data[known]"},
		"a field":           {invalid("good", spelt), "ConfigMap good: the API server rejects it: Invalid"},
		"a name":            {invalid(spelt, "known"), "an object: the API server rejects it: Invalid"},
		"two":               {errors.Join(invalid("good", "known"), invalid(spelt, "x")), "ConfigMap good"},
		"forbidden":         {apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "good", errors.New(spelt)), "ConfigMap good: the API server rejects it: Forbidden"},
		"somebody else's":   {fmt.Errorf("Unable to continue with install: ConfigMap \"good\" in namespace %q exists and cannot be imported: invalid ownership metadata; %s", spelt, token), "does not belong to this release: ConfigMap good"},
		"what is not known": {errors.New("Get \"https://x/" + spelt + "\": EOF"), "Helm could not apply the release"},
		"beyond":            {&confine.Error{Violations: []confine.Violation{{Object: release.Object{Template: "hub/templates/good.yaml"}, Message: "lies in " + spelt}}}, "reaches beyond its release, with something it derives from a secret, in hub/templates/good.yaml"},
	} {
		text := told(up, tt.err)
		if strings.Contains(text, "horse") || strings.Contains(text, spelt) || !strings.Contains(text, tt.want) || !strings.Contains(text, "--show-secrets") {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// Without secrets nothing needs to be withheld.
func TestErrorsWithoutSecretsAreTold(t *testing.T) {
	t.Parallel()
	err := errors.New("as it is")
	if got := (&upgrade{}).sayable(t.Context(), &configuration{lookup: &lookup{}}, err); got != err {
		t.Errorf("%v", got)
	}
}
