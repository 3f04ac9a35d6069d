package git

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Bounds of Changes.
const (
	MaxChangedFiles = 3000     // files that it returns
	maxPatch        = 1 << 20  // bytes of the patch of one file
	maxPatches      = 16 << 20 // bytes of all patches
)

// FileChange is what differs in one file.
type FileChange struct {
	Path      string
	Previous  string // path before, of a file that was renamed or copied
	Status    string // added, removed, modified, renamed, copied or changed (its kind)
	Blob      string // id of the content after, or before if it was removed
	Additions int
	Deletions int
	Binary    bool
	Patch     string // hunks of a unified diff; empty if binary or too large
}

// Changes returns the files that differ between two commits or trees, in the
// order of their paths, at most MaxChangedFiles. An empty base stands for an
// empty tree.
func (r *Repo) Changes(ctx context.Context, base, head string) ([]FileChange, error) {
	if base == "" {
		base = emptyTree
	}
	for _, id := range []string{base, head} {
		if !isObjectID(id) {
			return nil, fmt.Errorf("compare: %q is not a commit id", id)
		}
	}
	common := []string{
		"-c", "core.bigFileThreshold=" + strconv.Itoa(maxDiffFile),
		"diff-tree", "-r", "-M", "-l500", "--no-ext-diff", "--no-textconv", "--no-color", "--full-index", "--ignore-submodules=none",
	}
	run := func(limit int, args ...string) ([]byte, error) {
		all := append(append([]string{}, common...), args...)
		out, err := r.exec(ctx, command{args: append(all, "--end-of-options", base, head, "--"), limit: limit})
		if err != nil {
			return nil, fmt.Errorf("compare %s and %s: %w", short(base), short(head), notFound(err))
		}
		return out, nil
	}
	out, err := run(maxDiff, "-z", "--raw", "--numstat")
	if err != nil {
		return nil, err
	}
	if len(out) == maxDiff {
		return nil, fmt.Errorf("compare %s and %s: too many files differ", short(base), short(head))
	}
	files, err := parseChanges(string(out))
	if err != nil {
		return nil, fmt.Errorf("compare %s and %s: %w", short(base), short(head), err)
	}
	if len(files) == 0 {
		return nil, nil
	}
	patches, err := run(maxPatches, "-p", "--src-prefix=a/", "--dst-prefix=b/")
	if err != nil {
		return nil, err
	}
	addPatches(files, patches)
	if len(files) > MaxChangedFiles {
		files = files[:MaxChangedFiles]
	}
	return files, nil
}

var changeStatus = map[byte]string{'A': "added", 'D': "removed", 'M': "modified", 'R': "renamed", 'C': "copied", 'T': "changed"}

// parseChanges reads the raw records and, after them, the numbers of lines.
func parseChanges(out string) ([]FileChange, error) {
	var files []FileChange
	fields := strings.Split(strings.TrimSuffix(out, "\x00"), "\x00")
	for len(fields) > 1 && strings.HasPrefix(fields[0], ":") {
		meta := strings.Fields(fields[0]) // modes, ids and status
		if len(meta) != 5 {
			return nil, fmt.Errorf("git diff-tree answered %q", fields[0])
		}
		f := FileChange{Path: fields[1], Status: changeStatus[meta[4][0]], Blob: meta[3]}
		fields = fields[2:]
		switch f.Status {
		case "":
			return nil, fmt.Errorf("git diff-tree answered the status %q", meta[4])
		case "removed":
			f.Blob = meta[2]
		case "renamed", "copied":
			if len(fields) == 0 {
				return nil, fmt.Errorf("git diff-tree gave no new name for %s", f.Path)
			}
			f.Previous, f.Path, fields = f.Path, fields[0], fields[1:]
		}
		files = append(files, f)
	}
	for i := 0; len(fields) > 0 && fields[0] != "" && i < len(files); i++ {
		numbers := strings.SplitN(fields[0], "\t", 3)
		if len(numbers) != 3 {
			return nil, fmt.Errorf("git diff-tree answered %q", fields[0])
		}
		files[i].Binary = numbers[0] == "-"
		files[i].Additions, _ = strconv.Atoi(numbers[0]) // 0 for "-"
		files[i].Deletions, _ = strconv.Atoi(numbers[1])
		skip := 1
		if numbers[2] == "" { // both names of a rename follow
			skip = 3
		}
		fields = fields[min(skip, len(fields)):]
	}
	return files, nil
}

// addPatches cuts the text of all patches, which come in the order of files.
// Within a patch no line begins like its header.
func addPatches(files []FileChange, text []byte) {
	header := []byte("diff --git ")
	whole := len(text) < maxPatches
	for i := 0; i < len(files) && bytes.HasPrefix(text, header); i++ {
		// A change of kind is written as a removal and an addition.
		parts := 1
		if files[i].Status == "changed" {
			parts = 2
		}
		var patch []byte
		for range parts {
			end := bytes.Index(text, append([]byte("\n"), header...))
			section := text
			if end >= 0 {
				section, text = text[:end+1], text[end+1:]
			} else {
				text = nil
				if !whole {
					return // cut off in the middle
				}
			}
			if at := bytes.Index(section, []byte("\n@@ ")); at >= 0 {
				patch = append(patch, section[at+1:]...)
			}
		}
		if len(patch) <= maxPatch && !files[i].Binary {
			files[i].Patch = strings.ToValidUTF8(strings.TrimSuffix(string(patch), "\n"), "\uFFFD")
		}
	}
}

// Diff returns the whole difference between two commits as a patch, at most
// limit bytes of it. An empty base stands for an empty tree.
func (r *Repo) Diff(ctx context.Context, base, head string, limit int) ([]byte, error) {
	if base == "" {
		base = emptyTree
	}
	return r.difference(ctx, base, head, limit,
		"diff-tree", "-r", "-p", "-M", "-l500", "--no-ext-diff", "--no-textconv", "--no-color", "--src-prefix=a/", "--dst-prefix=b/", "--end-of-options", base, head, "--")
}

// Patches returns the commits that head has and base has not, each as mail that
// `git am` takes, at most limit bytes of it. Merges are left out. An empty base
// leaves out none.
func (r *Repo) Patches(ctx context.Context, base, head string, limit int) ([]byte, error) {
	since := base + ".." + head
	if base == "" {
		base, since = emptyTree, head
	}
	return r.difference(ctx, base, head, limit,
		"format-patch", "--stdout", "--root", "--no-signature", "--no-ext-diff", "--no-textconv", "--no-color", "--src-prefix=a/", "--dst-prefix=b/", since, "--")
}

func (r *Repo) difference(ctx context.Context, base, head string, limit int, args ...string) ([]byte, error) {
	for _, id := range []string{base, head} {
		if !isObjectID(id) {
			return nil, fmt.Errorf("compare: %q is not a commit id", id)
		}
	}
	out, err := r.exec(ctx, command{limit: limit, args: args})
	if err != nil {
		return nil, fmt.Errorf("compare %s and %s: %w", short(base), short(head), notFound(err))
	}
	return out, nil
}
