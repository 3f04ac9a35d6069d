package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/release"
)

const (
	// dryRunPatience is how long a cluster is asked about one release.
	dryRunPatience = 10 * time.Second
	// maxTried bounds the objects that are tried.
	maxTried = 500
	// helmManager is the field manager that Helm applies with.
	helmManager = "helm"
)

// Cluster is what a dry run needs of the connection to a cluster.
type Cluster struct {
	Name    string // for people
	Dynamic dynamic.Interface
	Mapper  meta.RESTMapper
}

// DryRun has the API server go through applying the objects of one release, as
// Helm would, without keeping anything: its validation, its admission policies
// and the field managers that would be in conflict are all asked. What it
// refuses is an error. A cluster that cannot be reached, or that does not let
// this account try, is one notice, and so is a namespace that is not there
// yet. It takes no longer than 10 seconds. Values are not told.
func DryRun(ctx context.Context, c Cluster, namespace string, objects []release.Object) []plan.Problem {
	ctx, cancel := context.WithTimeout(ctx, dryRunPatience)
	defer cancel()
	objects = objects[:min(len(objects), maxTried)]
	answers := make([]error, len(objects))
	group := errgroup.Group{}
	group.SetLimit(askedAtOnce)
	for i, o := range objects {
		group.Go(func() error {
			answers[i] = c.inTime(ctx, namespace, o)
			return nil
		})
	}
	_ = group.Wait() // the functions return none
	var out []plan.Problem
	var silent, forbidden, homeless []string
	for i, err := range answers {
		switch name := objects[i].String(); {
		case err == nil:
		case apierrors.IsForbidden(err) && !isPolicy(err):
			forbidden = append(forbidden, name)
		case isHomeless(err):
			homeless = append(homeless, name)
		case isRefusal(err):
			m := &manifest{object: objects[i]}
			m.refused(err)
			out = append(out, m.problems...)
		default:
			silent = append(silent, name)
		}
	}
	notice := func(names []string, what, hint string) {
		if len(names) > 0 {
			out = append(out, plan.Problem{Severity: plan.Notice, Check: CheckManifest, Message: fmt.Sprintf(what, few(names)), Hint: hint})
		}
	}
	notice(silent, "the cluster "+c.Name+" did not say whether it accepts %s", "make it reachable to have this checked")
	notice(forbidden, "the cluster "+c.Name+" does not allow this account to try %s", "allow it to patch these objects, including dry runs")
	notice(homeless, "the namespace "+namespace+" does not exist yet, so the cluster "+c.Name+" was not asked about %s", "")
	return out
}

func few(names []string) string {
	if len(names) > 3 {
		return strings.Join(names[:3], ", ") + fmt.Sprintf(" and %d more", len(names)-3)
	}
	return strings.Join(names, ", ")
}

// errNoKind says that the cluster does not have the object's kind.
var errNoKind = errors.New("the cluster does not have this kind")

