package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hubship/hubship/devforge/internal/gitserver"
	"github.com/hubship/hubship/devforge/internal/settings"
	"github.com/hubship/hubship/devforge/internal/store"
)

// accounts makes the accounts that are missing, and returns hubship's own.
func (f *theForge) accounts(ctx context.Context) (own store.Account, err error) {
	if _, err = f.account(ctx, store.NewAccount{Login: f.s.Repository.Owner, Kind: store.Organization}); err != nil {
		return own, err
	}
	if own, err = f.account(ctx, store.NewAccount{Login: f.s.Own.Login, Role: store.Maintainer}); err != nil || f.s.Admin == nil {
		return own, err
	}
	if err := f.admin(ctx, *f.s.Admin); err != nil {
		return own, fmt.Errorf("account %s of the embedded forge: %w", f.s.Admin.Login, err)
	}
	return own, nil
}

// account returns an account, made now if there is none.
func (f *theForge) account(ctx context.Context, n store.NewAccount) (store.Account, error) {
	a, err := f.host.Store.AccountByLogin(ctx, n.Login)
	if errors.Is(err, store.ErrNotFound) {
		a, err = f.host.Store.CreateAccount(ctx, n)
	}
	if err != nil {
		return a, fmt.Errorf("account %s of the embedded forge: %w", n.Login, err)
	}
	return a, nil
}

// Everybody who tries a hub out is told the hubs' password, and every one of
// the hubs knows it. The forge's first person is a maintainer, who merges what
// is deployed: its password is another one, in a file of its own.

// admin makes the first person's account, or gives that of an older
// installation, which had the password that others know, one of its own. It is
// kept before it holds, so that a process that dies in between is only asked to
// do it again.
func (f *theForge) admin(ctx context.Context, a settings.Admin) error {
	there, err := f.host.Store.AccountByLogin(ctx, a.Login)
	if errors.Is(err, store.ErrNotFound) {
		password, err := firstPassword(a)
		if err == nil {
			_, err = f.host.Store.CreateAccount(ctx, store.NewAccount{Login: a.Login, Role: store.Maintainer, Password: password})
		}
		return err
	}
	if err != nil {
		return err
	}
	shared, err := readSecret(a.NotPassword)
	if err != nil || shared == "" {
		return err
	}
	_, err = f.host.Store.Login(ctx, there.Login, shared)
	if errors.Is(err, store.ErrDenied) {
		return nil
	}
	if err != nil {
		return err
	}
	password, err := firstPassword(a)
	if err != nil {
		return err
	}
	f.log.Warn("the forge's admin had the hubs' password, and now has its own", "file", a.Password)
	return f.host.Store.SetPassword(ctx, there.ID, password)
}

// firstPassword returns the generated password of the first person, or makes
// one. One that others know as well is replaced.
func firstPassword(a settings.Admin) (string, error) {
	password, err := readSecret(a.Password)
	if err != nil {
		return "", err
	}
	shared, err := readSecret(a.NotPassword)
	if err != nil || password != "" && password != shared {
		return password, err
	}
	password = rand.Text()[:24] // letters and digits, about 120 bits
	return password, writeSecret(a.Password, password)
}

// readSecret returns what a file holds, "" for none.
func readSecret(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	raw, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read a password: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}

// writeSecret replaces a file that its owner alone can read.
func writeSecret(file, secret string) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*") // mode 0600
	if err != nil {
		return fmt.Errorf("keep a secret: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // a no-op after the rename
	_, err = tmp.WriteString(secret + "\n")
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("keep a secret: %w", err)
	}
	return nil
}

// ownTokenName is what hubship's own token is called.
const ownTokenName = "hubship's server"

// ownToken makes sure that the file holds a token of hubship's own account that
// works.
func (f *theForge) ownToken(ctx context.Context, own store.Account) error {
	file := f.s.Own.Token
	secret, err := gitserver.ReadToken(file)
	if err == nil {
		var a store.Account
		if a, _, err = f.host.Store.Bearer(ctx, secret); err == nil && a.ID == own.ID {
			return nil
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, store.ErrDenied) {
		return err
	}
	old, err := f.host.Store.Tokens(ctx, own.ID)
	if err != nil {
		return err
	}
	for _, t := range old {
		if t.Name == ownTokenName {
			if err := f.host.Store.RevokeToken(ctx, own.ID, t.ID); err != nil {
				return err
			}
		}
	}
	if _, secret, err = f.host.Store.CreateToken(ctx, own.ID, ownTokenName, []string{store.ScopeRepo}, 0); err != nil {
		return err
	}
	return writeSecret(file, secret)
}
