package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/hubship/hubship/devforge/internal/authority"
	"github.com/hubship/hubship/internal/model"
)

// Scopes of tokens.
const (
	ScopeRead   = authority.ScopeRead
	ScopeStatus = authority.ScopeStatus
	ScopeRepo   = authority.ScopeRepo
	ScopeHooks  = authority.ScopeHooks
)

var loginPattern = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9]){0,38}$`)

// minPassword is how many bytes a password needs to have.
const minPassword = 10

// NewAccount are the settings of an account that is made.
type NewAccount struct {
	Login    string // lower case letters, digits and single hyphens
	Name     string // empty for the login
	Email    string // empty for one that receives nothing
	Kind     string // User or Organization; empty for User
	Role     Role   // empty for Contributor
	Password string // empty for none: such an account has tokens only
}

// CreateAccount makes an account. The error is ErrExists when the login is
// taken.
func (s *Store) CreateAccount(ctx context.Context, n NewAccount) (Account, error) {
	if n.Kind == "" {
		n.Kind = User
	}
	if n.Role == "" {
		n.Role = Contributor
	}
	if n.Name == "" {
		n.Name = n.Login
	}
	if n.Email == "" {
		n.Email = n.Login + "@localhost"
	}
	switch {
	case !loginPattern.MatchString(n.Login):
		return Account{}, model.Usage(fmt.Errorf("%q is not a valid login", n.Login), "use up to 39 lower-case letters, digits and single hyphens")
	case n.Kind != User && n.Kind != Organization:
		return Account{}, model.Usage(fmt.Errorf("%q is not a kind of account", n.Kind), "use User or Organization")
	case !slices.Contains([]Role{Contributor, Reviewer, Maintainer}, n.Role):
		return Account{}, model.Usage(fmt.Errorf("%q is not a role", n.Role), "use contributor, reviewer or maintainer")
	case strings.ContainsAny(n.Name+n.Email, "<>\n\r\x00") || len(n.Name+n.Email) > 500:
		return Account{}, model.Usage(errors.New("the name or email address is not allowed in a commit"), "leave out <, > and line breaks")
	case n.Kind == Organization && n.Password != "":
		return Account{}, model.Usage(errors.New("an organization has no password"), "leave it out")
	}
	a := Account{Login: n.Login, Name: n.Name, Email: n.Email, Kind: n.Kind, Role: n.Role, Created: Now()}
	if n.Password != "" {
		var err error
		if a.password, err = hashPassword(n.Password); err != nil {
			return Account{}, err
		}
	}
	return a, add(ctx, s, accounts, "create account "+n.Login, &a)
}

// Account returns one by its id.
func (s *Store) Account(ctx context.Context, id int64) (Account, error) {
	a, err := accounts.get(ctx, s.db, "id = ?", id)
	return a, explain(fmt.Sprintf("read account %d", id), err)
}

// AccountByLogin returns one by its login, in whatever case.
func (s *Store) AccountByLogin(ctx context.Context, login string) (Account, error) {
	a, err := accounts.get(ctx, s.db, "login = ?", login)
	return a, explain("read account", err)
}

// Accounts returns all of them, in the order they were made.
func (s *Store) Accounts(ctx context.Context) ([]Account, error) {
	list, err := accounts.list(ctx, s.db, "ORDER BY id")
	return list, explain("list accounts", err)
}

// SetPassword replaces an account's password, and ends its sessions and its tokens.
func (s *Store) SetPassword(ctx context.Context, id int64, password string) error {
	hash, err := hashPassword(password)
	if err != nil {
		return err
	}
	return explain("set a password", s.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE accounts SET password = ? WHERE id = ? AND kind = ?", hash, id, User); err != nil {
			return err
		}
		return endAll(ctx, tx, id)
	}))
}

// endAll ends every session and every token of an account.
func endAll(ctx context.Context, tx *sql.Tx, account int64) error {
	for _, table := range []string{"sessions", "tokens"} {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE account = ?", account); err != nil {
			return err
		}
	}
	return nil
}

// SetRole replaces an account's role.
func (s *Store) SetRole(ctx context.Context, id int64, role Role) error {
	if !slices.Contains([]Role{Contributor, Reviewer, Maintainer}, role) {
		return model.Usage(fmt.Errorf("%q is not a role", role), "use contributor, reviewer or maintainer")
	}
	return explain("set a role", s.exec(ctx, "UPDATE accounts SET role = ? WHERE id = ?", role, id))
}

// SetDisabled locks an account out, or lets it in again. Locked out, it loses its
// sessions and its tokens for good.
func (s *Store) SetDisabled(ctx context.Context, id int64, disabled bool) error {
	return explain("lock an account", s.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE accounts SET disabled = ? WHERE id = ?", disabled, id); err != nil || !disabled {
			return err
		}
		return endAll(ctx, tx, id)
	}))
}

// ErrDenied says that a login, password or token is wrong, without saying
// which.
var ErrDenied = errors.New("bad credentials")

// Login returns the account that the password opens, or ErrDenied after the
// same work, whether the account exists or not.
func (s *Store) Login(ctx context.Context, login, password string) (Account, error) {
	a, err := accounts.get(ctx, s.db, "login = ?", login)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Account{}, explain("log in", err)
	}
	hash := a.password
	if hash == "" {
		hash = nobody
	}
	if !checkPassword(hash, password) || a.password == "" || a.Disabled {
		return Account{}, ErrDenied
	}
	return a, nil
}

// argon2id's cost: about 30 ms and 19 MiB, as OWASP recommends for logins.
const (
	argonTime    = 2
	argonMemory  = 19 * 1024 // KiB
	argonThreads = 1
	argonKey     = 32
)

// nobody is the hash of a password that no one has.
var nobody = encodePassword(make([]byte, 16), make([]byte, argonKey))

// hashing bounds how many passwords are worked on at once, and with them the
// memory that anybody can make the server take.
var hashing = make(chan struct{}, 2)

func hashPassword(password string) (string, error) {
	if len(password) < minPassword || len(password) > 1024 {
		return "", model.Usage(fmt.Errorf("a password must have %d to 1024 bytes", minPassword), "use a longer one, such as four words")
	}
	salt := make([]byte, 16)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("generate a salt: %w", err)
	}
	return encodePassword(salt, argon(password, salt, argonTime, argonMemory, argonThreads)), nil
}

func argon(password string, salt []byte, passes, memory uint32, threads uint8) []byte {
	hashing <- struct{}{}
	defer func() { <-hashing }()
	return argon2.IDKey([]byte(password), salt, passes, memory, threads, argonKey)
}

func encodePassword(salt, key []byte) string {
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads, b.EncodeToString(salt), b.EncodeToString(key))
}

func checkPassword(encoded, password string) bool {
	if len(password) > 1024 {
		return false
	}
	var version int
	var memory, passes uint32
	var threads uint8
	parts := strings.Split(encoded, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return false
	}
	_, err := fmt.Sscanf(parts[2]+" "+parts[3], "v=%d m=%d,t=%d,p=%d", &version, &memory, &passes, &threads)
	salt, saltErr := base64.RawStdEncoding.DecodeString(parts[4])
	want, keyErr := base64.RawStdEncoding.DecodeString(parts[5])
	if errors.Join(err, saltErr, keyErr) != nil || version != argon2.Version || passes == 0 || threads == 0 || len(want) != argonKey {
		return false
	}
	return subtle.ConstantTimeCompare(argon(password, salt, passes, memory, threads), want) == 1
}

// CreateToken makes a token for an account and returns its secret, which is
// not kept and cannot be had again. A zero lifetime is for ever.
func (s *Store) CreateToken(ctx context.Context, account int64, name string, want []string, lifetime time.Duration) (Token, string, error) {
	for _, scope := range want {
		if !slices.Contains(authority.Scopes, scope) {
			return Token{}, "", model.Usage(fmt.Errorf("%q is not a token scope", scope), "use one or more of "+strings.Join(authority.Scopes, ", "))
		}
	}
	if len(want) == 0 || strings.TrimSpace(name) == "" || len(name) > 200 {
		return Token{}, "", model.Usage(errors.New("a token needs a name and scopes"), "name it after what it is for")
	}
	a, err := s.Account(ctx, account)
	if err != nil {
		return Token{}, "", err
	}
	if a.Kind != User {
		return Token{}, "", model.Usage(fmt.Errorf("%s is an organization", a.Login), "create a token for a user")
	}
	raw := make([]byte, 32)
	if _, err := rand.Read(raw); err != nil {
		return Token{}, "", fmt.Errorf("create a token: %w", err)
	}
	secret := "hsp_" + base64.RawURLEncoding.EncodeToString(raw)
	t := Token{Account: account, Name: name, hash: hashToken(secret), Scopes: strings.Join(want, ","), Created: Now()}
	if lifetime > 0 {
		t.Expires = Time{t.Created.Add(lifetime)}
	}
	if err := add(ctx, s, tokens, "create a token", &t); err != nil {
		return Token{}, "", err
	}
	return t, secret, nil
}

func hashToken(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Bearer returns the account that a token stands for, or ErrDenied.
func (s *Store) Bearer(ctx context.Context, secret string) (Account, Token, error) {
	// The look-up is by the hash: its time says nothing about the secret.
	t, err := tokens.get(ctx, s.db, "hash = ?", hashToken(secret))
	if err == nil && (t.Expires.IsZero() || t.Expires.After(time.Now())) {
		var a Account
		if a, err = accounts.get(ctx, s.db, "id = ? AND disabled = 0", t.Account); err == nil {
			return a, t, nil
		}
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Account{}, Token{}, explain("check a token", err)
	}
	return Account{}, Token{}, ErrDenied
}

// Tokens returns an account's tokens, without their secrets.
func (s *Store) Tokens(ctx context.Context, account int64) ([]Token, error) {
	list, err := tokens.list(ctx, s.db, "WHERE account = ? ORDER BY id", account)
	return list, explain("list tokens", err)
}

// RevokeToken ends one of an account's tokens.
func (s *Store) RevokeToken(ctx context.Context, account, id int64) error {
	return explain("revoke a token", s.exec(ctx, "DELETE FROM tokens WHERE id = ? AND account = ?", id, account))
}

// Allows says whether a token has a scope, by itself or within a wider one.
func (t Token) Allows(scope string) bool { return authority.Lends(strings.Split(t.Scopes, ","), scope) }

// AccountByEmail returns the user whose commits carry an address.
func (s *Store) AccountByEmail(ctx context.Context, email string) (Account, error) {
	a, err := accounts.get(ctx, s.db, "email = ? AND kind = ?", email, User)
	return a, explain("read account", err)
}
