package git

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Signature is who did something to a commit, and when.
type Signature struct {
	Identity
	When time.Time
}

// Detail is a commit with all that it records.
type Detail struct {
	ID, Tree  string
	Parents   []string
	Author    Signature
	Committer Signature
	Message   string // without newlines at its end
}

const detailFormat = "--format=%H%x00%T%x00%P%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%B"

// maxHistory bounds what Details reads at once, in bytes: a message may be of
// any length.
const maxHistory = 64 << 20

// DetailOptions choose commits.
type DetailOptions struct {
	Base  string // commits that this one has are left out; empty for none
	Skip  int    // newest commits that are left out
	Limit int    // how many are returned; 0 for all
	Path  string // only those that touch this file or folder; empty for all
}

// Details returns the commits that lead to head, newest first; with a base
// every commit comes after all that are made from it.
func (r *Repo) Details(ctx context.Context, head string, opts DetailOptions) ([]Detail, error) {
	if err := checkRev(head); err != nil {
		return nil, err
	}
	args := []string{"log", "-z", detailFormat, "--no-show-signature", "--encoding=UTF-8"}
	if opts.Base != "" {
		// It reads all of a history before the first commit is known: only
		// where that is short.
		args = append(args, "--topo-order")
	}
	if opts.Skip > 0 {
		args = append(args, "--skip="+strconv.Itoa(opts.Skip))
	}
	if opts.Limit > 0 {
		args = append(args, "--max-count="+strconv.Itoa(opts.Limit))
	}
	args = append(args, "--end-of-options", head)
	if opts.Base != "" {
		if err := checkRev(opts.Base); err != nil {
			return nil, err
		}
		args = append(args, "^"+opts.Base)
	}
	args = append(args, "--")
	if opts.Path != "" {
		args = append(args, opts.Path) // literal: see the environment of every git
	}
	out, err := r.exec(ctx, command{args: args, limit: maxHistory})
	if err != nil {
		return nil, fmt.Errorf("read history of %s: %w", short(head), notFound(err))
	}
	if len(out) == maxHistory {
		return nil, fmt.Errorf("read history of %s: its messages have more than %d bytes", short(head), maxHistory)
	}
	return parseDetails(string(out))
}

func parseDetails(out string) ([]Detail, error) {
	const perCommit = 10
	if out == "" {
		return nil, nil
	}
	fields := strings.Split(strings.TrimSuffix(out, "\x00"), "\x00")
	if len(fields)%perCommit != 0 {
		return nil, fmt.Errorf("git log answered %d fields, expected a multiple of %d", len(fields), perCommit)
	}
	list := make([]Detail, 0, len(fields)/perCommit)
	for f := fields; len(f) > 0; f = f[perCommit:] {
		d := Detail{ID: f[0], Tree: f[1], Parents: strings.Fields(f[2]), Message: strings.TrimRight(strings.ToValidUTF8(f[9], "\uFFFD"), "\n")}
		d.Author = Signature{Identity{Name: valid(f[3]), Email: valid(f[4])}, seconds(f[5])}
		d.Committer = Signature{Identity{Name: valid(f[6]), Email: valid(f[7])}, seconds(f[8])}
		list = append(list, d)
	}
	return list, nil
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// seconds reads a time as git prints it. A commit may claim any time: one that
// cannot be read, or that no calendar has, is the beginning of 1970.
func seconds(s string) time.Time {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > 253402300799 {
		n = 0
	}
	return time.Unix(n, 0).UTC()
}

// AheadBehind counts the commits that head has and base has not, and the other
// way round.
func (r *Repo) AheadBehind(ctx context.Context, base, head string) (ahead, behind int, err error) {
	for _, id := range []string{base, head} {
		if !isObjectID(id) {
			return 0, 0, fmt.Errorf("compare: %q is not a commit id", id)
		}
	}
	out, err := r.git(ctx, "rev-list", "--left-right", "--count", "--end-of-options", base+"..."+head, "--")
	if err != nil {
		return 0, 0, fmt.Errorf("compare %s and %s: %w", short(base), short(head), notFound(err))
	}
	if _, err := fmt.Sscan(string(out), &behind, &ahead); err != nil {
		return 0, 0, fmt.Errorf("compare %s and %s: git rev-list answered %q", short(base), short(head), out)
	}
	return ahead, behind, nil
}

// TreeOf returns the id of a commit's tree.
func (r *Repo) TreeOf(ctx context.Context, commit string) (string, error) {
	if !isObjectID(commit) {
		return "", fmt.Errorf("%q is not a commit id", commit)
	}
	return r.root(ctx, commit)
}
