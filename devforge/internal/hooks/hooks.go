// Package hooks brings the embedded forge's events to webhooks: signed as
// GitHub signs them, through a queue in the database that outlives the process,
// and tried again when nobody answers.
package hooks

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // X-Hub-Signature is SHA-1; X-Hub-Signature-256 stands beside it
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hubship/hubship/devforge/internal/store"
)

const (
	workers     = 16               // requests at once
	timeout     = 10 * time.Second // of one attempt, as on GitHub
	maxResponse = 64 << 10         // bytes of an answer that are kept
)

// DefaultDelays are how long after an attempt that failed the next one is.
var DefaultDelays = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}

// Sender delivers events. Run does the work.
type Sender struct {
	store  *store.Store
	log    *slog.Logger
	delays []time.Duration
	wake   chan struct{}
	safe   *http.Client
	blind  *http.Client // does not check certificates
}

// New returns a Sender; nil delays are DefaultDelays, a nil log slog.Default.
func New(s *store.Store, delays []time.Duration, log *slog.Logger) *Sender {
	if delays == nil {
		delays = DefaultDelays
	}
	if log == nil {
		log = slog.Default()
	}
	d := &Sender{store: s, log: log, delays: delays, wake: make(chan struct{}, 1)}
	d.Via(func(blind bool) http.RoundTripper {
		return &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: blind, MinVersion: tls.VersionTLS12}, //nolint:gosec // the hook's setting insecure_ssl says so
		}
	})
	return d
}

// Via sets by which transport deliveries go, before Run is called: where hooks
// point to is for people to say who are not to reach the networks around this
// machine. blind is for hooks that take any certificate.
func (s *Sender) Via(transport func(blind bool) http.RoundTripper) {
	s.safe, s.blind = client(transport(false)), client(transport(true))
}

