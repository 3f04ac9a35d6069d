package github

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	gh "github.com/google/go-github/v89/github"

	"github.com/hubship/hubship/internal/forge"
	"github.com/hubship/hubship/internal/model"
)

// maxGrant bounds an answer about a token or its person, in bytes.
const maxGrant = 1 << 20

// OAuthOptions say how people sign in with their account. Of a GitHub App its
// client ID and client secret do, as those of an OAuth App.
type OAuthOptions struct {
	// Web is where people reach the forge: https://github.com. TokenWeb is
	// where hubship does, when that is another address. Neither ends in a slash.
	Web, TokenWeb          string
	ClientID, ClientSecret string
	// Transport carries the requests; nil means http.DefaultTransport.
	Transport http.RoundTripper
}

// OAuth is a forge.SignIn. Who somebody is, their own token tells; what they
// may do, the forge tells hubship's own account. So hubship asks people for no
// right over anything of theirs.
type OAuth struct {
	c    *Client
	o    OAuthOptions
	http *http.Client
}

var _ forge.SignIn = (*OAuth)(nil)

// SignIn returns the way in with accounts of the client's forge.
func (c *Client) SignIn(o OAuthOptions) (*OAuth, error) {
	if o.TokenWeb == "" {
		o.TokenWeb = o.Web
	}
	for _, at := range []string{o.Web, o.TokenWeb} {
		u, err := url.Parse(at)
		switch {
		case err != nil || u.Host == "" || u.User != nil || strings.HasSuffix(at, "/") || u.Scheme != "https" && u.Scheme != "http":
			return nil, model.WithHint(errors.New("sign in: the forge's address is none"), "use https://HOST, without a slash at its end")
		case at == o.TokenWeb && u.Scheme == "http" && !loopback(u.Hostname()):
			return nil, model.WithHint(fmt.Errorf("sign in: the forge at %s would get the client's secret unencrypted", u.Host), "use https")
		}
	}
	if o.ClientID == "" || o.ClientSecret == "" {
		return nil, model.WithHint(errors.New("sign in: the client's ID or its secret is not set"), "both are on the settings page of the App or OAuth App")
	}
	below := o.Transport
	if below == nil {
		below = http.DefaultTransport
	}
	return &OAuth{c: c, o: o, http: &http.Client{Transport: below, Timeout: answerLimit,
		// A redirect would take the secret to wherever it leads.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// AuthorizeURL implements forge.SignIn.
func (s *OAuth) AuthorizeURL(redirect, state, challenge string) string {
	return s.o.Web + "/login/oauth/authorize?" + url.Values{
		"client_id": {s.o.ClientID}, "redirect_uri": {redirect}, "scope": {"read:user"}, "state": {state},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}.Encode()
}

// Exchange implements forge.SignIn.
func (s *OAuth) Exchange(ctx context.Context, redirect, code, verifier string) (forge.UserToken, error) {
	const what = "sign in: exchange the code"
	form := url.Values{"client_id": {s.o.ClientID}, "client_secret": {s.o.ClientSecret}, "code": {code}, "redirect_uri": {redirect}, "code_verifier": {verifier}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.o.TokenWeb+"/login/oauth/access_token", strings.NewReader(form.Encode()))
	if err != nil {
		return forge.UserToken{}, fmt.Errorf("%s: %w", what, err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	var out struct {
		Token   string `json:"access_token"`
		Type    string `json:"token_type"`
		Expires int64  `json:"expires_in"` // seconds; Apps' tokens have one
		Error   string `json:"error"`
	}
	status, err := s.ask(req, &out)
	switch {
	case err != nil:
		return forge.UserToken{}, fmt.Errorf("%s: %w", what, err)
	case out.Error == "bad_verification_code":
		return forge.UserToken{}, model.WithHint(fmt.Errorf("%s: %w: the code is wrong, or was used, or is too old", what, forge.ErrForbidden), "sign in again")
	case out.Error != "":
		// What it says in detail may quote what was sent.
		return forge.UserToken{}, model.WithHint(fmt.Errorf("%s: %w: the forge says %.60q", what, forge.ErrInvalid, out.Error),
			"compare client ID, client secret and callback URL with the settings of the App at the forge")
	case status != http.StatusOK || out.Token == "" || !strings.EqualFold(out.Type, "bearer"):
		return forge.UserToken{}, fmt.Errorf("%s: %w: the forge answers with HTTP %d and no token", what, forge.ErrUnavailable, status)
	}
	t := forge.UserToken{Secret: out.Token}
	if out.Expires > 0 {
		t.Lasts = time.Duration(out.Expires) * time.Second
	}
	return t, nil
}

// Person implements forge.SignIn.
func (s *OAuth) Person(ctx context.Context, token string) (forge.Person, error) {
	const what = "ask the forge who signed in"
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.c.base.String()+"user", nil)
	if err != nil {
		return forge.Person{}, fmt.Errorf("%s: %w", what, err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	var p forge.Person
	status, err := s.ask(req, &p)
	switch {
	case status == http.StatusUnauthorized:
		return forge.Person{}, fmt.Errorf("%s: %w", what, forge.ErrSignedOut)
	case err != nil:
		return forge.Person{}, fmt.Errorf("%s: %w", what, err)
	case status != http.StatusOK || p.ID == 0 || forge.CheckLogin(p.Login) != nil:
		return forge.Person{}, fmt.Errorf("%s: %w: it answers with HTTP %d and no account", what, forge.ErrUnavailable, status)
	}
	return p, nil
}

// Granted implements forge.SignIn.
func (s *OAuth) Granted(ctx context.Context, person forge.Person) (forge.Permission, error) {
	what := fmt.Sprintf("ask what %s may do in %s", person.Login, s.c.repo)
	if err := forge.CheckLogin(person.Login); err != nil {
		return forge.None, invalid(what, err)
	}
	level, err := call(ctx, s.c, reads, what, func(ctx context.Context) (*gh.RepositoryPermissionLevel, *gh.Response, error) {
		return s.c.api.Repositories.GetPermissionLevel(ctx, s.c.repo.Owner, s.c.repo.Name, url.PathEscape(person.Login))
	})
	if errors.Is(err, forge.ErrNotFound) {
		// There is nobody of that name, or hubship cannot see its repository:
		// the second is no verdict about the person.
		if _, err := s.private(ctx); err != nil {
			return forge.None, err
		}
		return forge.None, nil
	}
	if err != nil {
		return forge.None, err
	}
	if level.GetUser().GetID() != person.ID {
		return forge.None, nil // somebody else has the login now
	}
	p := granted(level)
	if p != forge.Read {
		return p, nil
	}
	private, err := s.private(ctx)
	if err != nil || !private {
		return forge.None, err
	}
	return p, nil
}

// private says whether the repository is one that not everybody may read.
func (s *OAuth) private(ctx context.Context) (bool, error) {
	repo, err := call(ctx, s.c, reads, fmt.Sprintf("read %s", s.c.repo), func(ctx context.Context) (*gh.Repository, *gh.Response, error) {
		return s.c.api.Repositories.Get(ctx, s.c.repo.Owner, s.c.repo.Name)
	})
	return repo.GetPrivate(), err
}

// Revoke implements forge.SignIn.
func (s *OAuth) Revoke(ctx context.Context, token string) error {
	const what = "end a token of somebody who signed out"
	body, err := json.Marshal(map[string]string{"access_token": token})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, s.c.base.String()+"applications/"+url.PathEscape(s.o.ClientID)+"/token", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	req.SetBasicAuth(s.o.ClientID, s.o.ClientSecret)
	req.Header.Set("Content-Type", "application/json")
	status, err := s.ask(req, nil)
	switch status {
	case http.StatusNoContent, http.StatusNotFound, http.StatusUnprocessableEntity: // ended now, or before
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w: the forge answers with HTTP %d", what, forge.ErrUnavailable, status)
}

// ask sends a request and decodes what comes, if into is not nil. Errors hold
// nothing of the request: it has secrets.
func (s *OAuth) ask(req *http.Request, into any) (status int, err error) {
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "hubship")
	res, err := s.http.Do(req)
	if err != nil {
		var e *url.Error
		if errors.As(err, &e) {
			err = e.Err
		}
		return 0, fmt.Errorf("%w: %w", forge.ErrUnavailable, err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxGrant+1))
	if err != nil || len(raw) > maxGrant {
		return res.StatusCode, fmt.Errorf("%w: the answer breaks off or is too long", forge.ErrUnavailable)
	}
	if into == nil {
		return res.StatusCode, nil
	}
	if json.Unmarshal(raw, into) != nil {
		return res.StatusCode, fmt.Errorf("%w: HTTP %d without JSON", forge.ErrUnavailable, res.StatusCode)
	}
	return res.StatusCode, nil
}
