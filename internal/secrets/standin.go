package secrets

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"github.com/getsops/sops/v3"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
)

var encrypted = regexp.MustCompile(`^ENC\[AES256_GCM,data:.*,type:(str|int|float|bool|bytes|comment)\]$`)

// StandIns returns the shape of a SOPS file without any key: its maps and
// lists, and in the place of each encrypted value one of its type that stands
// in for it. The same encrypted value has the same stand-in, and another one
// another: SOPS leaves what was not edited as it was. A file that is not
// encrypted is returned as it is.
func StandIns(name string, data []byte) (map[string]any, error) {
	silence()
	tree, err := storeFor(name).LoadEncryptedFile(data)
	if err != nil {
		values, err := release.ParseValues(data)
		if err != nil {
			// The parser's own words may quote the line it stumbled over.
			return nil, model.WithHint(fmt.Errorf("%s is neither a SOPS file nor valid YAML", name), "check it with `sops decrypt "+name+"`")
		}
		return values, nil
	}
	values := map[string]any{}
	for _, branch := range tree.Branches {
		for k, v := range standIn(branch).(map[string]any) {
			values[k] = v
		}
	}
	return values, nil
}

func standIn(v any) any {
	switch v := v.(type) {
	case sops.TreeBranch:
		out := map[string]any{}
		for _, item := range v {
			if _, comment := item.Key.(sops.Comment); comment {
				continue
			}
			out[fmt.Sprint(item.Key)] = standIn(item.Value)
		}
		return out
	case []any:
		out := []any{}
		for _, e := range v {
			// A comment between a list's items is encrypted as one of them.
			_, comment := e.(sops.Comment)
			if text, ok := e.(string); ok && encrypted.MatchString(text) && strings.HasSuffix(text, ",type:comment]") {
				comment = true
			}
			if !comment {
				out = append(out, standIn(e))
			}
		}
		return out
	case string:
		m := encrypted.FindStringSubmatch(v)
		if m == nil {
			return v
		}
		sum := sha256.Sum256([]byte(v))
		switch m[1] {
		case "int":
			return int64(sum[0])<<8 + int64(sum[1]) + 1
		case "float":
			return float64(sum[0]) + 0.5
		case "bool":
			return sum[0]&1 == 1
		}
		return "stand-in-" + hex.EncodeToString(sum[:8])
	}
	return v
}

// Local says that one of the keys that a SOPS file was encrypted for can be on
// this machine: an age or PGP key, rather than a cloud's key service.
func Local(name string, data []byte) bool {
	silence()
	tree, err := storeFor(name).LoadEncryptedFile(data)
	if err != nil {
		return false
	}
	for _, group := range tree.Metadata.KeyGroups {
		for _, key := range group {
			if id := key.TypeToIdentifier(); id == "age" || id == "pgp" {
				return true
			}
		}
	}
	return false
}
