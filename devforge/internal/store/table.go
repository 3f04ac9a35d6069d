package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// querier is the database or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// table maps rows to values of T. The first column is the id.
type table[T any] struct {
	name   string
	cols   string
	fields func(*T) []any // pointers, in the order of cols
}

func (t table[T]) insert(ctx context.Context, q querier, v *T) error {
	marks := strings.Repeat(", ?", strings.Count(t.cols, ","))
	fields := t.fields(v)
	_, rest, _ := strings.Cut(t.cols, ", ")
	res, err := q.ExecContext(ctx, "INSERT INTO "+t.name+" ("+rest+") VALUES ("+marks[2:]+")", fields[1:]...)
	if err != nil {
		return err
	}
	id, err := res.LastInsertId()
	if err == nil {
		*(fields[0].(*int64)) = id
	}
	return err
}

func (t table[T]) update(ctx context.Context, q querier, v *T) error {
	fields := t.fields(v)
	_, rest, _ := strings.Cut(t.cols, ", ")
	res, err := q.ExecContext(ctx, "UPDATE "+t.name+" SET "+strings.ReplaceAll(rest, ", ", " = ?, ")+" = ? WHERE id = ?", append(fields[1:], fields[0])...)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return errors.Join(err, fmt.Errorf("%s %d: %w", t.name, *(fields[0].(*int64)), ErrNotFound))
	}
	return nil
}

// list selects rows; tail is what follows the table's name and holds no value.
func (t table[T]) list(ctx context.Context, q querier, tail string, args ...any) (_ []T, err error) {
	rows, err := q.QueryContext(ctx, "SELECT "+t.cols+" FROM "+t.name+" "+tail, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	list := []T{}
	for rows.Next() {
		var v T
		if err := rows.Scan(t.fields(&v)...); err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, rows.Err()
}

func (t table[T]) get(ctx context.Context, q querier, where string, args ...any) (T, error) {
	list, err := t.list(ctx, q, "WHERE "+where+" LIMIT 1", args...)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		var none T
		return none, err
	}
	return list[0], nil
}

var (
	accounts = table[Account]{"accounts", "id, login, name, email, kind, role, password, disabled, created", func(v *Account) []any {
		return []any{&v.ID, &v.Login, &v.Name, &v.Email, &v.Kind, &v.Role, &v.password, &v.Disabled, &v.Created}
	}}
	tokens = table[Token]{"tokens", "id, account, name, hash, scopes, created, expires", func(v *Token) []any {
		return []any{&v.ID, &v.Account, &v.Name, &v.hash, &v.Scopes, &v.Created, &v.Expires}
	}}
	repositories = table[Repository]{"repositories", "id, owner, name, dir, parent, default_branch, description, created, pushed, last_number", func(v *Repository) []any {
		return []any{&v.ID, &v.Owner, &v.Name, &v.Dir, &v.Parent, &v.DefaultBranch, &v.Description, &v.Created, &v.Pushed, &v.LastNumber}
	}}
	pulls = table[Pull]{"pulls", "id, repository, number, title, body, author, draft, closed, merged, merged_by, merge_sha, base_ref, base_sha, " +
		"head_repo, head_owner, head_ref, head_sha, test_base, test_head, test_sha, can_modify, created, updated", func(v *Pull) []any {
		return []any{&v.ID, &v.Repository, &v.Number, &v.Title, &v.Body, &v.Author, &v.Draft, &v.Closed, &v.Merged, &v.MergedBy, &v.MergeSHA, &v.BaseRef, &v.BaseSHA,
			&v.HeadRepo, &v.HeadOwner, &v.HeadRef, &v.HeadSHA, &v.TestBase, &v.TestHead, &v.TestSHA, &v.CanModify, &v.Created, &v.Updated}
	}}
	reviews = table[Review]{"reviews", "id, pull, author, state, body, sha, submitted", func(v *Review) []any {
		return []any{&v.ID, &v.Pull, &v.Author, &v.State, &v.Body, &v.SHA, &v.Submitted}
	}}
	lineComments = table[LineComment]{"line_comments", "id, pull, review, reply_to, author, sha, path, side, line, start_line, position, hunk, blob, body, created, updated", func(v *LineComment) []any {
		return []any{&v.ID, &v.Pull, &v.Review, &v.ReplyTo, &v.Author, &v.SHA, &v.Path, &v.Side, &v.Line, &v.StartLine, &v.Position, &v.Hunk, &v.Blob, &v.Body, &v.Created, &v.Updated}
	}}
	comments = table[Comment]{"comments", "id, repository, number, author, body, created, updated", func(v *Comment) []any {
		return []any{&v.ID, &v.Repository, &v.Number, &v.Author, &v.Body, &v.Created, &v.Updated}
	}}
	statuses = table[Status]{"statuses", "id, repository, sha, context, state, description, target, creator, created, base_ref, base_sha", func(v *Status) []any {
		return []any{&v.ID, &v.Repository, &v.SHA, &v.Context, &v.State, &v.Description, &v.Target, &v.Creator, &v.Created, &v.BaseRef, &v.BaseSHA}
	}}
	checks = table[Check]{"checks", "id, repository, sha, name, external, details, status, conclusion, started, completed, title, summary, text, annotations, creator", func(v *Check) []any {
		return []any{&v.ID, &v.Repository, &v.SHA, &v.Name, &v.External, &v.Details, &v.Status, &v.Conclusion, &v.Started, &v.Completed, &v.Title, &v.Summary, &v.Text, &v.Annotations, &v.Creator}
	}}
	protections = table[Protection]{"protections", "id, repository, branch, body", func(v *Protection) []any {
		return []any{&v.ID, &v.Repository, &v.Branch, &v.Body}
	}}
	hooks = table[Hook]{"hooks", "id, repository, url, content_type, secret, insecure, events, active, created, updated", func(v *Hook) []any {
		return []any{&v.ID, &v.Repository, &v.URL, &v.ContentType, &v.Secret, &v.Insecure, &v.Events, &v.Active, &v.Created, &v.Updated}
	}}
	deliveries = table[Delivery]{"deliveries", "id, hook, guid, event, action, payload, redelivery, attempts, due, delivered, duration, code, status, req_headers, res_headers, res_body", func(v *Delivery) []any {
		return []any{&v.ID, &v.Hook, &v.GUID, &v.Event, &v.Action, &v.Payload, &v.Redelivery, &v.Attempts, &v.Due, &v.Delivered, &v.Duration, &v.Code, &v.Status, &v.ReqHeaders, &v.ResHeaders, &v.ResBody}
	}}
	deployments = table[Deployment]{"deployments", "id, repository, sha, ref, task, environment, description, payload, transient, production, creator, created, updated", func(v *Deployment) []any {
		return []any{&v.ID, &v.Repository, &v.SHA, &v.Ref, &v.Task, &v.Environment, &v.Description, &v.Payload, &v.Transient, &v.Production, &v.Creator, &v.Created, &v.Updated}
	}}
	deploymentStatuses = table[DeploymentStatus]{"deployment_statuses", "id, deployment, state, description, log, environment, environment_url, creator, created", func(v *DeploymentStatus) []any {
		return []any{&v.ID, &v.Deployment, &v.State, &v.Description, &v.Log, &v.Environment, &v.EnvironmentURL, &v.Creator, &v.Created}
	}}
	labels = table[Label]{"labels", "id, repository, name, color, description", func(v *Label) []any {
		return []any{&v.ID, &v.Repository, &v.Name, &v.Color, &v.Description}
	}}
)
