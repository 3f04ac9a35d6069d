package secrets

import (
	"bufio"
	"context"
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
	"github.com/getsops/sops/v3/keyservice"

	"github.com/hubship/hubship/internal/model"
)

// Keys open encrypted files.
type Keys struct {
	// AgeFile is the path of a file with age identities, one a line; "" means
	// none. What it does not open is left to SOPS: its environment variables
	// and configuration for age and PGP, and the credentials that the cloud
	// providers' key services find by themselves.
	AgeFile string
}

// keyPatience is how long key services may take: a cloud's may be out of reach.
const keyPatience = time.Minute

// dataKeyOf gets the key that the file's values are encrypted with.
func dataKeyOf(name string, tree *sops.Tree, keys Keys) ([]byte, error) {
	service := &service{}
	if keys.AgeFile != "" {
		ids, err := identities(keys.AgeFile)
		if err != nil {
			return nil, fmt.Errorf("decrypt %s: %w", name, err)
		}
		service.ids = ids
	}
	type answer struct {
		key []byte
		err error
	}
	done := make(chan answer, 1)
	go func() {
		key, err := tree.Metadata.GetDataKeyWithKeyServices(
			[]keyservice.KeyServiceClient{keyservice.NewCustomLocalClient(service)}, sops.DefaultDecryptionOrder)
		done <- answer{key, err}
	}()
	select {
	case a := <-done:
		if a.err != nil {
			return nil, model.WithHint(fmt.Errorf("decrypt %s: none of the keys at hand opens it: %s", name, describe(tree, a.err)),
				keyHint(keys))
		}
		return a.key, nil
	case <-time.After(keyPatience):
		return nil, model.WithHint(fmt.Errorf("decrypt %s: the key services did not answer within %s (%s)", name, keyPatience, recipientsOf(tree)),
			"check that this machine may reach them and has credentials for them")
	}
}

func keyHint(keys Keys) string {
	if keys.AgeFile != "" {
		return "encrypt the file for the recipient of " + keys.AgeFile + " too (`sops updatekeys`), or use the identity it was encrypted for"
	}
	return "give SOPS a key that it was encrypted for, for example with SOPS_AGE_KEY_FILE"
}

// describe names the keys that the file was encrypted for, which are public.
// What failed with each of them stays out: a provider's words are not ours to
// vouch for.
func describe(tree *sops.Tree, err error) string {
	text := "it was encrypted for " + recipientsOf(tree)
	if errors.Is(err, fs.ErrPermission) {
		text += "; a key file may not be read"
	}
	return text
}

func recipientsOf(tree *sops.Tree) string {
	var out []string
	for _, g := range tree.Metadata.KeyGroups {
		for _, k := range g {
			out = append(out, k.TypeToIdentifier()+" "+k.ToString())
		}
	}
	if len(out) == 0 {
		return "no key at all"
	}
	return strings.Join(out, ", ")
}

// service opens data keys with given age identities, and as SOPS does without
// them. Identities reach SOPS this way without an environment variable of the
// whole process.
type service struct {
	keyservice.Server
	ids sopsage.ParsedIdentities
}

// Decrypt implements keyservice.KeyServiceServer.
func (s *service) Decrypt(ctx context.Context, req *keyservice.DecryptRequest) (*keyservice.DecryptResponse, error) {
	if k := req.GetKey().GetAgeKey(); k != nil && len(s.ids) > 0 {
		key := &sopsage.MasterKey{Recipient: k.Recipient, EncryptedKey: string(req.Ciphertext)}
		s.ids.ApplyToMasterKey(key)
		if plain, err := key.Decrypt(); err == nil {
			return &keyservice.DecryptResponse{Plaintext: plain}, nil
		}
	}
	return s.Server.Decrypt(ctx, req)
}

func keyGroup(recipients []string) (sops.KeyGroup, error) {
	if len(recipients) == 0 {
		return nil, errors.New("no recipient is given: nobody could open the file")
	}
	var group sops.KeyGroup
	for _, r := range recipients {
		key, err := sopsage.MasterKeyFromRecipient(r)
		if err != nil {
			if strings.HasPrefix(strings.ToUpper(strings.TrimSpace(r)), "AGE-SECRET-KEY-") {
				return nil, errors.New("a recipient is an age identity, which is secret: give its public key (age1…)")
			}
			return nil, fmt.Errorf("recipient %q is not an age public key (age1…) or an ssh public key", r)
		}
		group = append(group, key)
	}
	return group, nil
}

// identities reads a file of age identities. Errors name lines, never their
// text.
func identities(path string) (sopsage.ParsedIdentities, error) {
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
		return nil, fmt.Errorf("read age identities: there is none in %s", path)
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
		return "", model.WithHint(fmt.Errorf("read age identity: %s may be read by others than its owner", path),
			"run `chmod 600 "+path+"`; if others had access to the machine, make a new key and encrypt the secrets anew")
	}
	ids, err := identities(path)
	if err != nil {
		return "", err
	}
	switch id := ids[0].(type) {
	case *age.X25519Identity:
		return id.Recipient().String(), nil
	case *age.HybridIdentity:
		return id.Recipient().String(), nil
	}
	return "", fmt.Errorf("read age identity: the first one in %s is of a plugin: its recipient is not known here", path)
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
