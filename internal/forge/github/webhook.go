package github

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// MaxDelivery bounds the bytes of a delivery: GitHub sends no longer ones.
const MaxDelivery = 25 << 20

const (
	signatureHeader = "X-Hub-Signature-256"
	kindHeader      = "X-GitHub-Event"
	deliveryHeader  = "X-GitHub-Delivery"
	minSecret       = 16 // bytes
	maxName         = 100
)

// DeliveryError is why a delivery was not read.
type DeliveryError struct {
	Status int // of HTTP, to answer with
	Err    error
}

func (e *DeliveryError) Error() string { return "webhook: " + e.Err.Error() }

// HTTPStatus is what to answer with.
func (e *DeliveryError) HTTPStatus() int { return e.Status }

// Unwrap returns the cause.
func (e *DeliveryError) Unwrap() error { return e.Err }

// Webhook reads what a forge delivers about one repository.
type Webhook struct {
	repo   forge.Repository
	secret []byte
}

// NewWebhook returns a Webhook. The secret is the one that the forge signs
// with.
func NewWebhook(repo forge.Repository, secret string) (*Webhook, error) {
	if err := repo.Validate(); err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	if len(secret) < minSecret {
		return nil, model.WithHint(fmt.Errorf("webhook: the secret has %d bytes, and needs %d", len(secret), minSecret), "make a random one, and set it on the forge too")
	}
	return &Webhook{repo: repo, secret: []byte(secret)}, nil
}

// Read reads a delivery. Its errors are of type *DeliveryError; nothing of a
// delivery is looked at before its signature is found to be right. What is
// genuine but of no use, another repository's event among it, is an
// IgnoredEvent. The caller bounds how long a request may take.
func (h *Webhook) Read(r *http.Request) (forge.Event, error) {
	if r.Method != http.MethodPost {
		return nil, &DeliveryError{http.StatusMethodNotAllowed, fmt.Errorf("the method is %.20q, not POST", r.Method)}
	}
	signature, err := single(r.Header, signatureHeader)
	if err != nil {
		return nil, &DeliveryError{http.StatusUnauthorized, model.WithHint(err, "set the webhook's secret on the forge")}
	}
	body, err := read(r)
	if err != nil {
		return nil, err
	}
	if !h.genuine(signature, body) {
		return nil, &DeliveryError{http.StatusUnauthorized, model.WithHint(errors.New("the signature is wrong"), "set the same secret here and on the forge")}
	}
	return h.event(r.Header, body)
}

// single returns the value of a header that must be there once.
func single(h http.Header, name string) (string, error) {
	switch values := h.Values(name); len(values) {
	case 1:
		return values[0], nil
	case 0:
		return "", fmt.Errorf("the header %s is missing", name)
	default:
		return "", fmt.Errorf("the header %s is there %d times", name, len(values))
	}
}

func read(r *http.Request) ([]byte, error) {
	tooLong := &DeliveryError{http.StatusRequestEntityTooLarge, fmt.Errorf("the delivery is longer than %d MiB", MaxDelivery>>20)}
	if r.ContentLength > MaxDelivery {
		return nil, tooLong
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxDelivery+1))
	if err != nil {
		return nil, &DeliveryError{http.StatusBadRequest, fmt.Errorf("read the delivery: %w", err)}
	}
	if len(body) > MaxDelivery {
		return nil, tooLong
	}
	return body, nil
}

// genuine compares in constant time.
func (h *Webhook) genuine(signature string, body []byte) bool {
	text, ok := strings.CutPrefix(signature, "sha256=")
	given, err := hex.DecodeString(text)
	if !ok || err != nil {
		return false
	}
	mac := hmac.New(sha256.New, h.secret)
	mac.Write(body)
	return hmac.Equal(given, mac.Sum(nil))
}

type account struct {
	Login string `json:"login"`
}

// payload is what hubship reads of deliveries, whatever their kind.
type payload struct {
	Action     string `json:"action"`
	Repository *struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
	Sender account `json:"sender"`

	PullRequest *struct {
		Number int  `json:"number"`
		Merged bool `json:"merged"`
		Head   struct {
			SHA string `json:"sha"`
		} `json:"head"`
	} `json:"pull_request"`
	Review *struct {
		State string  `json:"state"`
		User  account `json:"user"`
	} `json:"review"`
	Issue *struct {
		Number      int              `json:"number"`
		PullRequest *json.RawMessage `json:"pull_request"`
	} `json:"issue"`
	Comment *struct {
		ID   int64   `json:"id"`
		Body string  `json:"body"`
		User account `json:"user"`
	} `json:"comment"`
	CheckRun *struct {
		ID         int64  `json:"id"`
		HeadSHA    string `json:"head_sha"`
		ExternalID string `json:"external_id"`
	} `json:"check_run"`
	CheckSuite *struct {
		HeadSHA string `json:"head_sha"`
	} `json:"check_suite"`

	Ref    string `json:"ref"`
	Before string `json:"before"`
	After  string `json:"after"`
	Forced bool   `json:"forced"`
}

