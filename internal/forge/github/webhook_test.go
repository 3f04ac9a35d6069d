package github

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/forge"
)

const hookSecret = "a secret of the webhook"

func sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func delivery(kind, body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/hooks/github", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(kindHeader, kind)
	r.Header.Set(deliveryHeader, "d-1")
	r.Header.Set(signatureHeader, sign(hookSecret, []byte(body)))
	return r
}

func newHook(t *testing.T) *Webhook {
	t.Helper()
	h, err := NewWebhook(hubs, hookSecret)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestDeliveries(t *testing.T) {
	const repo = `"repository": {"full_name": "Ada/Hubs"}, "sender": {"login": "bob"}`
	const other = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	from := func(kind, action string) forge.Delivery {
		return forge.Delivery{ID: "d-1", Kind: kind, Action: action, Repository: hubs, Sender: "bob"}
	}
	for _, test := range []struct {
		kind, body string
		want       forge.Event
	}{
		{"pull_request", `{"action": "synchronize", "number": 7, "pull_request": {"number": 7, "head": {"sha": "` + commitA + `"}}, "unknown": {}, ` + repo + `}`,
			forge.PullRequestEvent{Delivery: from("pull_request", "synchronize"), Number: 7, Head: commitA}},
		{"pull_request", `{"action": "closed", "pull_request": {"number": 7, "merged": true, "head": {"sha": "` + commitA + `"}}, ` + repo + `}`,
			forge.PullRequestEvent{Delivery: from("pull_request", "closed"), Number: 7, Head: commitA, Merged: true}},
		{"push", `{"ref": "refs/heads/feature/x", "before": "` + forge.ZeroID + `", "after": "` + commitA + `", "forced": false, ` + repo + `}`,
			forge.PushEvent{Delivery: from("push", ""), Update: forge.RefUpdate{Branch: "feature/x", Old: forge.ZeroID, New: commitA}}},
		{"push", `{"ref": "refs/heads/staging", "before": "` + other + `", "after": "` + commitA + `", "forced": true, ` + repo + `}`,
			forge.PushEvent{Delivery: from("push", ""), Update: forge.RefUpdate{Branch: "staging", Old: other, New: commitA}, Forced: true}},
		{"push", `{"ref": "refs/tags/v1", "before": "` + forge.ZeroID + `", "after": "` + commitA + `", ` + repo + `}`,
			forge.IgnoredEvent{Delivery: from("push", ""), Why: "it moved no branch"}},
		{"pull_request_review", `{"action": "submitted", "review": {"state": "changes_requested", "user": {"login": "eve"}}, "pull_request": {"number": 8}, ` + repo + `}`,
			forge.ReviewEvent{Delivery: from("pull_request_review", "submitted"), Number: 8, State: forge.ChangesRequested, Author: "eve"}},
		{"issue_comment", `{"action": "created", "issue": {"number": 9, "pull_request": {"url": "x"}}, "comment": {"id": 5, "body": "<b>&", "user": {"login": "bob"}}, ` + repo + `}`,
			forge.CommentEvent{Delivery: from("issue_comment", "created"), Number: 9, ID: 5, Author: "bob", Body: "<b>&"}},
		{"issue_comment", `{"action": "created", "issue": {"number": 9}, "comment": {"id": 5}, ` + repo + `}`,
			forge.IgnoredEvent{Delivery: from("issue_comment", "created"), Why: "it is about an issue, not a pull request"}},
		{"check_run", `{"action": "rerequested", "check_run": {"id": 3, "head_sha": "` + commitA + `", "external_id": "r1"}, ` + repo + `}`,
			forge.CheckEvent{Delivery: from("check_run", "rerequested"), ID: 3, Commit: commitA, ExternalID: "r1"}},
		{"check_suite", `{"action": "rerequested", "check_suite": {"id": 3, "head_sha": "` + commitA + `"}, ` + repo + `}`,
			forge.CheckEvent{Delivery: from("check_suite", "rerequested"), Commit: commitA}},
		{"check_run", `{"action": "created", "check_run": {"id": 3}, ` + repo + `}`,
			forge.IgnoredEvent{Delivery: from("check_run", "created"), Why: "nobody wants the check again"}},
		{"star", `{"action": "created", ` + repo + `}`,
			forge.IgnoredEvent{Delivery: from("star", "created"), Why: "hubship has no use for this kind"}},
		{"ping", `{"zen": "Design for failure.", "sender": {"login": "bob"}}`,
			forge.PingEvent{Delivery: forge.Delivery{ID: "d-1", Kind: "ping", Sender: "bob"}}},
		{"installation", `{"action": "created", "sender": {"login": "bob"}}`,
			forge.IgnoredEvent{Delivery: forge.Delivery{ID: "d-1", Kind: "installation", Action: "created", Sender: "bob"}, Why: "it is about no repository"}},
		{"push", `{"ref": "refs/heads/staging", "repository": {"full_name": "eve/hubs"}}`,
			forge.IgnoredEvent{Delivery: forge.Delivery{ID: "d-1", Kind: "push", Repository: forge.Repository{Owner: "eve", Name: "hubs"}}, Why: "it is about another repository"}},
	} {
		got, err := newHook(t).Read(delivery(test.kind, test.body))
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s %s\n got %+v, %v\nwant %+v", test.kind, test.body, got, err, test.want)
		}
		if got != nil && got.From().ID != "d-1" {
			t.Errorf("%s: delivery %q", test.kind, got.From().ID)
		}
	}
}

