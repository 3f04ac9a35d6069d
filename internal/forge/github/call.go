package github

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	gh "github.com/google/go-github/v89/github"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// effect is what a request does, which decides when it may be sent again.
type effect int

const (
	reads      effect = iota
	repeatable        // writes, and may do so twice
	once              // writes, and must not do so twice
)

// failure is why a request failed. It holds nothing of the request, which has
// credentials.
type failure struct {
	kind    error // one of forge's
	status  int   // of HTTP; 0 when there was no answer
	message string
	hint    string
	unsent  bool          // the forge has certainly not seen it
	renewed bool          // there may be new credentials
	after   time.Duration // the forge said when to try again; 0 when it did not
}

func (f *failure) Error() string {
	text := f.kind.Error()
	if f.message != "" {
		text += ": " + f.message
	}
	if f.status != 0 {
		text += " (HTTP " + strconv.Itoa(f.status) + ")"
	}
	return text
}

func (f *failure) Unwrap() error { return f.kind }

// call sends a request until it is answered, it cannot be, or the patience is
// at its end. what names the operation and its object in errors.
func call[T any](ctx context.Context, c *Client, does effect, what string, do func(ctx context.Context) (T, *gh.Response, error)) (T, error) {
	var none T
	patience := c.patience
	for attempt := 1; ; attempt++ {
		v, err := try(ctx, c, does, do)
		if err == nil {
			return v, nil
		}
		if ctx.Err() != nil {
			return none, fmt.Errorf("%s: %w", what, ctx.Err())
		}
		f := classify(err, c.auth.redact)
		wait, again := c.again(does, f, attempt)
		if !again || wait > patience {
			return none, model.WithHint(fmt.Errorf("%s: %w", what, f), f.advice())
		}
		patience -= wait
		if err := sleep(ctx, wait); err != nil {
			return none, fmt.Errorf("%s: %w", what, err)
		}
	}
}

// try sends a request once.
func try[T any](ctx context.Context, c *Client, does effect, do func(ctx context.Context) (T, *gh.Response, error)) (T, error) {
	if does != reads {
		select {
		case c.writing <- struct{}{}:
			defer func() { <-c.writing }()
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		}
	}
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	v, _, err := do(ctx)
	return v, err
}

// again says whether a request is worth another attempt, and after what time.
func (c *Client) again(does effect, f *failure, attempt int) (time.Duration, bool) {
	if attempt >= attempts {
		return 0, false
	}
	var limited *forge.RateLimited
	if errors.As(f.kind, &limited) {
		return max(time.Until(limited.Until), c.backoff), true // it was not carried out
	}
	if f.renewed {
		return 0, attempt == 1
	}
	if !errors.Is(f.kind, forge.ErrUnavailable) || does == once && !f.unsent {
		return 0, false
	}
	wait := c.backoff << (attempt - 1)
	return max(f.after, wait/2+rand.N(wait)), true
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// unknownWait is how long to leave the forge alone when it does not say.
const unknownWait = time.Minute

// classify says what an error of the library means. redact takes secrets out
// of what the server says, which may be anything: proxies that are set up to
// help developers repeat the request.
func classify(err error, redact func(string) string) *failure {
	var known *failure
	var primary *gh.RateLimitError
	var secondary *gh.AbuseRateLimitError
	var answer *gh.ErrorResponse
	var factor *gh.TwoFactorAuthError
	switch {
	case errors.As(err, &known):
		same := *known
		return &same
	case errors.As(err, &primary):
		return &failure{kind: &forge.RateLimited{Until: later(primary.Rate.Reset.Time)}, status: statusOf(primary.Response)}
	case errors.As(err, &secondary):
		until := time.Now().Add(unknownWait)
		if secondary.RetryAfter != nil {
			until = time.Now().Add(*secondary.RetryAfter)
		}
		return &failure{kind: &forge.RateLimited{Until: until}, status: statusOf(secondary.Response)}
	case errors.As(err, &factor):
		return answered((*gh.ErrorResponse)(factor), redact)
	case errors.As(err, &answer):
		return answered(answer, redact)
	case errors.Is(err, gh.ErrPathForbidden):
		return &failure{kind: forge.ErrInvalid, message: "a name leads out of its place in the URL"}
	case errors.As(err, new(*gh.AcceptedError)):
		return &failure{kind: forge.ErrUnavailable, message: "the forge is still at it", status: http.StatusAccepted}
	}
	return silent(err)
}

// later is t, or a while from now when it is not known.
func later(t time.Time) time.Time {
	if t.IsZero() {
		return time.Now().Add(unknownWait)
	}
	return t
}

func statusOf(r *http.Response) int {
	if r == nil {
		return 0
	}
	return r.StatusCode
}

// silent is the failure of a request without a proper answer.
func silent(err error) *failure {
	f := &failure{kind: forge.ErrUnavailable}
	var at *url.Error
	if errors.As(err, &at) {
		err = at.Err // the URL is named by the operation
	}
	var op *net.OpError
	f.unsent = errors.As(err, &op) && op.Op == "dial"
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		f.message = "no answer within " + answerLimit.String()
	case errors.Is(err, errTooLong):
		f.kind, f.message = forge.ErrInvalid, errTooLong.Error()
	case errors.As(err, new(*json.SyntaxError)), errors.As(err, new(*json.UnmarshalTypeError)), errors.Is(err, io.ErrUnexpectedEOF):
		f.message = "the answer is not what GitHub's API answers"
		f.hint = "check the URL of the API, and what is between here and there"
	case errors.As(err, new(*tls.CertificateVerificationError)):
		f.message = plain(err.Error())
		f.hint = "if the forge has a certificate of its own authority, let this machine trust that"
	default:
		f.message = plain(err.Error())
	}
	return f
}

