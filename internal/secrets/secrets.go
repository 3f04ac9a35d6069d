// Package secrets reads and writes the files of a deployment repository that
// SOPS encrypted. Nothing it decrypts ever is in an error or a log.
package secrets

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/getsops/sops/v3"
	"github.com/getsops/sops/v3/aes"
	"github.com/getsops/sops/v3/config"
	"github.com/getsops/sops/v3/logging"
	"github.com/getsops/sops/v3/stores/json"
	sopsyaml "github.com/getsops/sops/v3/stores/yaml"
	"github.com/sirupsen/logrus"
	"go.yaml.in/yaml/v3"

	"github.com/hubship/hubship/internal/model"
)

// Decrypt returns the values of a SOPS file, as Helm takes them: maps, lists
// and scalars. name is the file's path in the repository; a name that ends in
// .json is read as JSON, any other as YAML. The error of a file that is not
// encrypted, or only in part, names it; no error quotes a value. The file says
// which keys it was encrypted for, and can only choose among those given:
// nothing else that it names is ever contacted, and no credential is used that
// the process or its user happens to have.
func Decrypt(name string, data []byte, keys Keys) (map[string]any, error) {
	tree, err := load(name, data)
	if errors.Is(err, sops.MetadataNotFound) {
		return nil, notEncrypted(name)
	}
	if err != nil {
		return nil, fmt.Errorf("decrypt %s: %w", name, err)
	}
	if plain := unencrypted(tree); len(plain) > 0 {
		return nil, model.WithHint(fmt.Errorf("decrypt %s: these values are not encrypted: %s", name, strings.Join(plain, ", ")),
			"edit the file with `sops edit "+name+"` only, and replace these values: they may have been seen")
	}
	dataKey, err := dataKeyOf(name, &tree, keys)
	if err != nil {
		return nil, err
	}
	if err := open(name, tree, dataKey); err != nil {
		return nil, err
	}
	plain, err := storeFor(name).EmitPlainFile(tree.Branches)
	if err != nil {
		return nil, fmt.Errorf("decrypt %s: its contents cannot be written as YAML or JSON", name)
	}
	defer clear(plain)
	values := map[string]any{}
	if err := yaml.Unmarshal(plain, &values); err != nil {
		return nil, model.WithHint(fmt.Errorf("decrypt %s: its contents are not one map of values", name),
			"a secrets file is laid out like a values file")
	}
	return values, nil
}

// Encrypt encrypts a YAML file for age recipients ("age1…", or an ssh public
// key). A comment within it is encrypted too.
func Encrypt(plain []byte, recipients []string) ([]byte, error) {
	silence()
	group, err := keyGroup(recipients)
	if err != nil {
		return nil, fmt.Errorf("encrypt secrets: %w", err)
	}
	store := storeFor("secrets.yaml")
	branches, err := store.LoadPlainFile(plain)
	if err != nil {
		return nil, errors.New("encrypt secrets: the text is not valid YAML")
	}
	if len(branches) == 0 || len(branches[0]) == 0 {
		return nil, errors.New("encrypt secrets: the text has no values")
	}
	if store.HasSopsTopLevelKey(branches[0]) {
		return nil, errors.New("encrypt secrets: the text is already encrypted")
	}
	tree := sops.Tree{
		Branches: branches,
		Metadata: sops.Metadata{
			KeyGroups:         []sops.KeyGroup{group},
			UnencryptedSuffix: sops.DefaultUnencryptedSuffix,
			Version:           formatVersion,
		},
	}
	dataKey, errs := tree.GenerateDataKey()
	if len(errs) > 0 {
		return nil, fmt.Errorf("encrypt secrets: generate a data key: %w", errors.Join(errs...))
	}
	cipher := aes.NewCipher()
	mac, err := tree.Encrypt(dataKey, cipher)
	if err != nil {
		return nil, errors.New("encrypt secrets: a value cannot be encrypted; write it as a string")
	}
	tree.Metadata.LastModified = time.Now().UTC()
	tree.Metadata.MessageAuthenticationCode, err = cipher.Encrypt(mac, dataKey, tree.Metadata.LastModified.Format(time.RFC3339))
	if err != nil {
		return nil, errors.New("encrypt secrets: the checksum cannot be encrypted")
	}
	out, err := store.EmitEncryptedFile(tree)
	if err != nil {
		return nil, errors.New("encrypt secrets: the encrypted file cannot be written as YAML")
	}
	return out, nil
}

// formatVersion is the version of SOPS whose format is written.
const formatVersion = "3.13.3"

// store is what the formats have in common.
type store interface {
	sops.EncryptedFileLoader
	sops.PlainFileLoader
	sops.EncryptedFileEmitter
	sops.PlainFileEmitter
	sops.CheckEncrypted
}

func storeFor(name string) store {
	c := config.NewStoresConfig()
	if strings.EqualFold(path.Ext(name), ".json") {
		return json.NewStore(&c.JSON)
	}
	return sopsyaml.NewStore(&c.YAML)
}

// open decrypts the tree in place and compares its checksum.
func open(name string, tree sops.Tree, dataKey []byte) error {
	cipher := aes.NewCipher()
	mac, err := tree.Decrypt(dataKey, cipher)
	if err != nil {
		return model.WithHint(fmt.Errorf("decrypt %s: a value was changed after it was encrypted, or moved to another key", name),
			"restore the file from an earlier commit, and change it with `sops edit "+name+"` only")
	}
	recorded, err := cipher.Decrypt(tree.Metadata.MessageAuthenticationCode, dataKey, tree.Metadata.LastModified.Format(time.RFC3339))
	text, ok := recorded.(string)
	if err != nil || !ok || text != mac {
		return model.WithHint(fmt.Errorf("decrypt %s: its checksum does not match: values were added, removed or changed by hand", name),
			"restore the file from an earlier commit, and change it with `sops edit "+name+"` only")
	}
	return nil
}

func notEncrypted(name string) error {
	return model.WithHint(fmt.Errorf("decrypt %s: it is not encrypted with SOPS", name),
		"encrypt it with `sops encrypt --in-place "+name+"`, and replace the secrets in it: they are in the history of the repository")
}

// unencrypted lists the keys of values that should be encrypted and are not.
// Files with rules of their own about what is encrypted are left to SOPS.
func unencrypted(tree sops.Tree) []string {
	m := tree.Metadata
	if m.EncryptedSuffix != "" || m.EncryptedRegex != "" || m.UnencryptedRegex != "" ||
		m.EncryptedCommentRegex != "" || m.UnencryptedCommentRegex != "" {
		return nil
	}
	var out []string
	var walk func(path string, v any)
	walk = func(at string, v any) {
		if m.UnencryptedSuffix != "" && strings.HasSuffix(at, m.UnencryptedSuffix) {
			return
		}
		switch v := v.(type) {
		case sops.TreeBranch:
			for _, item := range v {
				if _, ok := item.Key.(sops.Comment); ok {
					continue
				}
				walk(strings.TrimPrefix(fmt.Sprintf("%s.%v", at, item.Key), "."), item.Value)
			}
		case []any:
			for i, e := range v {
				walk(fmt.Sprintf("%s[%d]", at, i), e)
			}
		case sops.Comment, nil:
		case string:
			if v != "" && !strings.HasPrefix(v, "ENC[") {
				out = append(out, at)
			}
		default:
			out = append(out, at)
		}
	}
	for _, b := range tree.Branches {
		walk("", b)
	}
	return out
}

var silence = sync.OnceFunc(func() {
	// SOPS warns on standard error, quoting comments of the file.
	logging.SetLevel(logrus.PanicLevel)
})
