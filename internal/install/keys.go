package install

import (
	"fmt"
	"path"
	"path/filepath"
)

// Keys say what opens the encrypted files of the deployment repository, besides
// the age identity in the data directory. A file chooses among these: whatever
// else it names is never contacted.
type Keys struct {
	AgeFiles []string     `json:"ageFiles,omitempty"` // absolute paths of files with age identities
	Services []KeyService `json:"services,omitempty"`
}

// KeyService is a key service that hubship may ask.
type KeyService struct {
	Kind        string   `json:"kind"`        // "gcp_kms" or "hc_vault"
	Allow       []string `json:"allow"`       // patterns of keys: projects/x/locations/global/keyRings/hubs/cryptoKeys/*
	Credentials string   `json:"credentials"` // absolute path of a file: a service account's JSON, or Vault's token
}

func (k *Keys) problems() []error {
	if k == nil {
		return nil
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("keys: "+format, args...)) }
	for _, file := range k.AgeFiles {
		if !filepath.IsAbs(file) {
			bad("ageFiles: %q: expected an absolute path", file)
		}
	}
	for _, s := range k.Services {
		if s.Kind != "gcp_kms" && s.Kind != "hc_vault" {
			bad("services: kind %q: expected gcp_kms or hc_vault", s.Kind)
		}
		if !filepath.IsAbs(s.Credentials) {
			bad("services: credentials %q: expected the absolute path of a file", s.Credentials)
		}
		if len(s.Allow) == 0 {
			bad("services: allow is empty: name the keys that may be used")
		}
		for _, pattern := range s.Allow {
			if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
				bad("services: allow %q is not a pattern", pattern)
			}
		}
	}
	return errs
}
