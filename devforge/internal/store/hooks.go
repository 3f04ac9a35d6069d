package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Bounds of webhooks.
const (
	MaxHooks       = 20  // of a repository
	KeepDeliveries = 500 // newest ones that are kept of a hook
)

// ErrTooManyHooks says that a repository has MaxHooks already.
var ErrTooManyHooks = fmt.Errorf("the repository already has %d webhooks", MaxHooks)

// AddHook records a webhook.
func (s *Store) AddHook(ctx context.Context, h *Hook) error {
	h.Created = Now()
	h.Updated = h.Created
	return explain("record webhook", s.write(ctx, func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM hooks WHERE repository = ?", h.Repository).Scan(&n); err != nil {
			return err
		}
		if n >= MaxHooks {
			return ErrTooManyHooks
		}
		return hooks.insert(ctx, tx, h)
	}))
}

// Hook returns a webhook.
func (s *Store) Hook(ctx context.Context, repository, id int64) (Hook, error) {
	h, err := hooks.get(ctx, s.db, "id = ? AND repository = ?", id, repository)
	return h, explain("read webhook", err)
}

// HookByID returns a webhook of any repository.
func (s *Store) HookByID(ctx context.Context, id int64) (Hook, error) {
	h, err := hooks.get(ctx, s.db, "id = ?", id)
	return h, explain("read webhook", err)
}

// PutHook stores a webhook that has changed.
func (s *Store) PutHook(ctx context.Context, h *Hook) error {
	h.Updated = Now()
	return put(ctx, s, hooks, "change webhook", h)
}

// DeleteHook removes a webhook with all its deliveries.
func (s *Store) DeleteHook(ctx context.Context, repository, id int64) error {
	return explain("delete webhook", s.exec(ctx, "DELETE FROM hooks WHERE id = ? AND repository = ?", id, repository))
}

// Hooks returns those of a repository, oldest first.
func (s *Store) Hooks(ctx context.Context, repository int64) ([]Hook, error) {
	list, err := hooks.list(ctx, s.db, "WHERE repository = ? ORDER BY id", repository)
	return list, explain("list webhooks", err)
}

// AddDelivery records a delivery, and drops the oldest ones of the hook beyond
// KeepDeliveries.
func (s *Store) AddDelivery(ctx context.Context, d *Delivery) error {
	return explain("record delivery", s.write(ctx, func(tx *sql.Tx) error {
		if err := deliveries.insert(ctx, tx, d); err != nil {
			return err
		}
		return dropOld(ctx, tx, "deliveries", "hook = ?", KeepDeliveries, d.Hook)
	}))
}

// PutDelivery stores what became of a delivery.
func (s *Store) PutDelivery(ctx context.Context, d *Delivery) error {
	return put(ctx, s, deliveries, "record delivery", d)
}

// Delivery returns one of a hook's deliveries.
func (s *Store) Delivery(ctx context.Context, hook, id int64) (Delivery, error) {
	d, err := deliveries.get(ctx, s.db, "hook = ? AND id = ?", hook, id)
	return d, explain("read delivery", err)
}

// Deliveries returns those of a hook with an id below before, newest first; a
// before of 0 is no bound.
func (s *Store) Deliveries(ctx context.Context, hook, before int64, limit int) ([]Delivery, error) {
	list, err := deliveries.list(ctx, s.db, "WHERE hook = ? AND (? = 0 OR id < ?) ORDER BY id DESC LIMIT ?", hook, before, before, limit)
	return list, explain("list deliveries", err)
}

// DueHooks returns the hooks that have deliveries whose time has come, and when
// the next one after these is due (zero if none).
func (s *Store) DueHooks(ctx context.Context, now time.Time) (ids []int64, next time.Time, err error) {
	defer func() { err = explain("find due deliveries", err) }()
	rows, err := s.db.QueryContext(ctx, "SELECT DISTINCT hook FROM deliveries WHERE due > 0 AND due <= ?", Time{now})
	if err != nil {
		return nil, time.Time{}, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, time.Time{}, err
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return nil, time.Time{}, err
	}
	later, err := deliveries.list(ctx, s.db, "WHERE due > ? ORDER BY due LIMIT 1", Time{now})
	if err != nil || len(later) == 0 {
		return ids, time.Time{}, err
	}
	return ids, later[0].Due.Time, nil
}

// DueDeliveries returns deliveries of a hook whose time has come, oldest first.
func (s *Store) DueDeliveries(ctx context.Context, hook int64, now time.Time, limit int) ([]Delivery, error) {
	list, err := deliveries.list(ctx, s.db, "WHERE hook = ? AND due > 0 AND due <= ? ORDER BY due, id LIMIT ?", hook, Time{now}, limit)
	return list, explain("find due deliveries", err)
}

// EnsureLabel returns the label of a repository by its name, made now if there
// is none.
func (s *Store) EnsureLabel(ctx context.Context, repository int64, name string) (Label, error) {
	l := Label{Repository: repository, Name: name, Color: "ededed"}
	err := s.write(ctx, func(tx *sql.Tx) error {
		list, err := labels.list(ctx, tx, "WHERE repository = ? AND name = ?", repository, name)
		if err != nil {
			return err
		}
		if len(list) > 0 {
			l = list[0]
			return nil
		}
		return labels.insert(ctx, tx, &l)
	})
	return l, explain("create label", err)
}

// PullLabels returns the labels that a pull request carries.
func (s *Store) PullLabels(ctx context.Context, pull int64) ([]Label, error) {
	list, err := labels.list(ctx, s.db, "WHERE id IN (SELECT label FROM pull_labels WHERE pull = ?) ORDER BY name", pull)
	return list, explain("list labels", err)
}

// AddPullLabel puts a label on a pull request; twice is once.
func (s *Store) AddPullLabel(ctx context.Context, pull, label int64) error {
	return explain("label pull request", s.change(ctx, pull, "INSERT OR IGNORE INTO pull_labels (pull, label) VALUES (?, ?)", pull, label))
}

// RemovePullLabel takes a label off a pull request.
func (s *Store) RemovePullLabel(ctx context.Context, pull int64, name string) error {
	return explain("remove label from pull request", s.change(ctx, pull,
		"DELETE FROM pull_labels WHERE pull = ? AND label IN (SELECT id FROM labels WHERE name = ?)", pull, name))
}
