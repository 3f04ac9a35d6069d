// Package settings reads the settings of the forge's program: one JSON file.
// Secrets are in files that it names.
package settings

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/outbound"
)

// Settings are those of one forge. All paths are absolute.
type Settings struct {
	Repositories string `json:"repositories"` // folder of the bare repositories
	Database     string `json:"database"`     // file, outside of Repositories

	// Socket is where hubship's HTTP port passes requests on to, AdminSocket
	// where accounts are managed. Their folders belong to the forge's user alone.
	Socket      string `json:"socket"`
	AdminSocket string `json:"adminSocket"`

	// URL is where programs on this machine reach the forge, PublicURL where
	// people do; empty for the same. Pages are at /forge, the API at /api/v3 and
	// repositories at /git below it.
	URL       string `json:"url"`
	PublicURL string `json:"publicURL,omitempty"`
	// Runs is what the address of a run's page of hubship begins with.
	Runs string `json:"runs,omitempty"`

	Repository Repository `json:"repository"`
	Own        Own        `json:"own"`
	// Admin is the first person's account; nil makes none.
	Admin *Admin `json:"admin,omitempty"`
	// GitToken is the file of the token for Git that an installation had before
	// accounts, which goes on to work; empty for none.
	GitToken string `json:"gitToken,omitempty"`

	// Webhook tells hubship what happens; nil tells nobody.
	Webhook *Webhook `json:"webhook,omitempty"`
	// OAuth lets people sign in to hubship with their account; nil does not.
	OAuth *OAuth `json:"oauth,omitempty"`

	Outbound Outbound `json:"outbound"`
}

// Repository is the one that hubship drives. The forge makes its owner, an
// organization. It adopts Repositories/NAME.git where that is there, and makes
// an empty repository otherwise.
type Repository struct {
	Owner string `json:"owner"`
	Name  string `json:"name"`
	// DefaultBranch is that of one that is made; empty for "main".
	DefaultBranch string `json:"defaultBranch,omitempty"`
}

// Own is hubship's account, a maintainer.
type Own struct {
	Login string `json:"login"`
	Token string `json:"token"` // file of its token, which the forge makes
}

// Admin is the account of the first person, a maintainer.
type Admin struct {
	Login    string `json:"login"`
	Password string `json:"password"` // file of its first password, which the forge makes
	// NotPassword is the file of a password that others know: the account never
	// has that one. Empty for none.
	NotPassword string `json:"notPassword,omitempty"`
}

// Webhook is one of the repository that the forge keeps as it is told. It is
// known by its secret, and its address is the only one on this machine that
// webhooks reach.
type Webhook struct {
	URL    string   `json:"url"`
	Secret string   `json:"secret"` // file of what deliveries are signed with
	Events []string `json:"events"`
}

// OAuth is hubship as the one OAuth App of the forge.
type OAuth struct {
	ClientID string `json:"clientID"`
	Secret   string `json:"secret"` // file of the client's secret
	Redirect string `json:"redirect"`
	Days     int    `json:"days"` // that a token lasts
}

// Outbound says what webhooks may reach besides the Internet.
type Outbound struct {
	// Allow lists addresses, ranges and hosts, each with a port if only that one
	// is meant.
	Allow []string `json:"allow,omitempty"`
	// Refuse lists ranges of the installation's own, each with what it is.
	Refuse []Range `json:"refuse,omitempty"`
}

// Range is a range of addresses.
type Range struct {
	Prefix netip.Prefix `json:"prefix"`
	What   string       `json:"what"`
}

// Policy is what the settings mean. They must be valid.
func (o Outbound) Policy() (outbound.Policy, error) {
	p, err := outbound.ParsePolicy(o.Allow)
	for _, r := range o.Refuse {
		p.Own = append(p.Own, outbound.Range{Prefix: r.Prefix.Masked(), What: r.What})
	}
	return p, err
}

