package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// AddRepository records a repository and sets its id.
func (s *Store) AddRepository(ctx context.Context, r *Repository) error {
	r.Created = Now()
	r.Pushed = r.Created
	return add(ctx, s, repositories, "record repository "+r.Name, r)
}

// Repository returns one by its id.
func (s *Store) Repository(ctx context.Context, id int64) (Repository, error) {
	r, err := repositories.get(ctx, s.db, "id = ?", id)
	return r, explain(fmt.Sprintf("read repository %d", id), err)
}

// RepositoryByName returns one by its owner's login and its name.
func (s *Store) RepositoryByName(ctx context.Context, owner, name string) (Repository, error) {
	r, err := repositories.get(ctx, s.db, "owner = (SELECT id FROM accounts WHERE login = ?) AND name = ?", owner, name)
	return r, explain("read repository", err)
}

// RepositoryByDir returns the one in a folder below the root.
func (s *Store) RepositoryByDir(ctx context.Context, dir string) (Repository, error) {
	r, err := repositories.get(ctx, s.db, "dir = ?", dir)
	return r, explain("read repository", err)
}

// Repositories returns all of them, in the order they were made.
func (s *Store) Repositories(ctx context.Context) ([]Repository, error) {
	list, err := repositories.list(ctx, s.db, "ORDER BY id")
	return list, explain("list repositories", err)
}

// Forks returns the direct forks of a repository, newest first.
func (s *Store) Forks(ctx context.Context, id int64) ([]Repository, error) {
	list, err := repositories.list(ctx, s.db, "WHERE parent = ? ORDER BY id DESC", id)
	return list, explain("list forks", err)
}

// DeleteRepository removes a repository with its pull requests and all else
// that belongs to it. It fails while another one is a fork of it.
func (s *Store) DeleteRepository(ctx context.Context, id int64) error {
	return explain("delete repository", s.exec(ctx, "DELETE FROM repositories WHERE id = ?", id))
}

// SetPushed notes when a repository was pushed to.
func (s *Store) SetPushed(ctx context.Context, id int64) error {
	return explain("record a push", s.exec(ctx, "UPDATE repositories SET pushed = ? WHERE id = ?", Now(), id))
}

// AddPull records a pull request under the next number of its repository. The
// error is ErrExists when an open one has the same head and base.
func (s *Store) AddPull(ctx context.Context, p *Pull) error {
	p.Created = Now()
	p.Updated = p.Created
	return explain("record pull request", s.write(ctx, func(tx *sql.Tx) error {
		same, err := pulls.list(ctx, tx, "WHERE repository = ? AND base_ref = ? AND head_repo = ? AND head_ref = ? AND closed = 0",
			p.Repository, p.BaseRef, p.HeadRepo, p.HeadRef)
		if err != nil {
			return err
		}
		if len(same) > 0 {
			return ErrExists
		}
		err = tx.QueryRowContext(ctx, "UPDATE repositories SET last_number = last_number + 1 WHERE id = ? RETURNING last_number", p.Repository).Scan(&p.Number)
		if err != nil {
			return err
		}
		return pulls.insert(ctx, tx, p)
	}))
}

// Pull returns one by its number.
func (s *Store) Pull(ctx context.Context, repository, number int64) (Pull, error) {
	p, err := pulls.get(ctx, s.db, "repository = ? AND number = ?", repository, number)
	return p, explain(fmt.Sprintf("read pull request %d", number), err)
}

// EditPull changes a pull request as it is in the database now: what two
// change at once is not lost. An error of edit changes nothing and is returned.
func (s *Store) EditPull(ctx context.Context, repository, number int64, edit func(*Pull) error) (Pull, error) {
	var p Pull
	err := s.write(ctx, func(tx *sql.Tx) error {
		var err error
		if p, err = pulls.get(ctx, tx, "repository = ? AND number = ?", repository, number); err != nil {
			return err
		}
		if err := edit(&p); err != nil {
			return err
		}
		return pulls.update(ctx, tx, &p)
	})
	return p, explain(fmt.Sprintf("change pull request %d", number), err)
}