func TestDeliveriesThatAreRefused(t *testing.T) {
	const body = `{"repository": {"full_name": "ada/hubs"}, "pull_request": {"number": 7}}`
	for name, test := range map[string]struct {
		status int
		change func(r *http.Request)
	}{
		"method":             {405, func(r *http.Request) { r.Method = http.MethodGet }},
		"no signature":       {401, func(r *http.Request) { r.Header.Del(signatureHeader) }},
		"old signature only": {401, func(r *http.Request) { r.Header.Del(signatureHeader); r.Header.Set("X-Hub-Signature", "sha1=00") }},
		"two signatures":     {401, func(r *http.Request) { r.Header.Add(signatureHeader, r.Header.Get(signatureHeader)) }},
		"signature in front": {401, func(r *http.Request) {
			r.Header[http.CanonicalHeaderKey(signatureHeader)] = []string{"sha256=00", r.Header.Get(signatureHeader)}
		}},
		"another secret": {401, func(r *http.Request) { r.Header.Set(signatureHeader, sign("another secret entirely", []byte(body))) }},
		"no secret":      {401, func(r *http.Request) { r.Header.Set(signatureHeader, sign("", []byte(body))) }},
		"part of it": {401, func(r *http.Request) {
			r.Header.Set(signatureHeader, r.Header.Get(signatureHeader)[:len("sha256=")+32])
		}},
		"nothing of it": {401, func(r *http.Request) { r.Header.Set(signatureHeader, "sha256=") }},
		"more than it":  {401, func(r *http.Request) { r.Header.Set(signatureHeader, r.Header.Get(signatureHeader)+"00") }},
		"without prefix": {401, func(r *http.Request) {
			r.Header.Set(signatureHeader, strings.TrimPrefix(r.Header.Get(signatureHeader), "sha256="))
		}},
		"another algorithm": {401, func(r *http.Request) {
			r.Header.Set(signatureHeader, "sha1="+strings.TrimPrefix(r.Header.Get(signatureHeader), "sha256="))
		}},
		"body changed": {401, func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(strings.Replace(body, "7", "8", 1))) }},
		"empty":        {401, func(r *http.Request) { r.Body = http.NoBody }},
		"no kind":      {400, func(r *http.Request) { r.Header.Del(kindHeader) }},
		"two kinds":    {400, func(r *http.Request) { r.Header.Add(kindHeader, "ping") }},
		"no id":        {400, func(r *http.Request) { r.Header.Del(deliveryHeader) }},
		"a form":       {415, func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }},
		"no type":      {415, func(r *http.Request) { r.Header.Del("Content-Type") }},
		"long by header": {413, func(r *http.Request) {
			r.ContentLength = MaxDelivery + 1
		}},
	} {
		r := delivery("pull_request", body)
		test.change(r)
		event, err := newHook(t).Read(r)
		var refused *DeliveryError
		if !errors.As(err, &refused) || refused.Status != test.status || event != nil {
			t.Errorf("%s: %v, %v, expected %d", name, event, err, test.status)
		}
		if err != nil && strings.Contains(err.Error(), hookSecret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := newHook(t).Read(delivery("pull_request", body)); err != nil {
		t.Errorf("what the others are changed from: %v", err)
	}
}

// What is signed is genuine, and may yet be nonsense.
func TestDeliveriesThatSayNothing(t *testing.T) {
	for kind, bodies := range map[string][]string{
		"pull_request": {``, `null`, `[]`, `{`, `{"repository": {"full_name": "ada/hubs/x"}}`, `{"repository": {"full_name": "ada/hubs"}}`,
			`{"repository": {"full_name": "ada/hubs"}, "pull_request": {"number": "7"}}`, `{"repository": {"full_name": "ada/hubs"}, "pull_request": {}}`},
		"push": {`{"repository": {"full_name": "ada/hubs"}, "ref": "refs/heads/a..b", "before": "` + commitA + `", "after": "` + commitA + `"}`,
			`{"repository": {"full_name": "ada/hubs"}, "ref": "refs/heads/a", "before": "x", "after": "` + commitA + `"}`},
		"issue_comment":       {`{"repository": {"full_name": "ada/hubs"}, "issue": {"pull_request": {}}}`},
		"pull_request_review": {`{"repository": {"full_name": "ada/hubs"}, "pull_request": {"number": 7}}`},
		"check_run":           {`{"repository": {"full_name": "ada/hubs"}, "action": "rerequested"}`},
	} {
		for _, body := range bodies {
			event, err := newHook(t).Read(delivery(kind, body))
			if ignored, ok := event.(forge.IgnoredEvent); ok && body == `null` && ignored.Why != "" {
				continue // an empty object
			}
			var refused *DeliveryError
			if !errors.As(err, &refused) || refused.Status != http.StatusBadRequest {
				t.Errorf("%s %s: %+v, %v", kind, body, event, err)
			}
		}
	}
}

func TestLongDeliveries(t *testing.T) {
	body := bytes.Repeat([]byte(" "), MaxDelivery+1)
	for size, status := range map[int]int{MaxDelivery: 400, MaxDelivery + 1: 413} {
		r := httptest.NewRequest(http.MethodPost, "/", io.NopCloser(bytes.NewReader(body[:size])))
		r.ContentLength = -1
		r.Header.Set(signatureHeader, sign(hookSecret, body[:size]))
		r.Header.Set(kindHeader, "push")
		r.Header.Set(deliveryHeader, "d")
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
		_, err := newHook(t).Read(r)
		var refused *DeliveryError
		if !errors.As(err, &refused) || refused.Status != status {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

func TestWeakSecretsAreRefused(t *testing.T) {
	for _, secret := range []string{"", "short"} {
		if _, err := NewWebhook(hubs, secret); err == nil {
			t.Errorf("%q was taken", secret)
		}
	}
}

func FuzzDelivery(f *testing.F) {
	f.Add("push", `{"ref": "refs/heads/a"}`)
	f.Fuzz(func(t *testing.T, kind, body string) {
		h := newHook(t)
		r := delivery("x", body)
		r.Header.Set(kindHeader, kind)
		event, err := h.Read(r)
		if (event == nil) == (err == nil) {
			t.Errorf("%v, %v", event, err)
		}
	})
}