// answered is the failure that the forge named.
func answered(r *gh.ErrorResponse, redact func(string) string) *failure {
	f := &failure{status: statusOf(r.Response), message: plain(redact(said(r)))}
	var header http.Header
	if r.Response != nil {
		header = r.Response.Header
	}
	f.after = retryAfter(header)
	f.renewed = header.Get(renewedHeader) != ""
	switch s := f.status; {
	case s == http.StatusTooManyRequests, s == http.StatusForbidden && f.after > 0:
		wait := f.after
		if wait == 0 {
			wait = unknownWait
		}
		f.kind = &forge.RateLimited{Until: time.Now().Add(wait)}
	case s == http.StatusUnauthorized, s == http.StatusForbidden, s == http.StatusUnavailableForLegalReasons:
		f.kind = forge.ErrForbidden
	case s == http.StatusNotFound, s == http.StatusGone:
		f.kind = forge.ErrNotFound
	case s == http.StatusConflict, s == http.StatusMethodNotAllowed:
		f.kind = forge.ErrConflict
	case s == http.StatusUnprocessableEntity && strings.Contains(f.message, "already exists"):
		f.kind = forge.ErrConflict
	case s >= 500, s == http.StatusRequestTimeout:
		f.kind = forge.ErrUnavailable
	default:
		f.kind = forge.ErrInvalid
	}
	return f
}

// said is what the forge said was wrong, in one line.
func said(r *gh.ErrorResponse) string {
	parts := []string{}
	if r.Message != "" {
		parts = append(parts, r.Message)
	}
	for _, e := range r.Errors {
		switch {
		case e.Message != "":
			parts = append(parts, e.Message)
		case e.Field != "":
			parts = append(parts, fmt.Sprintf("%s of %s: %s", e.Field, e.Resource, e.Code))
		}
	}
	return strings.Join(parts, "; ")
}

// maxSaid bounds the characters of what a server says that we repeat.
const maxSaid = 500

// plain is a text of the server's as one line without characters that a
// terminal may take for orders, or that change the direction of writing.
func plain(text string) string {
	text = strings.Join(strings.Fields(strings.Map(func(c rune) rune {
		if unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, "?"))), " ")
	return forge.Shorten(text, maxSaid)
}

// retryAfter reads the header of that name: seconds or a date.
func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(v); err == nil && seconds > 0 && seconds < 1e6 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}

// advice is what to do about a failure.
func (f *failure) advice() string {
	switch {
	case f.hint != "":
		return f.hint
	case f.status == http.StatusUnauthorized:
		return "the token is not valid, or no longer valid: create a new one"
	case errors.Is(f.kind, forge.ErrForbidden):
		return "give the App or the token the permission that this needs, on the forge"
	case errors.Is(f.kind, forge.ErrNotFound):
		return "check the name; a forge also says so of what the account may not see"
	case errors.Is(f.kind, forge.ErrConflict):
		return "look at it on the forge: it has changed since"
	case errors.Is(f.kind, forge.ErrUnavailable):
		return "try again later; the forge's status page may know more"
	case errors.Is(f.kind, forge.ErrInvalid):
		return "this cannot work as it is; the forge says why"
	}
	return "wait until then; other users of the same account count too"
}

// list reads all pages of a list, but no more than limit items (0: all).
func list[T any](ctx context.Context, c *Client, what string, limit int, page func(ctx context.Context, opts gh.ListOptions) ([]T, *gh.Response, error)) ([]T, error) {
	var all []T
	err := pages(ctx, c, what, page, func(items []T) bool {
		all = append(all, items...)
		return limit == 0 || len(all) < limit
	})
	if limit > 0 && len(all) > limit {
		all = all[:limit]
	}
	return all, err
}

// pages reads the pages of a list until use says no. A list that does not end
// within maxPages is an error, so that nobody takes its beginning for all.
func pages[T any](ctx context.Context, c *Client, what string, page func(ctx context.Context, opts gh.ListOptions) ([]T, *gh.Response, error), use func([]T) bool) error {
	type answer struct {
		items []T
		next  int
	}
	for n, at := 1, 1; at != 0; n++ {
		if n > maxPages {
			return fmt.Errorf("%s: %w: there are more than %d", what, forge.ErrInvalid, maxPages*perPage)
		}
		got, err := call(ctx, c, reads, what, func(ctx context.Context) (answer, *gh.Response, error) {
			items, resp, err := page(ctx, gh.ListOptions{Page: at, PerPage: perPage})
			if err != nil {
				return answer{}, resp, err
			}
			return answer{items, resp.NextPage}, resp, nil
		})
		if err != nil {
			return err
		}
		if !use(got.items) {
			return nil
		}
		at = got.next
	}
	return nil
}
