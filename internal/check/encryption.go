package check

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/hubship/hubship/internal/plan"
)

// maxClear bounds how many values in the clear are named in one file.
const maxClear = 20

// Encryption judges a file that is meant to be encrypted with SOPS, in any of
// its formats, which the name tells as SOPS itself tells them: YAML, JSON,
// dotenv, INI, and any other as JSON with its content as one value. A file
// that is not encrypted, a value that is in the clear and by the file's own
// settings should not be, and a missing checksum are errors. No key is
// needed: whether the checksum is right is not known here. Values are never
// told. data is the content of the file, of a symbolic link that of what it
// leads to.
func Encryption(name string, data []byte) []plan.Problem {
	report := &reporter{name: name, check: CheckEncryption}
	switch {
	case len(data) > maxYAMLSize:
		report.add(plan.Error, 0, fmt.Sprintf("the file has %s, but at most %s are read", megabytes(len(data)), megabytes(maxYAMLSize)), "encrypt secrets, not data")
		return report.problems
	case len(bytes.TrimSpace(data)) == 0:
		report.add(plan.Error, 0, "the file is empty: SOPS cannot decrypt it", "remove it, or add the secrets with `sops edit "+name+"`")
		return report.problems
	}
	if other := otherEncryption(data); other != "" {
		report.add(plan.Warning, 0, "the file is encrypted with "+other+", which hubship does not read", "encrypt it with SOPS if a hub's values are in it")
		return report.problems
	}
	file, line, err := readSealed(name, data)
	if err != nil {
		report.add(plan.Error, line, err.Error(), "restore it from an earlier commit, and change it with `sops edit "+name+"` only")
		return report.problems
	}
	if file == nil || !file.sops {
		report.add(plan.Error, 0, "the file is not encrypted with SOPS",
			"encrypt it with `sops encrypt --in-place "+name+"`, and replace the secrets in it: they are in the repository's history")
		return report.problems
	}
	if !sealed.MatchString(file.settings["mac"]) {
		report.add(plan.Error, file.line, "the file has no checksum (mac), so nobody can tell whether it was changed", "encrypt it again with SOPS")
	}
	clear := file.clear(report)
	for i, leaf := range clear {
		if i == maxClear {
			report.add(plan.Error, leaf.line, fmt.Sprintf("%d more values are not encrypted", len(clear)-i), "")
			break
		}
		what := "is not encrypted"
		if strings.HasPrefix(leaf.value, "ENC[") {
			what = "is damaged: it begins like an encrypted value but is not one"
		}
		report.add(plan.Error, leaf.line, dotted(leaf.path)+" "+what,
			"change the file with `sops edit "+name+"` only, and replace the value: it may have been seen")
	}
	sortByLine(report.problems)
	return report.problems
}

// sealed is a value that SOPS encrypted.
var sealed = regexp.MustCompile(`^ENC\[AES256_GCM,data:[^,]+,iv:[^,]+,tag:[^,]+,type:[a-z]+\]$`)

// otherEncryption names the program that encrypted the file, if it is a known
// one other than SOPS.
func otherEncryption(data []byte) string {
	for mark, program := range map[string]string{
		"\x00GITCRYPT\x00":                   "git-crypt",
		"$ANSIBLE_VAULT;":                    "Ansible Vault",
		"age-encryption.org/v1":              "age",
		"-----BEGIN AGE ENCRYPTED FILE-----": "age",
		"-----BEGIN PGP MESSAGE-----":        "PGP",
	} {
		if bytes.HasPrefix(data, []byte(mark)) {
			return program
		}
	}
	return ""
}

// sealedFile is a file as SOPS sees it.
type sealedFile struct {
	sops     bool              // it has SOPS' settings
	line     int               // of the settings
	settings map[string]string // SOPS' settings that are one value
	leaves   []leaf            // everything else
}

// leaf is one value of a file.
type leaf struct {
	path  []string // with the places in lists, for people
	keys  []string // without them, as SOPS' settings see it
	line  int
	value string
	null  bool
}

// clear returns the values that should be encrypted and are not. Settings that
// go by comments are left to SOPS.
func (f *sealedFile) clear(report *reporter) []leaf {
	s := f.settings
	if s["encrypted_comment_regex"] != "" || s["unencrypted_comment_regex"] != "" {
		return nil
	}
	var only, not *regexp.Regexp
	for setting, into := range map[string]**regexp.Regexp{"encrypted_regex": &only, "unencrypted_regex": &not} {
		if s[setting] == "" {
			continue
		}
		compiled, err := regexp.Compile(s[setting])
		if err != nil {
			report.add(plan.Error, f.line, "sops."+setting+" is not a regular expression", "")
			return nil
		}
		*into = compiled
	}
	var out []leaf
	for _, l := range f.leaves {
		if l.null || l.value == "" || sealed.MatchString(l.value) {
			continue
		}
		if mustBeSealed(l.keys, s["unencrypted_suffix"], s["encrypted_suffix"], not, only) {
			out = append(out, l)
		}
	}
	return out
}

// mustBeSealed applies SOPS' settings in SOPS' own order.
func mustBeSealed(keys []string, suffixNot, suffixOnly string, not, only *regexp.Regexp) bool {
	some := func(is func(string) bool) bool {
		for _, k := range keys {
			if is(k) {
				return true
			}
		}
		return false
	}
	must := true
	if suffixNot != "" && some(func(k string) bool { return strings.HasSuffix(k, suffixNot) }) {
		must = false
	}
	if suffixOnly != "" {
		must = some(func(k string) bool { return strings.HasSuffix(k, suffixOnly) })
	}
	if not != nil && some(not.MatchString) {
		must = false
	}
	if only != nil {
		must = some(only.MatchString)
	}
	return must
}

// readSealed reads the file in the format that its name tells. The result is
// nil for a file that has no structure at all.
func readSealed(name string, data []byte) (*sealedFile, int, error) {
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml":
		return sealedYAML(data)
	case ".env":
		return sealedLines(data, false), 0, nil
	case ".ini":
		return sealedLines(data, true), 0, nil
	case ".json":
		return sealedJSON(data)
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return sealedJSON(data)
	}
	return nil, 0, nil
}
