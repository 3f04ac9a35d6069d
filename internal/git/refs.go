package git

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Ref is a reference with the object that it names.
type Ref struct {
	Name string // in full: refs/heads/staging
	ID   string // of the object
}

// CheckRefName says whether name can be a reference: below refs/, and by the
// rules for branch names in all that follows.
func CheckRefName(name string) error {
	rest, ok := strings.CutPrefix(name, "refs/")
	if !ok || !strings.Contains(rest, "/") {
		return fmt.Errorf("reference name %q is not of the form refs/KIND/NAME", name)
	}
	if problem := refProblem(rest); problem != "" {
		return fmt.Errorf("reference name %q %s", name, problem)
	}
	return nil
}

// Refs returns the references whose full names begin with prefix, sorted.
func (r *Repo) Refs(ctx context.Context, prefix string) ([]Ref, error) {
	// The prefix never reaches git, which would take it for a pattern.
	out, err := r.git(ctx, "for-each-ref", "--format=%(objectname) %(refname)", "--", "refs/")
	if err != nil {
		return nil, fmt.Errorf("list references: %w", err)
	}
	var refs []Ref
	for line := range strings.Lines(string(out)) {
		id, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if ok && strings.HasPrefix(name, prefix) {
			refs = append(refs, Ref{Name: name, ID: id})
		}
	}
	slices.SortFunc(refs, func(a, b Ref) int { return strings.Compare(a.Name, b.Name) })
	return refs, nil
}

// Ref returns one reference by its full name; ErrNotFound when there is none.
func (r *Repo) Ref(ctx context.Context, name string) (Ref, error) {
	if err := CheckRefName(name); err != nil {
		return Ref{}, err
	}
	refs, err := r.Refs(ctx, name)
	if err != nil {
		return Ref{}, err
	}
	for _, ref := range refs {
		if ref.Name == name {
			return ref, nil
		}
	}
	return Ref{}, fmt.Errorf("reference %s: %w", name, ErrNotFound)
}

// SetRef moves a reference, given by its full name, to an object if it is at
// the object expected; an empty expected makes it. The error is ErrMoved
// otherwise. Two that expect the same cannot both succeed.
func (r *Repo) SetRef(ctx context.Context, name, id, expected string) error {
	if err := CheckRefName(name); err != nil {
		return err
	}
	if !isObjectID(id) || (expected != "" && !isObjectID(expected)) {
		return fmt.Errorf("set reference %s: %q or %q is not an object id", name, id, expected)
	}
	old := expected
	if old == "" {
		old = strings.Repeat("0", len(id))
	}
	_, err := r.git(ctx, "update-ref", "--no-deref", "--end-of-options", name, id, old)
	return r.afterUpdate(ctx, "set", name, expected, err)
}

// DeleteRef removes a reference, given by its full name, if it is at the object
// expected. The error is ErrMoved otherwise.
func (r *Repo) DeleteRef(ctx context.Context, name, expected string) error {
	if err := CheckRefName(name); err != nil {
		return err
	}
	if !isObjectID(expected) {
		return fmt.Errorf("delete reference %s: %q is not an object id", name, expected)
	}
	_, err := r.git(ctx, "update-ref", "--no-deref", "-d", "--end-of-options", name, expected)
	return r.afterUpdate(ctx, "delete", name, expected, err)
}

// afterUpdate tells a reference that has moved from other failures.
func (r *Repo) afterUpdate(ctx context.Context, op, name, expected string, err error) error {
	if err == nil {
		return nil
	}
	refs, listErr := r.Refs(ctx, name)
	found := ""
	for _, ref := range refs {
		if ref.Name == name {
			found = ref.ID
		}
	}
	if listErr == nil && found != expected {
		return fmt.Errorf("%s reference %s: %w", op, name, ErrMoved)
	}
	return fmt.Errorf("%s reference %s: %w", op, name, err)
}
