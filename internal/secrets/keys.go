package secrets

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/getsops/sops/v3"
	sopsage "github.com/getsops/sops/v3/age"

	"github.com/hubship/hubship/internal/model"
)

func keyGroup(recipients []string) (sops.KeyGroup, error) {
	if len(recipients) == 0 {
		return nil, errors.New("no recipient was given: nobody could open the file")
	}
	var group sops.KeyGroup
	for _, r := range recipients {
		key, err := sopsage.MasterKeyFromRecipient(r)
		if err != nil {
			if strings.HasPrefix(strings.ToUpper(strings.TrimSpace(r)), "AGE-SECRET-KEY-") {
				return nil, errors.New("a recipient is an age identity, which is secret: use its public key (age1…)")
			}
			return nil, fmt.Errorf("recipient %q is not an age public key (age1…) or an ssh public key", r)
		}
		group = append(group, key)
	}
	return group, nil
}

// identitiesIn reads a file of age identities. Errors name lines, never their
// text.
func identitiesIn(path string) (sopsage.ParsedIdentities, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, model.WithHint(fmt.Errorf("open age identities: %w", err),
			"restore the file from your backup: without it the secrets in the repository cannot be read")
	}
	defer f.Close()
	var ids sopsage.ParsedIdentities
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if err := ids.Import(text); err != nil {
			return nil, fmt.Errorf("read age identities: %s:%d is not an age identity", path, n)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read age identities: %w", err)
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("read age identities: there are none in %s", path)
	}
	return ids, nil
}

// NewKey makes an age identity in a file that only its owner may read, and
// returns the recipient that files are encrypted for. A file that is there is
// kept: NewKey then returns the recipient of its first identity. Of two who
// call it at once, both get the recipient of the one that stays.
func NewKey(path string) (recipient string, err error) {
	recipient, err = recipientOfFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return recipient, err
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return "", fmt.Errorf("make age identity: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("make folder of age identity: %w", err)
	}
	text := fmt.Sprintf("# created: %s\n# public key: %s\n%s\n", time.Now().UTC().Format(time.RFC3339), id.Recipient(), id)
	err = writeNew(path, []byte(text))
	if errors.Is(err, fs.ErrExist) {
		return recipientOfFile(path)
	}
	if err != nil {
		return "", fmt.Errorf("write age identity: %w", err)
	}
	return id.Recipient().String(), nil
}

// recipientOfFile returns the recipient of the first identity in the file.
func recipientOfFile(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("read age identity: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", model.WithHint(fmt.Errorf("read age identity: %s is readable by users other than its owner", path),
			"run `chmod 600 "+path+"`; if others had access to the machine, create a new key and encrypt the secrets again")
	}
	ids, err := identitiesIn(path)
	if err != nil {
		return "", err
	}
	switch id := ids[0].(type) {
	case *age.X25519Identity:
		return id.Recipient().String(), nil
	case *age.HybridIdentity:
		return id.Recipient().String(), nil
	}
	return "", fmt.Errorf("read age identity: the first one in %s belongs to a plugin: its recipient is unknown", path)
}

// writeNew writes a file that is there in full or not at all, also after a
// power cut, and never replaces one.
func writeNew(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