// name is what an account or a repository may be called here.
var name = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,38}$`)

// MaxSocket is how long the path of a socket may be, in bytes: the kernel takes
// 107, and the name that is made first is longer.
const MaxSocket = 95

// Validate says everything that is wrong with the settings.
func (s Settings) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	path := func(field, value string) {
		if !filepath.IsAbs(value) {
			bad("%s %q: expected an absolute path", field, value)
		}
	}
	named := func(field, value string) {
		if !name.MatchString(value) {
			bad("%s %q: expected lower-case letters, digits and hyphens, at most 39", field, value)
		}
	}
	path("repositories", s.Repositories)
	path("database", s.Database)
	for field, value := range map[string]string{"socket": s.Socket, "adminSocket": s.AdminSocket} {
		path(field, value)
		if len(value) > MaxSocket {
			bad("%s %s: the path has %d bytes, but at most %d are possible", field, value, len(value), MaxSocket)
		}
	}
	if s.Socket == s.AdminSocket {
		bad("socket and adminSocket are the same")
	}
	errs = append(errs, baseURL("url", s.URL))
	if s.PublicURL != "" {
		errs = append(errs, baseURL("publicURL", s.PublicURL))
	}
	named("repository.owner", s.Repository.Owner)
	named("repository.name", s.Repository.Name)
	named("own.login", s.Own.Login)
	path("own.token", s.Own.Token)
	if s.Own.Login == s.Repository.Owner {
		bad("own.login: %q is the repository's owner, which is an organization", s.Own.Login)
	}
	if s.GitToken != "" {
		path("gitToken", s.GitToken)
	}
	if a := s.Admin; a != nil {
		named("admin.login", a.Login)
		path("admin.password", a.Password)
		if a.Login == s.Own.Login || a.Login == s.Repository.Owner {
			bad("admin.login: %q is another account already", a.Login)
		}
		if a.NotPassword != "" {
			path("admin.notPassword", a.NotPassword)
		}
	}
	return errors.Join(append(errs, s.wiring()...)...)
}

// wiring says what is wrong with how the forge and hubship find each other.
func (s Settings) wiring() (errs []error) {
	if w := s.Webhook; w != nil {
		if u, err := url.Parse(w.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			errs = append(errs, fmt.Errorf("webhook.url %q: expected a URL", w.URL))
		}
		if !filepath.IsAbs(w.Secret) {
			errs = append(errs, fmt.Errorf("webhook.secret %q: expected an absolute path", w.Secret))
		}
		if len(w.Events) == 0 {
			errs = append(errs, errors.New("webhook.events: expected at least one event"))
		}
	}
	if o := s.OAuth; o != nil {
		if u, err := url.Parse(o.Redirect); err != nil || u.Host == "" {
			errs = append(errs, fmt.Errorf("oauth.redirect %q: expected a URL", o.Redirect))
		}
		if !filepath.IsAbs(o.Secret) || o.ClientID == "" || o.Days < 1 {
			errs = append(errs, errors.New("oauth: expected clientID, secret (an absolute path) and days (1 or more)"))
		}
	}
	if _, err := s.Outbound.Policy(); err != nil {
		errs = append(errs, fmt.Errorf("outbound.allow: %w", err))
	}
	for _, r := range s.Outbound.Refuse {
		if !r.Prefix.IsValid() {
			errs = append(errs, errors.New("outbound.refuse: a range has no prefix"))
		}
	}
	return errs
}

// baseURL says what is wrong with an address that paths are added to.
func baseURL(field, value string) error {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%s %q: expected scheme and host alone, such as http://localhost:8080", field, value)
	}
	return nil
}

// People is where people reach the forge.
func (s Settings) People() string {
	if s.PublicURL != "" {
		return s.PublicURL
	}
	return s.URL
}

// Secure says whether people reach the forge over HTTPS.
func (s Settings) Secure() bool { return strings.HasPrefix(s.People(), "https://") }

// Read reads the settings in a file. The digest tells whether a file is still
// the one that was read.
func Read(file string) (s Settings, digest string, err error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return s, "", model.WithHint(fmt.Errorf("read the forge's settings: %w", err), "name the file with --settings")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return s, "", model.WithHint(fmt.Errorf("read %s: %w", file, err), "hubship writes this file when it starts: the two programs may have different versions")
	}
	if err := s.Validate(); err != nil {
		return s, "", model.WithHint(fmt.Errorf("%s: %w", file, err), "hubship writes this file when it starts")
	}
	sum := sha256.Sum256(raw)
	return s, hex.EncodeToString(sum[:]), nil
}

// Write replaces a file with the settings in one step. Only its owner can read
// it.
func (s Settings) Write(file string) error {
	if err := s.Validate(); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // a no-op after the rename
	_, err = tmp.Write(append(raw, '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}
