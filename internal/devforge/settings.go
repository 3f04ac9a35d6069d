// Package devforge runs the embedded forge, which is a separate program: it starts
// the program, keeps it running, and forwards requests from hubship's port to it.
package devforge

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/install"
	"github.com/hubship/hubship/internal/model"
)

// Accounts that every embedded forge has, beside install.RepositoryOwner.
const (
	OwnLogin   = "hubship" // hubship's own
	AdminLogin = "admin"   // the first person's
)

// ClientID is what the embedded forge knows hubship's pages as.
const ClientID = "hubship"

// Settings are those of the forge's program, which reads exactly these fields and
// refuses a file with others. All paths are absolute.
type Settings struct {
	Repositories string     `json:"repositories"` // folder of the bare repositories
	Database     string     `json:"database"`
	Socket       string     `json:"socket"`      // behind hubship's door
	AdminSocket  string     `json:"adminSocket"` // for accounts
	URL          string     `json:"url"`         // as programs on this machine reach it: scheme and host
	PublicURL    string     `json:"publicURL,omitempty"`
	Runs         string     `json:"runs,omitempty"` // what the address of a run's page begins with
	Repository   Repository `json:"repository"`
	Own          Own        `json:"own"`
	Admin        *Admin     `json:"admin,omitempty"`
	GitToken     string     `json:"gitToken,omitempty"` // file of the token from before accounts
	Webhook      *Webhook   `json:"webhook,omitempty"`
	OAuth        *OAuth     `json:"oauth,omitempty"`
	Outbound     Outbound   `json:"outbound"`
}

// Repository is the one that hubship drives: adopted from Repositories/NAME.git
// where that is there, made empty otherwise.
type Repository struct {
	Owner         string `json:"owner"`
	Name          string `json:"name"`
	DefaultBranch string `json:"defaultBranch,omitempty"` // of one that is made
}

// Own is hubship's account.
type Own struct {
	Login string `json:"login"`
	Token string `json:"token"` // file of its token, which the forge makes
}

// Admin is the first person's account.
type Admin struct {
	Login       string `json:"login"`
	Password    string `json:"password"`              // file of its first password, which the forge makes
	NotPassword string `json:"notPassword,omitempty"` // file of one that it must not have
}

// Webhook tells hubship what happens.
type Webhook struct {
	URL    string   `json:"url"`
	Secret string   `json:"secret"` // file
	Events []string `json:"events"`
}

// OAuth lets people sign in to hubship with their account of the forge.
type OAuth struct {
	ClientID string `json:"clientID"`
	Secret   string `json:"secret"` // file
	Redirect string `json:"redirect"`
	Days     int    `json:"days"` // that a token lasts
}

// Outbound says what webhooks may reach besides the Internet.
type Outbound struct {
	Allow  []string `json:"allow,omitempty"`
	Refuse []Range  `json:"refuse,omitempty"`
}

// Range is a range of addresses.
type Range struct {
	Prefix netip.Prefix `json:"prefix"`
	What   string       `json:"what"`
}

// Ways say where the forge reaches hubship's server.
type Ways struct {
	Hooks    string   // path that webhooks are delivered to
	Events   []string // that are delivered there
	Callback string   // path that people are sent back to when they have signed in
	Days     int      // how long they stay signed in
}

// SettingsOf returns the settings of an installation's forge. Secrets that the
// two programs share are made now if there are none yet.
func SettingsOf(p install.Paths, s install.Settings, w Ways) (Settings, error) {
	for _, file := range []string{p.HookSecret, p.OAuthSecret} {
		if err := ensureSecret(file); err != nil {
			return Settings{}, err
		}
	}
	people, err := url.Parse(s.PeopleURL())
	if err != nil {
		return Settings{}, fmt.Errorf("the address of people: %w", err)
	}
	public := (&url.URL{Scheme: people.Scheme, Host: people.Host}).String()
	policy, err := s.OutboundPolicy()
	if err != nil {
		return Settings{}, err
	}
	out := Settings{
		Repositories: p.Repositories, Database: p.Forge, Socket: p.ForgeSocket, AdminSocket: p.ForgeAdmin,
		URL: fmt.Sprintf("http://localhost:%d", s.Port), PublicURL: public, Runs: s.RunURL(""),
		Repository: Repository{Owner: install.RepositoryOwner, Name: install.RepositoryName},
		Own:        Own{Login: OwnLogin, Token: p.ForgeToken},
		Admin:      &Admin{Login: AdminLogin, Password: p.ForgePassword, NotPassword: p.Password},
		GitToken:   p.GitToken,
		Webhook:    &Webhook{URL: fmt.Sprintf("http://127.0.0.1:%d%s", s.Port, w.Hooks), Secret: p.HookSecret, Events: w.Events},
		OAuth:      &OAuth{ClientID: ClientID, Secret: p.OAuthSecret, Redirect: public + w.Callback, Days: w.Days},
	}
	if s.Outbound != nil {
		out.Outbound.Allow = s.Outbound.Allow
	}
	for _, r := range policy.Own {
		out.Outbound.Refuse = append(out.Outbound.Refuse, Range{Prefix: r.Prefix, What: r.What})
	}
	// Equal settings have to have the same digest.
	slices.SortFunc(out.Outbound.Refuse, func(a, b Range) int { return strings.Compare(a.Prefix.String(), b.Prefix.String()) })
	return out, nil
}

// maxSocket is how long the path of a socket may be, in bytes: the kernel takes
// 107, and the name that the program makes first is longer.
const maxSocket = 95

// Write writes the settings to a file that its owner alone can read, and returns
// their digest. A file that has them already is left as it is.
func (s Settings) Write(file string) (digest string, err error) {
	for _, socket := range []string{s.Socket, s.AdminSocket} {
		if len(socket) > maxSocket {
			return "", model.Usage(fmt.Errorf("the socket %s: its path has %d bytes, but at most %d are possible", socket, len(socket), maxSocket),
				"choose a data directory with a shorter path")
		}
	}
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return "", fmt.Errorf("write %s: %w", file, err)
	}
	raw = append(raw, '\n')
	if there, err := os.ReadFile(file); err == nil && string(there) == string(raw) {
		return digestOf(raw), nil
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return "", fmt.Errorf("write %s: %w", file, err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // a no-op after the rename
	_, err = tmp.Write(raw)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return "", fmt.Errorf("write %s: %w", file, err)
	}
	return digestOf(raw), nil
}

// DigestOf returns the digest of the settings in a file, "" when it cannot be
// read.
func DigestOf(file string) string {
	raw, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return digestOf(raw)
}

func digestOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

// ensureSecret makes a file with a secret if there is none.
func ensureSecret(file string) error {
	_, err := os.Stat(file)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return install.WriteSecret(file, rand.Text()+rand.Text())
}
