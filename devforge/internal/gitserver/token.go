package gitserver

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// NewToken makes a token of 256 random bits, writes it to a file that its
// owner alone can read, in place of what was there, and returns it.
func NewToken(path string) (string, error) {
	raw := make([]byte, 32)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("create a Git token: %w", err)
	}
	token := base64.RawURLEncoding.EncodeToString(raw)
	// CreateTemp makes the file 0600; the rename never shows half a token.
	f, err := os.CreateTemp(filepath.Dir(path), ".token-*")
	if err != nil {
		return "", model.WithHint(fmt.Errorf("create a Git token: %w", err), "check that the data directory exists and is writable")
	}
	defer func() { _ = os.Remove(f.Name()) }() // a no-op after the rename
	_, err = f.WriteString(token + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", fmt.Errorf("write the Git token to %s: %w", path, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return "", fmt.Errorf("write the Git token to %s: %w", path, err)
	}
	return token, nil
}

// ReadToken returns the token of a file that NewToken wrote. A file that
// others can read is refused. The error wraps fs.ErrNotExist when there is
// none.
func ReadToken(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read the Git token: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", model.WithHint(fmt.Errorf("read the Git token: %s can be read by others (mode %04o)", path, info.Mode().Perm()),
			"remove the file: the next start creates a new token")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the Git token: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if len(token) < 32 {
		return "", model.WithHint(fmt.Errorf("read the Git token: %s does not contain one", path), "remove the file: the next start creates a new token")
	}
	return token, nil
}

// EnsureToken returns the token of the file, made now if there is none yet.
func EnsureToken(path string) (string, error) {
	token, err := ReadToken(path)
	if errors.Is(err, fs.ErrNotExist) {
		return NewToken(path)
	}
	return token, err
}
