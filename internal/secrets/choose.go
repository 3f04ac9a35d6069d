package secrets

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/getsops/sops/v3"
	sopsage "github.com/getsops/sops/v3/age"
	"github.com/getsops/sops/v3/gcpkms"
	"github.com/getsops/sops/v3/hcvault"
	"github.com/getsops/sops/v3/keys"

	"github.com/hubship/hubship/internal/model"
)

// Keys are what an installation opens encrypted files with. A file chooses
// among them, by the keys that it says it was encrypted for.
type Keys struct {
	AgeFiles []string  // files of age identities, one a line
	Services []Service // key services
}

// Kinds of key services, as SOPS names them.
const (
	GoogleKMS = "gcp_kms"
	Vault     = "hc_vault"
)

// Service is a key service that may be asked, and for what.
type Service struct {
	Kind string // GoogleKMS or Vault
	// Allow are patterns of the keys that may be named, as path.Match reads
	// them: a "*" stands for one part between slashes.
	Allow []string
	// Credentials is the file with what hubship shows to the service: the JSON
	// of a service account, or Vault's token.
	Credentials string
}

// keyPatience is how long key services may take: a cloud's may be out of reach.
const keyPatience = time.Minute

// dataKeyOf gets the key that the file's values are encrypted with from the
// first of its keys that is among those of the installation.
func dataKeyOf(name string, tree *sops.Tree, installed Keys) ([]byte, error) {
	if groups := tree.Metadata.KeyGroups; len(groups) > 1 {
		return nil, model.WithHint(fmt.Errorf("decrypt %s: its key is split among %d groups, which is not supported", name, len(groups)),
			"encrypt it again with one group of keys, so that one key is enough to open it")
	}
	ids, err := identities(installed.AgeFiles)
	if err != nil {
		return nil, fmt.Errorf("decrypt %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), keyPatience)
	defer cancel()
	var refused []string
	for _, group := range tree.Metadata.KeyGroups {
		for _, key := range group {
			plain, why := ask(ctx, key, ids, installed.Services)
			if why == "" && len(plain) != dataBytes {
				why = "it does not contain a key"
			}
			if why == "" {
				return plain, nil
			}
			refused = append(refused, fmt.Sprintf("%s %s: %s", key.TypeToIdentifier(), shown(key.ToString()), why))
		}
	}
	if len(refused) == 0 {
		return nil, model.WithHint(fmt.Errorf("decrypt %s: it was not encrypted for any key", name), "encrypt it again with `sops encrypt`")
	}
	return nil, model.WithHint(fmt.Errorf("decrypt %s: none of its keys can open it here: %s", name, strings.Join(refused, "; ")), keyHint(installed))
}

// shown is the name of a key as a file gives it, safe to print.
func shown(name string) string {
	const most = 200
	quoted := strconv.Quote(name[:min(len(name), most)])
	if len(name) > most || quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

// keyHint says how a file gets a key that the installation has.
func keyHint(installed Keys) string {
	if len(installed.AgeFiles) > 0 {
		return "encrypt the file for the recipient of " + installed.AgeFiles[0] + " too (`sops updatekeys`), or have the operator name the key under `keys` in installation.json"
	}
	return "have the operator name an age identity or a key service under `keys` in installation.json"
}

// ask opens a data key with one of the file's keys, or says why not. What went
// wrong with a service stays out: a provider's words are not ours to vouch for.
func ask(ctx context.Context, key keys.MasterKey, ids []age.Identity, services []Service) (plain []byte, why string) {
	if k, ok := key.(*sopsage.MasterKey); ok {
		if len(ids) == 0 {
			return nil, "the installation has no age identity"
		}
		plain, err := openAge(k.EncryptedKey, ids)
		if err != nil {
			return nil, "the installation has no age identity for it"
		}
		return plain, ""
	}
	service := allowed(key, services)
	if service == nil {
		return nil, "it is not one of this installation's key services, and was not asked"
	}
	credentials, err := os.ReadFile(service.Credentials)
	if err != nil {
		return nil, "the credentials for it cannot be read"
	}
	switch k := key.(type) {
	case *gcpkms.MasterKey:
		gcpkms.CredentialJSON(credentials).ApplyToMasterKey(k)
		plain, err = k.DecryptContext(ctx)
	case *hcvault.MasterKey:
		token := strings.TrimSpace(string(credentials))
		if token == "" {
			// Without one SOPS would look for another in the environment.
			return nil, "the file of its credentials is empty"
		}
		hcvault.Token(token).ApplyToMasterKey(k)
		plain, err = k.DecryptContext(ctx)
	default:
		return nil, "key services of this kind are not supported"
	}
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Sprintf("the service did not answer within %s", keyPatience)
	case err != nil:
		return nil, "the service could not open it"
	}
	return plain, ""
}

// allowed returns the service of the installation that a key of a file may be
// asked of; nil when there is none.
func allowed(key keys.MasterKey, services []Service) *Service {
	name := key.ToString()
	// What means something else to a client than to the pattern.
	if strings.ContainsAny(name, "?#@% \\\t\n") || strings.Contains(name, "..") {
		return nil
	}
	for i, s := range services {
		if s.Kind != key.TypeToIdentifier() || s.Credentials == "" {
			continue
		}
		for _, pattern := range s.Allow {
			if ok, err := path.Match(pattern, name); err == nil && ok {
				return &services[i]
			}
		}
	}
	return nil
}

// openAge opens a data key with age. SOPS' own way would look for identities
// in the environment and in the user's home too.
func openAge(encrypted string, ids []age.Identity) ([]byte, error) {
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(encrypted)), ids...)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if _, err := io.Copy(&out, io.LimitReader(r, dataBytes+1)); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// identities reads all files of age identities.
func identities(files []string) ([]age.Identity, error) {
	var out []age.Identity
	for _, file := range files {
		ids, err := identitiesIn(file)
		if err != nil {
			return nil, err
		}
		out = append(out, ids...)
	}
	return out, nil
}
