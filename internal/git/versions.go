package git

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Versions returns what files were in the last commits of some branches, oldest
// first: as the branches were at, so that what a merge brought came with the
// merge, whatever its commits say of their age. A version may come twice.
func (r *Repo) Versions(ctx context.Context, heads, files []string, limit int) ([]Entry, error) {
	if len(heads) == 0 || len(files) == 0 {
		return nil, nil
	}
	args := []string{
		"log", "--first-parent", "-m", "--topo-order", "--reverse", "--max-count=" + strconv.Itoa(limit), "--format=", "--no-show-signature",
		"--raw", "--no-abbrev", "--no-renames", "--diff-filter=AMT", "-z", "--end-of-options",
	}
	for _, head := range heads {
		if err := checkRev(head); err != nil {
			return nil, err
		}
		args = append(args, head)
	}
	out, err := r.git(ctx, append(append(args, "--"), files...)...)
	if err != nil {
		return nil, fmt.Errorf("read the versions of %d files: %w", len(files), notFound(err))
	}
	var all []Entry
	fields := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	for ; len(fields) > 1; fields = fields[2:] {
		meta := strings.Fields(strings.TrimPrefix(fields[0], ":")) // modes, ids and status
		if len(meta) != 5 || !isObjectID(meta[3]) {
			return nil, fmt.Errorf("git log answered %q", fields[0])
		}
		mode, err := strconv.ParseUint(meta[1], 8, 32)
		if err != nil {
			return nil, fmt.Errorf("git log answered %q", fields[0])
		}
		all = append(all, Entry{Path: fields[1], Mode: uint32(mode), ID: meta[3]})
	}
	return all, nil
}