// PullFilter chooses pull requests; zero values choose all.
type PullFilter struct {
	Repository int64
	HeadRepo   int64
	HeadOwner  int64
	HeadRef    string
	HeadSHA    string
	BaseRef    string
	State      string // open, closed, or all
	Sort       string // created or updated
	Ascending  bool
	Limit      int // 0 for all
	Offset     int
}

// Pulls returns the pull requests that a filter chooses, and how many there
// are without its limit.
func (s *Store) Pulls(ctx context.Context, f PullFilter) ([]Pull, int, error) {
	var where []string
	var args []any
	is := func(column string, value any, set bool) {
		if set {
			where, args = append(where, column+" = ?"), append(args, value)
		}
	}
	is("repository", f.Repository, f.Repository != 0)
	is("head_repo", f.HeadRepo, f.HeadRepo != 0)
	is("head_owner", f.HeadOwner, f.HeadOwner != 0)
	is("head_ref", f.HeadRef, f.HeadRef != "")
	is("head_sha", f.HeadSHA, f.HeadSHA != "")
	is("base_ref", f.BaseRef, f.BaseRef != "")
	switch f.State {
	case "open":
		where = append(where, "closed = 0")
	case "closed":
		where = append(where, "closed > 0")
	}
	tail := ""
	if len(where) > 0 {
		tail = " WHERE " + strings.Join(where, " AND ")
	}
	var total int
	if err := s.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM pulls"+tail, args...).Scan(&total); err != nil {
		return nil, 0, explain("count pull requests", err)
	}
	order, direction := "created", "DESC"
	if f.Sort == "updated" {
		order = "updated"
	}
	if f.Ascending {
		direction = "ASC"
	}
	tail += " ORDER BY " + order + " " + direction + ", number " + direction
	if f.Limit > 0 {
		tail += fmt.Sprintf(" LIMIT %d OFFSET %d", f.Limit, f.Offset)
	}
	list, err := pulls.list(ctx, s.db, tail, args...)
	return list, total, explain("list pull requests", err)
}

// RequestedReviewers returns who was asked for a review and has not given it.
func (s *Store) RequestedReviewers(ctx context.Context, pull int64) ([]Account, error) {
	list, err := accounts.list(ctx, s.db, "WHERE id IN (SELECT account FROM review_requests WHERE pull = ?) ORDER BY id", pull)
	return list, explain("list requested reviewers", err)
}

// touch notes that something happened to a pull request, by which those who
// poll find it.
func touch(ctx context.Context, tx *sql.Tx, where string, args ...any) error {
	_, err := tx.ExecContext(ctx, "UPDATE pulls SET updated = ? WHERE "+where, append([]any{Now()}, args...)...)
	return err
}

// change runs one statement about a pull request, and touches it.
func (s *Store) change(ctx context.Context, pull int64, query string, args ...any) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, query, args...); err != nil {
			return err
		}
		return touch(ctx, tx, "id = ?", pull)
	})
}

// RequestReview asks for a review; asking twice is asking once.
func (s *Store) RequestReview(ctx context.Context, pull, account int64) error {
	return explain("request a review", s.change(ctx, pull, "INSERT OR IGNORE INTO review_requests (pull, account) VALUES (?, ?)", pull, account))
}

// AddReview records a review with its comments on lines, and answers the request
// for it.
func (s *Store) AddReview(ctx context.Context, r *Review, on ...*LineComment) error {
	return explain("record review", s.write(ctx, func(tx *sql.Tx) error {
		if err := reviews.insert(ctx, tx, r); err != nil {
			return err
		}
		for _, c := range on {
			c.Pull, c.Review, c.Author, c.Created = r.Pull, r.ID, r.Author, Now()
			c.Updated = c.Created
			if err := lineComments.insert(ctx, tx, c); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM review_requests WHERE pull = ? AND account = ?", r.Pull, r.Author); err != nil {
			return err
		}
		return touch(ctx, tx, "id = ?", r.Pull)
	}))
}

// LineComments returns those of a pull request, oldest first.
func (s *Store) LineComments(ctx context.Context, pull int64) ([]LineComment, error) {
	list, err := lineComments.list(ctx, s.db, "WHERE pull = ? ORDER BY id", pull)
	return list, explain("list comments on lines", err)
}

