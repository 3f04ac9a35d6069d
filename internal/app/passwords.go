package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/hubship/hubship/internal/forge/local/store"
	"github.com/hubship/hubship/internal/install"
)

// Everybody who tries a hub out is told the hubs' password, and every one of
// the hubs knows it. The forge's first person is a maintainer, who merges what
// is deployed: its password is another one, in a file of its own.

// forgePassword returns the generated password of the forge's first person, or
// makes one. One that is the hubs' as well is replaced.
func forgePassword(p install.Paths) (string, error) {
	password, err := install.EnsurePassword(p.ForgePassword)
	if err != nil {
		return "", err
	}
	of, err := hubsPassword(p)
	if err != nil || password != of {
		return password, err
	}
	password = install.NewPassword()
	return password, install.WriteSecret(p.ForgePassword, password)
}

// separatePasswords gives the first person of an older installation, which had
// the hubs' password, one of its own. It is kept before it holds, so that a
// process that dies in between is only asked to do it again.
func (e *embedded) separatePasswords(ctx context.Context, p install.Paths, admin store.Account) error {
	shared, err := hubsPassword(p)
	if err != nil || shared == "" {
		return err
	}
	_, err = e.host.Store.Login(ctx, admin.Login, shared)
	if errors.Is(err, store.ErrDenied) {
		return nil
	}
	if err != nil {
		return err
	}
	password, err := forgePassword(p)
	if err != nil {
		return err
	}
	e.log.Warn("the forge's admin had the hubs' password, and now has its own", "file", p.ForgePassword)
	return e.host.Store.SetPassword(ctx, admin.ID, password)
}

// hubsPassword is the one that was generated for the hubs, or "".
func hubsPassword(p install.Paths) (string, error) {
	raw, err := os.ReadFile(p.Password)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the hubs' password: %w", err)
	}
	return strings.TrimSpace(string(raw)), nil
}
