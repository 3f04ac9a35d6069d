package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// maxBorrow is how many repositories in a row may borrow objects; git itself
// follows five.
const maxBorrow = 4

// KeepObjects makes git refuse to drop any object of the repository, by garbage
// collection or by hand: other repositories borrow them.
func (r *Repo) KeepObjects(ctx context.Context) error {
	for _, kv := range [][2]string{{"core.repositoryFormatVersion", "1"}, {"extensions.preciousObjects", "true"}} {
		if _, err := r.git(ctx, "config", "--local", kv[0], kv[1]); err != nil {
			return fmt.Errorf("keep the objects of %s: %w", r.dir, err)
		}
	}
	return nil
}

// Fork makes a bare repository in dir, which must not exist, with the branches,
// the tags and the HEAD of this one. It borrows the objects of this one, which
// keeps all of them from now on and must stay where it is relative to the fork.
func (r *Repo) Fork(ctx context.Context, dir string) (_ *Repo, err error) {
	wrap := func(err error) error { return fmt.Errorf("fork %s to %s: %w", r.dir, dir, err) }
	if _, err := os.Lstat(dir); err == nil {
		return nil, wrap(errors.New("the target already exists"))
	}
	if depth := borrowDepth(r.dir, maxBorrow); depth >= maxBorrow {
		return nil, wrap(model.WithHint(errors.New("it is a fork of a fork of a fork"), "fork one closer to the original"))
	}
	if err := r.KeepObjects(ctx); err != nil {
		return nil, wrap(err)
	}
	refs, err := r.Refs(ctx, "refs/")
	if err != nil {
		return nil, wrap(err)
	}
	head, err := r.DefaultBranch(ctx)
	if err != nil {
		return nil, wrap(err)
	}
	fork, err := Init(ctx, dir, InitOptions{Bare: true, DefaultBranch: head})
	if err != nil {
		return nil, wrap(err)
	}
	defer func() {
		if err != nil {
			err = wrap(errors.Join(err, fork.Close(), os.RemoveAll(dir)))
		}
	}()
	if err := fork.borrow(r); err != nil {
		return nil, err
	}
	var list bytes.Buffer
	for _, ref := range refs {
		if strings.HasPrefix(ref.Name, "refs/heads/") || strings.HasPrefix(ref.Name, "refs/tags/") {
			fmt.Fprintf(&list, "create %s\x00%s\x00", ref.Name, ref.ID)
		}
	}
	if _, err := fork.exec(ctx, command{args: []string{"update-ref", "-z", "--stdin"}, stdin: &list}); err != nil {
		return nil, err
	}
	return fork, nil
}

// borrow lets a repository use another one's objects. The path is relative, so
// that both can be moved together.
func (r *Repo) borrow(from *Repo) error {
	rel, err := filepath.Rel(filepath.Join(r.dir, "objects"), filepath.Join(from.dir, "objects"))
	if err != nil {
		return err
	}
	if strings.ContainsAny(rel, "\n\"#") {
		return fmt.Errorf("the path %q cannot be named in a list of alternates", rel)
	}
	info := filepath.Join(r.dir, "objects", "info")
	if err := os.MkdirAll(info, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(info, "alternates"), []byte(rel+"\n"), 0o644)
}

// borrowDepth counts how many repositories in a row lend to this one.
func borrowDepth(dir string, limit int) int {
	depth := 0
	for ; depth < limit; depth++ {
		data, err := os.ReadFile(filepath.Join(dir, "objects", "info", "alternates"))
		if err != nil {
			break
		}
		dir = filepath.Dir(filepath.Join(dir, "objects", strings.TrimSpace(string(data))))
	}
	return depth
}

