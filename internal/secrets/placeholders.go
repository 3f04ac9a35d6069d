package secrets

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/getsops/sops/v3"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
)

var encrypted = regexp.MustCompile(`^ENC\[AES256_GCM,data:.*,type:(str|int|float|bool|bytes|comment)\]$`)

// Placeholders returns the shape of a SOPS file without any key: its maps and
// lists, and in the place of each encrypted value one of its type that stands
// in for it. The same encrypted value has the same stand-in, and another one
// another: SOPS leaves what was not edited as it was. Of a file that is not
// encrypted every text and number is stood in for: what is meant to be secret
// is not shown, even where somebody forgot to encrypt it.
func Placeholders(name string, data []byte) (map[string]any, error) {
	tree, err := load(name, data)
	if err != nil && !errors.Is(err, sops.MetadataNotFound) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if err != nil {
		values, err := release.ParseValues(data)
		if err != nil {
			// The parser's own words may quote the line it stumbled over.
			return nil, model.WithHint(fmt.Errorf("%s is neither a SOPS file nor valid YAML", name), "check it with `sops decrypt "+name+"`")
		}
		return covered(values).(map[string]any), nil
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

// coverKey keys what stands in for values in the clear, so that nobody can try
// likely values against it. It lives as long as the process.
var coverKey = sync.OnceValue(func() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return key
})

// covered stands in for the texts and numbers of a file in the clear.
func covered(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = covered(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = covered(e)
		}
		return out
	case nil, bool:
		return v
	}
	mac := hmac.New(sha256.New, coverKey())
	fmt.Fprintf(mac, "%T %v", v, v)
	sum := mac.Sum(nil)
	if _, text := v.(string); text {
		return "stand-in-" + hex.EncodeToString(sum[:8])
	}
	return int64(sum[0])<<8 + int64(sum[1]) + 1
}