// CountLineComments says how many a pull request has.
func (s *Store) CountLineComments(ctx context.Context, pull int64) (n int, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM line_comments WHERE pull = ?", pull).Scan(&n)
	return n, explain("count comments on lines", err)
}

// LineComment returns one of a repository's, and its pull request.
func (s *Store) LineComment(ctx context.Context, repository, id int64) (LineComment, Pull, error) {
	c, err := lineComments.get(ctx, s.db, "id = ?", id)
	if err != nil {
		return c, Pull{}, explain("find comment on a line", err)
	}
	p, err := pulls.get(ctx, s.db, "id = ? AND repository = ?", c.Pull, repository)
	return c, p, explain("find comment on a line", err)
}

// SetLineComment changes the text of a comment on a line.
func (s *Store) SetLineComment(ctx context.Context, c *LineComment, body string) error {
	c.Body, c.Updated = body, Now()
	return explain("change comment on a line", s.change(ctx, c.Pull, "UPDATE line_comments SET body = ?, updated = ? WHERE id = ?", c.Body, c.Updated, c.ID))
}

// EditReview changes a review as it is now, like EditPull.
func (s *Store) EditReview(ctx context.Context, pull, id int64, edit func(*Review) error) (Review, error) {
	var r Review
	err := s.write(ctx, func(tx *sql.Tx) error {
		var err error
		if r, err = reviews.get(ctx, tx, "id = ? AND pull = ?", id, pull); err != nil {
			return err
		}
		if err := edit(&r); err != nil {
			return err
		}
		if err := reviews.update(ctx, tx, &r); err != nil {
			return err
		}
		return touch(ctx, tx, "id = ?", pull)
	})
	return r, explain("change review", err)
}

// Reviews returns those of a pull request, oldest first.
func (s *Store) Reviews(ctx context.Context, pull int64) ([]Review, error) {
	list, err := reviews.list(ctx, s.db, "WHERE pull = ? ORDER BY id", pull)
	return list, explain("list reviews", err)
}

// AddComment records a comment.
func (s *Store) AddComment(ctx context.Context, c *Comment) error {
	c.Created = Now()
	c.Updated = c.Created
	return explain("record comment", s.write(ctx, func(tx *sql.Tx) error {
		if err := comments.insert(ctx, tx, c); err != nil {
			return err
		}
		return touch(ctx, tx, "repository = ? AND number = ?", c.Repository, c.Number)
	}))
}

// Comment returns one of a repository's comments.
func (s *Store) Comment(ctx context.Context, repository, id int64) (Comment, error) {
	c, err := comments.get(ctx, s.db, "id = ? AND repository = ?", id, repository)
	return c, explain("read comment", err)
}

// PutComment stores a comment that has changed.
func (s *Store) PutComment(ctx context.Context, c *Comment) error {
	c.Updated = Now()
	return explain("change comment", s.write(ctx, func(tx *sql.Tx) error {
		if err := comments.update(ctx, tx, c); err != nil {
			return err
		}
		return touch(ctx, tx, "repository = ? AND number = ?", c.Repository, c.Number)
	}))
}

// Comments returns those of a pull request since a time, oldest first.
func (s *Store) Comments(ctx context.Context, repository, number int64, since time.Time) ([]Comment, error) {
	list, err := comments.list(ctx, s.db, "WHERE repository = ? AND number = ? AND updated >= ? ORDER BY id", repository, number, Time{since})
	return list, explain("list comments", err)
}

// Bounds of the statuses of a commit.
const (
	KeepStatuses = 50  // newest ones that are kept of a context
	MaxContexts  = 500 // that a commit has statuses in
)

// ErrTooMany says that a bound of what is kept was reached.
var ErrTooMany = fmt.Errorf("the commit already has statuses in %d contexts", MaxContexts)

