package install

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// EnsurePassword returns the generated password that a file holds, made now if
// there is none yet.
func EnsurePassword(file string) (string, error) {
	raw, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the generated password: %w", err)
	}
	if password := strings.TrimSpace(string(raw)); password != "" {
		return password, nil
	}
	password := NewPassword()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", fmt.Errorf("keep the generated password: %w", err)
	}
	return password, WriteSecret(file, password)
}

// NewPassword makes 24 letters and digits, about 120 bits.
func NewPassword() string { return rand.Text()[:24] }

// WriteSecret replaces a file that its owner alone can read.
func WriteSecret(file, secret string) error {
	tmp := file + ".new"
	if err := os.WriteFile(tmp, []byte(secret+"\n"), 0o600); err != nil {
		return fmt.Errorf("keep a secret: %w", err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return fmt.Errorf("keep a secret: %w", err)
	}
	return nil
}