// DefaultBranch returns the branch that HEAD names, whether it exists or not.
func (r *Repo) DefaultBranch(ctx context.Context) (string, error) {
	if data, err := os.ReadFile(filepath.Join(r.dir, "HEAD")); err == nil {
		// Not so where references are kept otherwise: HEAD then names a branch
		// that cannot be.
		branch, ok := strings.CutPrefix(strings.TrimSuffix(string(data), "\n"), "ref: refs/heads/")
		if ok && CheckBranchName(branch) == nil {
			return branch, nil
		}
	}
	out, err := r.git(ctx, "symbolic-ref", "HEAD")
	if err != nil {
		return "", fmt.Errorf("read HEAD: %w", err)
	}
	branch, ok := strings.CutPrefix(strings.TrimSpace(string(out)), "refs/heads/")
	if !ok {
		return "", fmt.Errorf("read HEAD: it names %q, which is not a branch", out)
	}
	return branch, nil
}

// SetDefaultBranch makes HEAD name a branch, whether it exists or not.
func (r *Repo) SetDefaultBranch(ctx context.Context, branch string) error {
	if err := CheckBranchName(branch); err != nil {
		return err
	}
	if _, err := r.git(ctx, "symbolic-ref", "HEAD", "refs/heads/"+branch); err != nil {
		return fmt.Errorf("point HEAD to %s: %w", branch, err)
	}
	return nil
}

// CopyObjects brings commits of another repository, with all that they refer
// to, into this one. What both have is not copied. No reference moves.
func (r *Repo) CopyObjects(ctx context.Context, from *Repo, commits ...string) error {
	var list bytes.Buffer
	for _, id := range commits {
		if !isObjectID(id) {
			return fmt.Errorf("copy objects: %q is not a commit id", id)
		}
		// A pack becomes visible when it is complete: a commit that is here
		// has all that it refers to.
		if kind, _, err := r.objects.info(id); err == nil && kind == "commit" {
			continue
		}
		if _, err := from.existing(id, id); err != nil {
			return fmt.Errorf("copy objects from %s: %w", from.dir, err)
		}
		list.WriteString(id + "\n")
	}
	if list.Len() == 0 {
		return nil
	}
	refs, err := r.Refs(ctx, "refs/")
	if err != nil {
		return err
	}
	for _, ref := range refs {
		if _, _, err := from.objects.info(ref.ID); err == nil {
			list.WriteString("^" + ref.ID + "\n")
		}
	}
	if err := r.pipePack(ctx, from, &list); err != nil {
		return fmt.Errorf("copy objects from %s: %w", from.dir, err)
	}
	return nil
}

// pipePack runs git pack-objects there and git index-pack here, joined by a
// pipe. (git fetch would hand the path of the other one to a shell.)
func (r *Repo) pipePack(ctx context.Context, from *Repo, list *bytes.Buffer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pack := newCommand(ctx, []string{"--git-dir=" + from.dir, "pack-objects", "--revs", "--stdout", "-q", "--delta-base-offset", "--threads=1"}, nil)
	index := newCommand(ctx, []string{"--git-dir=" + r.dir, "index-pack", "--stdin", "--threads=1"}, nil)
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	packErrors, indexErrors := &head{max: maxStderr}, &head{max: maxStderr}
	pack.Stdin, pack.Stdout, pack.Stderr = list, writer, packErrors
	index.Stdin, index.Stderr = reader, indexErrors
	startPack := start(pack)
	startIndex := start(index)
	_ = errors.Join(reader.Close(), writer.Close()) // the children have their own
	if startPack != nil || startIndex != nil {
		cancel()
		if startPack == nil {
			_ = pack.Wait()
		}
		if startIndex == nil {
			_ = index.Wait()
		}
		return errors.Join(startPack, startIndex)
	}
	packErr, indexErr := pack.Wait(), index.Wait()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case packErr != nil:
		return fmt.Errorf("git pack-objects: %w: %s", packErr, firstLines(packErrors.String()))
	case indexErr != nil:
		return fmt.Errorf("git index-pack: %w: %s", indexErr, firstLines(indexErrors.String()))
	}
	return nil
}
