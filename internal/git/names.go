package git

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hubship/hubship/internal/model"
)

// maxName bounds the length of a revision or branch name, in bytes.
const maxName = 255

// CheckBranchName says whether name can be a branch, by git's rules for
// reference names and without anything that git could take for an option or a
// revision expression.
func CheckBranchName(name string) error {
	if problem := refProblem(name); problem != "" {
		return model.WithHint(fmt.Errorf("branch name %q %s", name, problem), "use letters, digits, '-', '_', '.' and '/'")
	}
	return nil
}

func refProblem(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > maxName:
		return "is too long"
	case !utf8.ValidString(name):
		return "is not valid UTF-8"
	case name[0] == '-':
		return "starts with '-'"
	case name == "@" || name == "HEAD":
		return "is reserved"
	case strings.Contains(name, "..") || strings.Contains(name, "@{"):
		return "contains '..' or '@{'"
	case strings.HasSuffix(name, "."):
		return "ends with '.'"
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return "has a part that is empty, starts with '.' or ends with '.lock'"
		}
	}
	for _, c := range name {
		if unicode.IsSpace(c) || unicode.IsControl(c) || strings.ContainsRune(`~^:?*[\`, c) {
			return fmt.Sprintf("contains %q", c)
		}
	}
	return ""
}

// checkRev refuses revisions that git could take for an option, a range, a
// path or a search.
func checkRev(rev string) error {
	bad := rev == "" || len(rev) > maxName || rev[0] == '-' || rev[0] == '^' || strings.Contains(rev, "..") || !utf8.ValidString(rev)
	for _, c := range rev {
		bad = bad || unicode.IsSpace(c) || unicode.IsControl(c) || strings.ContainsRune(`:?*[\`, c)
	}
	if bad {
		return model.Usage(fmt.Errorf("%q is not a revision", rev), "use a branch, a tag or a commit id")
	}
	return nil
}

// isObjectID says whether s is a full object id, SHA-1 or SHA-256.
func isObjectID(s string) bool {
	if len(s) != 40 && len(s) != 64 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// short abbreviates an object id for people.
func short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}