// AddStatus records a status, and drops the oldest ones of its context beyond
// KeepStatuses. Unbounded says that it is recorded in whatever number of contexts
// there are. One that says what the context's newest for the same base says
// already is that one, and nothing is recorded.
func (s *Store) AddStatus(ctx context.Context, v *Status, unbounded bool) (recorded bool, err error) {
	v.Created = Now()
	err = s.write(ctx, func(tx *sql.Tx) error {
		newest, err := statuses.list(ctx, tx, "WHERE repository = ? AND sha = ? AND context = ? AND base_ref = ? ORDER BY id DESC LIMIT 1", v.Repository, v.SHA, v.Context, v.BaseRef)
		if err != nil {
			return err
		}
		if len(newest) == 0 {
			var n int
			if err := tx.QueryRowContext(ctx, "SELECT COUNT(DISTINCT context) FROM statuses WHERE repository = ? AND sha = ?", v.Repository, v.SHA).Scan(&n); err != nil {
				return err
			}
			if n >= MaxContexts && !unbounded {
				return ErrTooMany
			}
		} else if same := newest[0]; same.State == v.State && same.Description == v.Description && same.Target == v.Target && same.Creator == v.Creator && same.BaseSHA == v.BaseSHA {
			*v = same
			return nil
		}
		recorded = true
		if err := statuses.insert(ctx, tx, v); err != nil {
			return err
		}
		return dropOld(ctx, tx, "statuses", "repository = ? AND sha = ? AND context = ? AND base_ref = ?", KeepStatuses, v.Repository, v.SHA, v.Context, v.BaseRef)
	})
	return recorded && err == nil, explain("record status", err)
}

// Statuses returns all statuses of a commit, newest first.
func (s *Store) Statuses(ctx context.Context, repository int64, sha string) ([]Status, error) {
	list, err := statuses.list(ctx, s.db, "WHERE repository = ? AND sha = ? ORDER BY id DESC", repository, sha)
	return list, explain("list statuses", err)
}

// KeepChecks is how many check runs of a name are kept of a commit.
const KeepChecks = 50

// AddCheck records a check run, and drops the oldest ones of its name beyond
// KeepChecks.
func (s *Store) AddCheck(ctx context.Context, c *Check) error {
	return explain("record check run", s.write(ctx, func(tx *sql.Tx) error {
		if err := checks.insert(ctx, tx, c); err != nil {
			return err
		}
		return dropOld(ctx, tx, "checks", "repository = ? AND sha = ? AND name = ?", KeepChecks, c.Repository, c.SHA, c.Name)
	}))
}

// EditCheck changes a check run as it is now, like EditPull.
func (s *Store) EditCheck(ctx context.Context, repository, id int64, edit func(*Check) error) (Check, error) {
	var c Check
	err := s.write(ctx, func(tx *sql.Tx) error {
		var err error
		if c, err = checks.get(ctx, tx, "id = ? AND repository = ?", id, repository); err != nil {
			return err
		}
		if err := edit(&c); err != nil {
			return err
		}
		return checks.update(ctx, tx, &c)
	})
	return c, explain("change check run", err)
}

// Check returns a check run.
func (s *Store) Check(ctx context.Context, repository, id int64) (Check, error) {
	c, err := checks.get(ctx, s.db, "id = ? AND repository = ?", id, repository)
	return c, explain("read check run", err)
}

// Checks returns the check runs of a commit, newest first.
func (s *Store) Checks(ctx context.Context, repository int64, sha string) ([]Check, error) {
	list, err := checks.list(ctx, s.db, "WHERE repository = ? AND sha = ? ORDER BY id DESC", repository, sha)
	return list, explain("list check runs", err)
}

// Protection returns what holds for a branch; ErrNotFound when nothing does.
func (s *Store) Protection(ctx context.Context, repository int64, branch string) (Protection, error) {
	p, err := protections.get(ctx, s.db, "repository = ? AND branch = ?", repository, branch)
	return p, explain("read branch protection", err)
}

// Protections returns those of all branches of a repository.
func (s *Store) Protections(ctx context.Context, repository int64) ([]Protection, error) {
	list, err := protections.list(ctx, s.db, "WHERE repository = ? ORDER BY branch", repository)
	return list, explain("list branch protections", err)
}

// SetProtection replaces what holds for a branch; an empty body removes it.
func (s *Store) SetProtection(ctx context.Context, repository int64, branch, body string) error {
	return explain("set branch protection", s.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM protections WHERE repository = ? AND branch = ?", repository, branch); err != nil || body == "" {
			return err
		}
		return protections.insert(ctx, tx, &Protection{Repository: repository, Branch: branch, Body: body})
	}))
}
