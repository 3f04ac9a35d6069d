package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// Bounds of deployments; the oldest beyond them are dropped.
const (
	KeepDeployments        = 2000 // of a repository
	KeepDeploymentStatuses = 100  // of a deployment
)

// Inactive is the state of a deployment that another one took the place of.
const Inactive = "inactive"

// AddDeployment records a deployment.
func (s *Store) AddDeployment(ctx context.Context, d *Deployment) error {
	d.Created = Now()
	d.Updated = d.Created
	return explain("record deployment", s.write(ctx, func(tx *sql.Tx) error {
		if err := deployments.insert(ctx, tx, d); err != nil {
			return err
		}
		return dropOld(ctx, tx, "deployments", "repository = ?", KeepDeployments, d.Repository)
	}))
}

// dropOld removes all rows that a condition chooses but the newest ones.
func dropOld(ctx context.Context, tx *sql.Tx, table, where string, keep int, args ...any) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE "+where+" AND id <= (SELECT id FROM "+table+" WHERE "+where+" ORDER BY id DESC LIMIT 1 OFFSET ?)",
		append(append(append([]any{}, args...), args...), keep)...)
	return err
}

// Deployment returns one of a repository's deployments.
func (s *Store) Deployment(ctx context.Context, repository, id int64) (Deployment, error) {
	d, err := deployments.get(ctx, s.db, "id = ? AND repository = ?", id, repository)
	return d, explain("read deployment", err)
}

// DeploymentFilter chooses deployments of a repository; zero values choose all.
type DeploymentFilter struct {
	Repository                  int64
	SHA, Ref, Task, Environment string
	Limit                       int // 0 for all
	Offset                      int
}

// Deployments returns those that a filter chooses, newest first, and how many
// there are without its limit.
func (s *Store) Deployments(ctx context.Context, f DeploymentFilter) ([]Deployment, int, error) {
	where, args := []string{"repository = ?"}, []any{f.Repository}
	for _, c := range []struct{ column, value string }{{"sha", f.SHA}, {"ref", f.Ref}, {"task", f.Task}, {"environment", f.Environment}} {
		if c.value != "" {
			where, args = append(where, c.column+" = ?"), append(args, c.value)
		}
	}
	tail := "WHERE " + strings.Join(where, " AND ")
	var total int
	if err := s.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM deployments "+tail, args...).Scan(&total); err != nil {
		return nil, 0, explain("count deployments", err)
	}
	tail += " ORDER BY id DESC"
	if f.Limit > 0 {
		tail += fmt.Sprintf(" LIMIT %d OFFSET %d", f.Limit, f.Offset)
	}
	list, err := deployments.list(ctx, s.db, tail, args...)
	return list, total, explain("list deployments", err)
}

// AddDeploymentStatus records how a deployment goes. With replaces, one that
// succeeded makes those inactive that the environment had before; as on GitHub
// production's and transient ones are left as they are.
func (s *Store) AddDeploymentStatus(ctx context.Context, v *DeploymentStatus, replaces bool) error {
	v.Created = Now()
	return explain("record deployment status", s.write(ctx, func(tx *sql.Tx) error {
		if err := addDeploymentStatus(ctx, tx, v); err != nil || !replaces {
			return err
		}
		older, err := deployments.list(ctx, tx, `WHERE id < ? AND transient = 0 AND production = 0
			AND (repository, environment) = (SELECT repository, environment FROM deployments WHERE id = ?)
			AND (SELECT state FROM deployment_statuses WHERE deployment = deployments.id ORDER BY id DESC LIMIT 1) = 'success'`, v.Deployment, v.Deployment)
		if err != nil {
			return err
		}
		for _, d := range older {
			if err := addDeploymentStatus(ctx, tx, &DeploymentStatus{Deployment: d.ID, State: Inactive, Environment: d.Environment, Creator: v.Creator, Created: v.Created}); err != nil {
				return err
			}
		}
		return nil
	}))
}

func addDeploymentStatus(ctx context.Context, tx *sql.Tx, v *DeploymentStatus) error {
	if err := deploymentStatuses.insert(ctx, tx, v); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE deployments SET updated = ? WHERE id = ?", v.Created, v.Deployment); err != nil {
		return err
	}
	return dropOld(ctx, tx, "deployment_statuses", "deployment = ?", KeepDeploymentStatuses, v.Deployment)
}

// DeploymentStatuses returns those of a deployment, newest first.
func (s *Store) DeploymentStatuses(ctx context.Context, deployment int64) ([]DeploymentStatus, error) {
	list, err := deploymentStatuses.list(ctx, s.db, "WHERE deployment = ? ORDER BY id DESC", deployment)
	return list, explain("list deployment statuses", err)
}