func client(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Timeout: timeout, Transport: transport,
		// A redirect would carry the event where nobody allowed it to go.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Wants says whether a hook hears of an event.
func Wants(h store.Hook, event string) bool {
	if event == "ping" {
		return true
	}
	for e := range strings.SplitSeq(h.Events, ",") {
		if h.Active && (e == "*" || e == event) {
			return true
		}
	}
	return false
}

// Queue records an event for a hook. An empty guid makes a new one; that of an
// earlier delivery marks this as its repetition.
func (s *Sender) Queue(ctx context.Context, hook store.Hook, event, action string, payload []byte, guid string) (store.Delivery, error) {
	d := store.Delivery{Hook: hook.ID, GUID: guid, Event: event, Action: action, Payload: string(payload), Redelivery: guid != "", Due: store.Now(), Status: "pending"}
	if guid == "" {
		d.GUID = newGUID()
	}
	if err := s.store.AddDelivery(ctx, &d); err != nil {
		return d, err
	}
	select {
	case s.wake <- struct{}{}:
	default: // it is awake
	}
	return d, nil
}

func newGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Run delivers what is queued until ctx ends: to each hook one after the other,
// in the order of the events, and to different hooks at the same time, so that
// one that does not answer holds up nothing but its own.
func (s *Sender) Run(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	busy, done, slots := map[int64]bool{}, make(chan int64), make(chan struct{}, workers)
	for ctx.Err() == nil {
		hooks, next, err := s.store.DueHooks(ctx, time.Now())
		if err != nil && ctx.Err() == nil {
			s.log.Error("webhooks: read the queue", "error", err)
		}
		for _, id := range hooks {
			if busy[id] {
				continue
			}
			busy[id] = true
			group.Go(func() {
				s.serve(ctx, id, slots)
				select {
				case done <- id:
				case <-ctx.Done():
				}
			})
		}
		wait := time.Minute // a look now and then: the clock may have been set
		if !next.IsZero() {
			wait = min(wait, max(time.Until(next), 10*time.Millisecond))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-s.wake:
		case id := <-done:
			delete(busy, id)
		case <-timer.C:
		}
		timer.Stop()
	}
}

// serve delivers what is due to one hook.
func (s *Sender) serve(ctx context.Context, hook int64, slots chan struct{}) {
	for ctx.Err() == nil {
		due, err := s.store.DueDeliveries(ctx, hook, time.Now(), 1)
		if err == nil && len(due) == 1 {
			select {
			case slots <- struct{}{}:
				err = s.attempt(ctx, due[0])
				<-slots
			case <-ctx.Done():
			}
		}
		if err != nil && ctx.Err() == nil {
			s.log.Error("webhooks: deliver", "hook", hook, "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(time.Second): // the database may be better then
			}
		}
		if err != nil || len(due) == 0 {
			return
		}
	}
}

// attempt sends one delivery and records what came of it. What the end of the
// process interrupts is sent again after the next start.
func (s *Sender) attempt(ctx context.Context, d store.Delivery) error {
	hook, err := s.store.HookByID(ctx, d.Hook)
	if errors.Is(err, store.ErrNotFound) {
		return nil // deleted, and its deliveries with it
	} else if err != nil {
		return err
	}
	start := time.Now()
	req, err := Request(ctx, hook, d)
	if err == nil {
		err = s.send(hook, req, &d)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	d.Delivered, d.Duration = store.Time{Time: start.UTC()}, time.Since(start)
	d.Attempts++
	d.Due = store.Time{}
	retry := err != nil || d.Code >= 500 || d.Code == http.StatusTooManyRequests
	switch {
	case err != nil:
		d.Code, d.Status, d.ResBody, d.ResHeaders = 0, "failed to connect to host", reason(err), "{}"
	case d.Code >= 200 && d.Code < 300:
		d.Status = "OK"
	default:
		d.Status = "Invalid HTTP Response: " + strconv.FormatInt(d.Code, 10)
	}
	if n := int(d.Attempts) - 1; retry && n < len(s.delays) {
		d.Due = store.Time{Time: time.Now().Add(s.delays[n])}
	}
	return s.store.PutDelivery(ctx, &d)
}

// reason is why nobody answered, without the address, which may hold a secret.
func reason(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}

// Request is what a hook is sent.
func Request(ctx context.Context, hook store.Hook, d store.Delivery) (*http.Request, error) {
	body, kind := []byte(d.Payload), "application/json"
	if hook.ContentType == "form" {
		body, kind = []byte(url.Values{"payload": {d.Payload}}.Encode()), "application/x-www-form-urlencoded"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, hook.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	h := req.Header
	h.Set("Content-Type", kind)
	h.Set("Accept", "*/*")
	h.Set("User-Agent", "GitHub-Hookshot/hubship")
	h.Set("X-GitHub-Event", d.Event)
	h.Set("X-GitHub-Delivery", d.GUID)
	h.Set("X-GitHub-Hook-ID", strconv.FormatInt(hook.ID, 10))
	h.Set("X-GitHub-Hook-Installation-Target-ID", strconv.FormatInt(hook.Repository, 10))
	h.Set("X-GitHub-Hook-Installation-Target-Type", "repository")
	if hook.Secret != "" {
		h.Set("X-Hub-Signature", "sha1="+sign(sha1.New, hook.Secret, body))
		h.Set("X-Hub-Signature-256", "sha256="+sign(sha256.New, hook.Secret, body))
	}
	return req, nil
}

func sign(fn func() hash.Hash, secret string, body []byte) string {
	m := hmac.New(fn, []byte(secret))
	m.Write(body)
	return hex.EncodeToString(m.Sum(nil))
}

// send makes one attempt, and notes question and answer in the delivery.
func (s *Sender) send(hook store.Hook, req *http.Request, d *store.Delivery) error {
	d.ReqHeaders = headers(req.Header)
	c := s.safe
	if hook.Insecure {
		c = s.blind
	}
	res, err := c.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxResponse))
	if err != nil {
		return err
	}
	d.Code, d.ResHeaders, d.ResBody = int64(res.StatusCode), headers(res.Header), strings.ToValidUTF8(string(body), "\uFFFD")
	return nil
}

func headers(h http.Header) string {
	flat := map[string]string{}
	for name, values := range h {
		flat[name] = strings.Join(values, ", ")
	}
	raw, err := json.Marshal(flat)
	if err != nil {
		return "{}"
	}
	return string(raw)
}