// inTime tries one object, and does not wait longer than the context says:
// the discovery that a mapper may need heeds no context.
func (c Cluster) inTime(ctx context.Context, namespace string, o release.Object) error {
	done := make(chan error, 1)
	go func() { done <- c.try(ctx, namespace, o) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// try applies one object as a dry run.
func (c Cluster) try(ctx context.Context, namespace string, o release.Object) error {
	gv, err := schema.ParseGroupVersion(o.APIVersion)
	if err != nil {
		return nil // Manifests speaks of it
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	mapping, err := c.Mapper.RESTMapping(gv.WithKind(o.Kind).GroupKind(), gv.Version)
	if meta.IsNoMatchError(err) {
		return errNoKind
	}
	if err != nil {
		return err
	}
	raw, err := json.Marshal(o.Content)
	if err != nil {
		return nil
	}
	var client dynamic.ResourceInterface = c.Dynamic.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		if o.Namespace != "" {
			namespace = o.Namespace
		}
		client = c.Dynamic.Resource(mapping.Resource).Namespace(namespace)
	}
	force := false
	_, err = client.Patch(ctx, o.Name, types.ApplyPatchType, raw, metav1.PatchOptions{
		DryRun: []string{metav1.DryRunAll}, FieldManager: helmManager, Force: &force, FieldValidation: metav1.FieldValidationStrict,
	})
	return err
}

// isPolicy says that an admission webhook or policy refused, and not the rules
// about who may do what.
func isPolicy(err error) bool {
	return strings.Contains(err.Error(), "admission webhook") || strings.Contains(err.Error(), "ValidatingAdmissionPolicy") ||
		strings.Contains(err.Error(), "violates PodSecurity") || strings.Contains(err.Error(), "exceeded quota")
}

// isHomeless says that the namespace is not there.
func isHomeless(err error) bool {
	var status apierrors.APIStatus
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) {
		return false
	}
	d := status.Status().Details
	return d != nil && d.Kind == "namespaces"
}

// isRefusal says that the API server looked at the object and does not take
// it.
func isRefusal(err error) bool {
	return errors.Is(err, errNoKind) || isUntyped(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsConflict(err) ||
		isPolicy(err) || apierrors.ReasonForError(err) == metav1.StatusReasonUnknown && asStatus(err) != nil && asStatus(err).Code < 500
}

// isUntyped says that the object does not fit its type. The API server calls
// that an error of its own.
func isUntyped(err error) bool {
	return strings.Contains(err.Error(), "failed to create typed patch object") || strings.Contains(err.Error(), "failed to convert new object")
}

func asStatus(err error) *metav1.Status {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return nil
	}
	s := status.Status()
	return &s
}

// refused words the API server's answer, without the values that it quotes.
func (m *manifest) refused(err error) {
	status := asStatus(err)
	switch {
	case errors.Is(err, errNoKind):
		m.add(plan.Warning, "is of a kind that the cluster does not have ("+m.object.APIVersion+")", "install its definition first, or check apiVersion and kind")
		return
	case isPolicy(err):
		m.add(plan.Error, "is refused by "+policyName(err), "`kubectl apply --dry-run=server` shows its reason")
		return
	case status != nil && status.Details != nil && len(status.Details.Causes) > 0:
		hint := ""
		if apierrors.IsConflict(err) {
			hint = "somebody changed the live object by hand or with another tool: undo that, or put it into the values"
		}
		for _, cause := range status.Details.Causes {
			m.field(plan.Error, strings.TrimPrefix(cause.Field, "."), reasonOf(cause), hint)
		}
		return
	}
	text := err.Error()
	if found := fieldFault.FindStringSubmatch(text); found != nil {
		m.field(plan.Error, strings.TrimPrefix(found[1], "."), found[2], "")
		return
	}
	if fields := unknownFields.FindAllStringSubmatch(text, maxPerObject); len(fields) > 0 {
		for _, f := range fields {
			m.field(plan.Error, f[1], "a field that the cluster's version of the type does not have", "")
		}
		return
	}
	m.add(plan.Error, "is refused by the cluster", "`kubectl apply --dry-run=server` shows its reason")
}

var (
	fieldFault    = regexp.MustCompile(`(\.[A-Za-z][^\s:]*): (field not declared in schema|duplicate entries for key|expected [a-z]+)`)
	unknownFields = regexp.MustCompile(`unknown field "([^"]+)"`)
	webhook       = regexp.MustCompile(`admission webhook "([^"]+)"|ValidatingAdmissionPolicy '([^']+)'|PodSecurity "([^"]+)"|exceeded quota: ([a-z0-9.-]+)`)
	numberValue   = regexp.MustCompile(`^Invalid value: -?[0-9.]+: `)
	conflictWith  = regexp.MustCompile(`conflict with "([^"]+)"`)
)

func policyName(err error) string {
	found := webhook.FindStringSubmatch(err.Error())
	if found == nil {
		return "a policy of the cluster"
	}
	for i, kind := range []string{"the admission webhook ", "the admission policy ", "the pod security standard ", "the quota "} {
		if found[i+1] != "" {
			return kind + found[i+1]
		}
	}
	return "a policy of the cluster"
}

// reasonOf words one cause. Its message quotes the value first, and says after
// it what is wrong.
func reasonOf(cause metav1.StatusCause) string {
	if cause.Type == metav1.CauseTypeFieldManagerConflict {
		if found := conflictWith.FindStringSubmatch(cause.Message); found != nil {
			return "also set by " + found[1]
		}
		return "also set by somebody else"
	}
	what := map[metav1.CauseType]string{
		metav1.CauseTypeFieldValueRequired:     "it must be set",
		metav1.CauseTypeFieldValueDuplicate:    "it is a duplicate",
		metav1.CauseTypeFieldValueNotSupported: "a value that is not supported",
		metav1.CauseTypeFieldValueNotFound:     "a value that names something that does not exist",
		metav1.CauseTypeFieldValueInvalid:      "a value that is not valid",
		metav1.CauseTypeTypeInvalid:            "a value of the wrong type",
		metav1.CauseTypeForbidden:              "it must not be set or changed like this",
		metav1.CauseTypeTooLong:                "a value that is too long",
		metav1.CauseTypeTooMany:                "too many items",
	}[cause.Type]
	if what == "" {
		what = "refused"
	}
	at := -1
	for _, mark := range []string{`": `, `}: `, `]: `, "Required value: ", "Forbidden: "} {
		if i := strings.LastIndex(cause.Message, mark); i >= 0 {
			at = max(at, i+len(mark))
		}
	}
	if found := numberValue.FindStringIndex(cause.Message); found != nil {
		at = max(at, found[1])
	}
	if at >= 0 && at < len(cause.Message) && cause.Type != metav1.CauseTypeFieldValueDuplicate {
		what += ": " + cause.Message[at:min(len(cause.Message), at+200)]
	}
	return what
}
