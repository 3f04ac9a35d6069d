package secrets

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/getsops/sops/v3"
	"go.yaml.in/yaml/v3"

	"github.com/hubship/hubship/internal/model"
)

// Bounds of an encrypted file, which comes from a change that nobody has
// reviewed yet.
const (
	maxSize   = 1 << 20 // bytes
	maxNodes  = 50_000  // maps, lists and values
	maxDepth  = 100     // of maps and lists within each other
	maxKeys   = 100     // that it was encrypted for
	dataBytes = 32      // of the key that its values are encrypted with
)

// load reads an encrypted file within bounds. The error is
// sops.MetadataNotFound when it does not carry the marks of SOPS. No error
// quotes the file.
func load(name string, data []byte) (sops.Tree, error) {
	silence()
	if len(data) > maxSize {
		return sops.Tree{}, model.WithHint(fmt.Errorf("the file has %d bytes: the limit is %d", len(data), maxSize), "encrypt secrets, not data")
	}
	if err := bounded(data); err != nil {
		return sops.Tree{}, err
	}
	tree, err := storeFor(name).LoadEncryptedFile(data)
	if errors.Is(err, sops.MetadataNotFound) {
		return sops.Tree{}, err
	}
	invalid := model.WithHint(errors.New("it is not a valid SOPS file"), "check it with `sops decrypt "+name+"`, or restore it from an earlier commit")
	if err != nil {
		// The parser's own words may quote the line it stumbled over.
		return sops.Tree{}, invalid
	}
	keys := 0
	for _, group := range tree.Metadata.KeyGroups {
		keys += len(group)
	}
	if keys > maxKeys {
		return sops.Tree{}, model.WithHint(fmt.Errorf("it is encrypted for %d keys: the limit is %d", keys, maxKeys), "remove keys with `sops updatekeys`")
	}
	tree.FilePath = name
	return tree, nil
}

// bounded refuses what would grow while it is read. SOPS follows aliases, each
// time anew, and writes none itself. Text that is no YAML is left to SOPS.
func bounded(data []byte) error {
	nodes := 0
	var walk func(n *yaml.Node, depth int) error
	walk = func(n *yaml.Node, depth int) error {
		switch nodes++; {
		case n.Kind == yaml.AliasNode || n.Anchor != "":
			return model.WithHint(fmt.Errorf("it has an anchor or an alias in line %d, which an encrypted file never needs", n.Line), "write out the value, with `sops edit`")
		case nodes > maxNodes || depth > maxDepth:
			return fmt.Errorf("it has more than %d values, or maps and lists more than %d deep", maxNodes, maxDepth)
		}
		for _, child := range n.Content {
			if err := walk(child, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	for docs := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		if docs.Decode(&doc) != nil {
			return nil // the end, or what SOPS refuses too
		}
		if err := walk(&doc, 0); err != nil {
			return err
		}
	}
}
