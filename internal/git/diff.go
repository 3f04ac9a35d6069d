package git

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
)

// maxDiff bounds the text that AddedLines reads, in bytes.
const maxDiff = 64 << 20

// maxDiffFile bounds a file whose lines AddedLines reads, in bytes.
const maxDiffFile = 16 << 20

// AddedFile is what a change adds to one file.
type AddedFile struct {
	Path  string
	Lines []AddedLine
}

// AddedLine is a line that a change adds.
type AddedLine struct {
	Number int // in the new file, from 1
	Text   string
}

// AddedLines returns the lines that head has and base has not, by file. Binary
// files and those of more than 16 MiB are left out, and so are those of the paths in skip. An empty base
// stands for an empty tree.
func (r *Repo) AddedLines(ctx context.Context, base, head string, skip ...string) ([]AddedFile, error) {
	for _, rev := range []string{base, head} {
		if rev == "" && rev != head {
			continue
		}
		if err := checkRev(rev); err != nil {
			return nil, err
		}
	}
	if base == "" {
		// The id of the empty tree, which every repository has.
		base = emptyTree
	}
	args := []string{
		// What is larger counts as binary, and is not read.
		"-c", "core.bigFileThreshold=" + strconv.Itoa(maxDiffFile),
		"diff-tree", "-r", "-p", "--unified=0", "--no-renames", "--no-ext-diff", "--no-textconv", "--no-color",
		"--src-prefix=a/", "--dst-prefix=b/", "--ignore-submodules=all", "--diff-filter=AM", base, head, "--", ".",
	}
	env := []string{"GIT_LITERAL_PATHSPECS=0"}
	for _, name := range skip {
		args = append(args, ":(exclude,literal,top)"+name)
	}
	out, err := r.exec(ctx, command{args: args, env: env, limit: maxDiff})
	if err != nil {
		return nil, fmt.Errorf("compare %s and %s: %w", short(base), short(head), notFound(err))
	}
	return parseAdded(out), nil
}

const emptyTree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

// parseAdded reads a unified diff without context. Only what stands where the
// format puts a header is taken for one: an added line may look like it.
func parseAdded(diff []byte) []AddedFile {
	var out []AddedFile
	var file *AddedFile
	next, removed, added := 0, 0, 0
	for len(diff) > 0 {
		line, rest, _ := bytes.Cut(diff, []byte("\n"))
		diff = rest
		switch {
		case removed > 0 && bytes.HasPrefix(line, []byte("-")):
			removed--
		case added > 0 && bytes.HasPrefix(line, []byte("+")):
			added--
			if file != nil {
				file.Lines = append(file.Lines, AddedLine{Number: next, Text: string(line[1:])})
			}
			next++
		case bytes.HasPrefix(line, []byte("diff --git ")):
			file, removed, added = nil, 0, 0
		case bytes.HasPrefix(line, []byte("+++ ")):
			if name, ok := unquotePath(string(line[4:])); ok {
				out = append(out, AddedFile{Path: name})
				file = &out[len(out)-1]
			}
		case bytes.HasPrefix(line, []byte("@@ ")):
			fields := strings.Fields(string(line))
			if len(fields) >= 3 {
				_, removed = hunkRange(fields[1])
				next, added = hunkRange(fields[2])
			}
		}
	}
	return out
}

// hunkRange reads "+12,3" or "-12".
func hunkRange(s string) (start, count int) {
	first, second, many := strings.Cut(s[1:], ",")
	start, _ = strconv.Atoi(first)
	count = 1
	if many {
		count, _ = strconv.Atoi(second)
	}
	return start, count
}

// unquotePath takes the path out of "b/name", which git quotes when it contains
// what needs it; a tab ends a name with spaces.
func unquotePath(s string) (string, bool) {
	s = strings.TrimSuffix(s, "\t")
	if strings.HasPrefix(s, `"`) {
		var err error
		if s, err = strconv.Unquote(s); err != nil {
			return "", false
		}
	}
	return strings.CutPrefix(s, "b/")
}
