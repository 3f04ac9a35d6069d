package git

import (
	"bytes"
	"context"
	"fmt"
	"strings"
)

// RefMove moves a reference, given by its full name, from one object to
// another. An empty Old makes it, an empty New deletes it.
type RefMove struct{ Name, Old, New string }

// MoveRefs moves references, all or none, if each is where it was expected. The
// error is ErrMoved otherwise.
func (r *Repo) MoveRefs(ctx context.Context, moves ...RefMove) error {
	var list bytes.Buffer
	for _, m := range moves {
		if err := CheckRefName(m.Name); err != nil {
			return err
		}
		if (m.Old != "" && !isObjectID(m.Old)) || (m.New != "" && !isObjectID(m.New)) || m.Old+m.New == "" {
			return fmt.Errorf("move reference %s: %q or %q is not an object id", m.Name, m.Old, m.New)
		}
		switch {
		case m.Old == "":
			fmt.Fprintf(&list, "create %s\x00%s\x00", m.Name, m.New)
		case m.New == "":
			fmt.Fprintf(&list, "delete %s\x00%s\x00", m.Name, m.Old)
		default:
			fmt.Fprintf(&list, "update %s\x00%s\x00%s\x00", m.Name, m.New, m.Old)
		}
	}
	_, err := r.exec(ctx, command{args: []string{"update-ref", "--no-deref", "-z", "-m", "hubship", "--stdin"}, stdin: &list})
	if err == nil {
		return nil
	}
	refs, listErr := r.Refs(context.WithoutCancel(ctx), "refs/")
	at := map[string]string{}
	for _, ref := range refs {
		at[ref.Name] = ref.ID
	}
	for _, m := range moves {
		if listErr == nil && at[m.Name] != m.Old {
			return fmt.Errorf("move reference %s: %w", m.Name, ErrMoved)
		}
	}
	return fmt.Errorf("move references: %w", err)
}

// Incoming is where references are while a push is looked at: below it nothing
// is shown, and nothing else may be.
const Incoming = "refs/hubship/incoming/"

// DropIncoming removes what is below a prefix that begins with Incoming, and
// touches nothing else. Names are those that are likely to be there.
func (r *Repo) DropIncoming(ctx context.Context, prefix string, names ...string) error {
	if !strings.HasPrefix(prefix, Incoming) {
		return fmt.Errorf("%q is not a place for incoming pushes", prefix)
	}
	if len(names) > 0 && r.dropRefs(ctx, prefix, names) == nil {
		return nil
	}
	refs, err := r.Refs(ctx, prefix)
	if err != nil {
		return err
	}
	names = nil
	for _, ref := range refs {
		names = append(names, ref.Name)
	}
	return r.dropRefs(ctx, prefix, names)
}

func (r *Repo) dropRefs(ctx context.Context, prefix string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	var list bytes.Buffer
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) || CheckRefName(name) != nil {
			return fmt.Errorf("%q does not come from a push", name)
		}
		fmt.Fprintf(&list, "delete %s\x00\x00", name)
	}
	if _, err := r.exec(ctx, command{args: []string{"update-ref", "--no-deref", "-z", "--stdin"}, stdin: &list}); err != nil {
		return fmt.Errorf("drop what a push brought: %w", err)
	}
	return nil
}

// HasCommit says whether a commit of this id is in the repository.
func (r *Repo) HasCommit(id string) bool {
	if !isObjectID(id) {
		return false
	}
	kind, _, err := r.objects.info(id)
	return err == nil && kind == "commit"
}
