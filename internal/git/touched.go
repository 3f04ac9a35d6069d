package git

import (
	"bytes"
	"context"
	"fmt"
	"strings"
)

// maxTouched bounds the names that Touched reads, in bytes.
const maxTouched = 16 << 20

// Touched are the paths of the files that a commit changed.
type Touched struct{ Added, Removed, Modified []string }

// Touched returns what each of some commits changed compared with its first
// parent, by the commit's id. One process reads them all. A renamed file is
// removed and added. A commit that is not there is left out, and what comes
// after 16 MiB of names.
func (r *Repo) Touched(ctx context.Context, commits []Detail) (map[string]Touched, error) {
	touched := map[string]Touched{}
	if len(commits) == 0 {
		return touched, nil
	}
	var list bytes.Buffer
	for _, c := range commits {
		list.WriteString(c.ID)
		if len(c.Parents) > 0 {
			list.WriteString(" " + c.Parents[0])
		}
		list.WriteByte('\n')
	}
	out, err := r.exec(ctx, command{stdin: &list, limit: maxTouched, args: []string{
		"diff-tree", "--stdin", "-r", "-z", "--root", "--no-renames", "--name-status", "--no-ext-diff", "--ignore-submodules=none",
	}})
	if err != nil {
		return nil, fmt.Errorf("read what %d commits change: %w", len(commits), notFound(err))
	}
	fields := strings.Split(string(out), "\x00")
	fields = fields[:len(fields)-1] // after the last NUL is nothing, or what the limit cut
	id := ""
	for len(fields) > 0 {
		if isObjectID(fields[0]) { // a status has one letter
			id, fields = fields[0], fields[1:]
			continue
		}
		if len(fields) < 2 {
			break
		}
		t, status, path := touched[id], fields[0], valid(fields[1])
		fields = fields[2:]
		switch status {
		case "A":
			t.Added = append(t.Added, path)
		case "D":
			t.Removed = append(t.Removed, path)
		default: // M, and T for another kind
			t.Modified = append(t.Modified, path)
		}
		touched[id] = t
	}
	return touched, nil
}