// event reads a genuine delivery.
func (h *Webhook) event(header http.Header, body []byte) (forge.Event, error) {
	kind, err := single(header, kindHeader)
	if err != nil {
		return nil, &DeliveryError{http.StatusBadRequest, err}
	}
	id, err := single(header, deliveryHeader)
	if err != nil {
		return nil, &DeliveryError{http.StatusBadRequest, err}
	}
	d := forge.Delivery{ID: plain(forge.Shorten(id, maxName)), Kind: plain(forge.Shorten(kind, maxName))}
	if media, _, err := mime.ParseMediaType(header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, &DeliveryError{http.StatusUnsupportedMediaType, model.WithHint(errors.New("the delivery is not JSON"), "set the webhook's content type to application/json on the forge")}
	}
	var p payload
	if err := json.Unmarshal(body, &p); err != nil {
		// The error would show what was delivered.
		return nil, &DeliveryError{http.StatusBadRequest, fmt.Errorf("%s %s is not as such a delivery should be", d.Kind, d.ID)}
	}
	d.Action, d.Sender = p.Action, p.Sender.Login
	if d.Kind == "ping" {
		return forge.PingEvent{Delivery: d}, nil
	}
	if p.Repository == nil {
		return forge.IgnoredEvent{Delivery: d, Why: "it is about no repository"}, nil
	}
	if d.Repository, err = forge.ParseRepository(p.Repository.FullName); err != nil {
		return nil, &DeliveryError{http.StatusBadRequest, err}
	}
	if !strings.EqualFold(d.Repository.String(), h.repo.String()) {
		return forge.IgnoredEvent{Delivery: d, Why: "it is about another repository"}, nil
	}
	d.Repository = h.repo
	event := p.event(d)
	if event == nil {
		return nil, &DeliveryError{http.StatusBadRequest, fmt.Errorf("%s %s says too little", d.Kind, d.ID)}
	}
	return event, nil
}

// event is the delivery's event, or nil when it lacks what such an event has.
func (p *payload) event(d forge.Delivery) forge.Event {
	switch d.Kind {
	case "pull_request":
		if p.PullRequest != nil && p.PullRequest.Number > 0 {
			return forge.PullRequestEvent{Delivery: d, Number: p.PullRequest.Number, Head: p.PullRequest.Head.SHA, Merged: p.PullRequest.Merged}
		}
	case "push":
		return p.push(d)
	case "pull_request_review":
		if p.PullRequest != nil && p.PullRequest.Number > 0 && p.Review != nil {
			return forge.ReviewEvent{Delivery: d, Number: p.PullRequest.Number, State: strings.ToUpper(p.Review.State), Author: p.Review.User.Login}
		}
	case "issue_comment":
		if p.Issue == nil || p.Comment == nil {
			return nil
		}
		if p.Issue.PullRequest == nil {
			return forge.IgnoredEvent{Delivery: d, Why: "it is about an issue, not a pull request"}
		}
		return forge.CommentEvent{Delivery: d, Number: p.Issue.Number, ID: p.Comment.ID, Author: p.Comment.User.Login, Body: p.Comment.Body}
	case "check_run", "check_suite":
		return p.check(d)
	default:
		return forge.IgnoredEvent{Delivery: d, Why: "hubship has no use for this kind"}
	}
	return nil
}

func (p *payload) push(d forge.Delivery) forge.Event {
	branch, ok := strings.CutPrefix(p.Ref, "refs/heads/")
	if !ok {
		return forge.IgnoredEvent{Delivery: d, Why: "it moved no branch"}
	}
	for _, id := range []string{p.Before, p.After} {
		if id != forge.ZeroID && forge.CheckCommit(id) != nil {
			return nil
		}
	}
	if forge.CheckBranch(branch) != nil {
		return nil
	}
	return forge.PushEvent{Delivery: d, Update: forge.RefUpdate{Branch: branch, Old: p.Before, New: p.After}, Forced: p.Forced}
}

func (p *payload) check(d forge.Delivery) forge.Event {
	switch {
	case d.Action != "rerequested":
		return forge.IgnoredEvent{Delivery: d, Why: "nobody wants the check again"}
	case p.CheckRun != nil:
		return forge.CheckEvent{Delivery: d, ID: p.CheckRun.ID, Commit: p.CheckRun.HeadSHA, ExternalID: p.CheckRun.ExternalID}
	case p.CheckSuite != nil:
		return forge.CheckEvent{Delivery: d, Commit: p.CheckSuite.HeadSHA}
	}
	return nil
}
