package registryauth

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// Files are where the credentials lie, each readable by root alone.
type Files struct {
	// Hashes is an htpasswd file with bcrypt, for the registry.
	Hashes string
	// Push and Pull are docker configuration files with the one account each.
	Push, Pull string
}

// Ensure makes the credentials for the registry at host if any of them is
// missing, does not fit the hashes or can be read by others. Who had the old
// ones finds the new ones in the same files.
func (f Files) Ensure(host string) error {
	if f.fit(host) {
		return nil
	}
	var hashes bytes.Buffer
	for _, made := range []struct{ account, file string }{{Pusher, f.Push}, {Puller, f.Pull}} {
		password := rand.Text() + rand.Text() // 256 bits
		hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
		if err != nil {
			return fmt.Errorf("create the registry's credentials: %w", err)
		}
		fmt.Fprintf(&hashes, "%s:%s\n", made.account, hash)
		data, err := json.MarshalIndent(dockerConfig{Auths: map[string]dockerAuth{
			host: {Auth: base64.StdEncoding.EncodeToString([]byte(made.account + ":" + password))},
		}}, "", "  ")
		if err != nil {
			return fmt.Errorf("create the registry's credentials: %w", err)
		}
		if err := replace(made.file, append(data, '\n')); err != nil {
			return fmt.Errorf("create the registry's credentials: %w", err)
		}
	}
	// Last, so that its presence says that all are there.
	if err := replace(f.Hashes, hashes.Bytes()); err != nil {
		return fmt.Errorf("create the registry's credentials: %w", err)
	}
	return nil
}

type dockerConfig struct {
	Auths map[string]dockerAuth `json:"auths"`
}

type dockerAuth struct {
	Auth string `json:"auth"`
}

// fit says whether all files are there, closed to others, and belong together.
func (f Files) fit(host string) bool {
	hashes, err := ReadHashes(f.Hashes)
	if err != nil {
		return false
	}
	for _, want := range []struct{ account, file string }{{Pusher, f.Push}, {Puller, f.Pull}} {
		info, err := os.Lstat(want.file)
		if err != nil || info.Mode() != 0o600 {
			return false
		}
		account, password, err := Read(want.file, host)
		if err != nil || account != want.account || bcrypt.CompareHashAndPassword(hashes[account], []byte(password)) != nil {
			return false
		}
	}
	return true
}

// Read returns the account and the password that a docker configuration file
// has for a host.
func Read(file, host string) (account, password string, err error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", "", fmt.Errorf("read the registry's credentials: %w", err)
	}
	var c dockerConfig
	if err := json.Unmarshal(data, &c); err != nil {
		return "", "", fmt.Errorf("read the registry's credentials from %s: it is not a docker configuration file", file)
	}
	raw, err := base64.StdEncoding.DecodeString(c.Auths[host].Auth)
	account, password, ok := strings.Cut(string(raw), ":")
	if err != nil || !ok {
		return "", "", fmt.Errorf("read the registry's credentials from %s: there are none for %s", file, host)
	}
	return account, password, nil
}

// ReadHashes reads an htpasswd file. Others than its owner must not have
// written to it, nor read it.
func ReadHashes(file string) (map[string][]byte, error) {
	info, err := os.Lstat(file)
	if err != nil {
		return nil, fmt.Errorf("read the registry's accounts: %w", err)
	}
	if info.Mode() != 0o600 {
		return nil, fmt.Errorf("read the registry's accounts: %s has mode %v, want a file of mode 0600", file, info.Mode())
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the registry's accounts: %w", err)
	}
	hashes := map[string][]byte{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		account, hash, ok := strings.Cut(lines.Text(), ":")
		if !ok || !known(account) {
			return nil, fmt.Errorf("read the registry's accounts: %s has an invalid line", file)
		}
		hashes[account] = []byte(hash)
	}
	return hashes, lines.Err()
}

// replace leaves either the old file or the whole new one, closed to others
// from its first byte on.
func replace(file string, data []byte) error {
	temp := file + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	out, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(data)
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	return os.Rename(temp, file)
}
