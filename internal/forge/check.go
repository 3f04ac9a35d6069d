package forge

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Names that may stand in the path of a request. Slashes, dots alone and
// everything that a URL gives a meaning to are left out.
var (
	ownerName      = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9_])?$`)
	repositoryName = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`)
	loginName      = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9_])?(?:\[bot\])?$`)
	commitID       = regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`)
)

// Validate says what is wrong with a repository's name.
func (r Repository) Validate() error {
	if !ownerName.MatchString(r.Owner) {
		return fmt.Errorf("%w: %q is not a valid owner name", ErrInvalid, r.Owner)
	}
	if !repositoryName.MatchString(r.Name) || strings.Trim(r.Name, ".") == "" {
		return fmt.Errorf("%w: %q is not a valid repository name", ErrInvalid, r.Name)
	}
	return nil
}

// ParseRepository reads owner/name.
func ParseRepository(s string) (Repository, error) {
	owner, name, _ := strings.Cut(s, "/")
	r := Repository{Owner: owner, Name: name}
	if err := r.Validate(); err != nil {
		return Repository{}, fmt.Errorf("repository %q (expected owner/name): %w", s, err)
	}
	return r, nil
}

// CheckLogin says whether a login may be asked for.
func CheckLogin(login string) error {
	if !loginName.MatchString(login) {
		return fmt.Errorf("%w: %q is not a valid login", ErrInvalid, login)
	}
	return nil
}

// CheckCommit says whether an id is that of a commit, in full.
func CheckCommit(id string) error {
	if !commitID.MatchString(id) || strings.Trim(id, "0") == "" {
		return fmt.Errorf("%w: %q is not a full commit id", ErrInvalid, id)
	}
	return nil
}

// CheckBranch says whether a name may be that of a branch.
func CheckBranch(name string) error {
	bad := name == "" || len(name) > 250 || !utf8.ValidString(name) ||
		strings.HasPrefix(name, "-") || strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") || strings.HasSuffix(name, ".") ||
		strings.Contains(name, "..") || strings.Contains(name, "//") || strings.Contains(name, "@{") || name == "@" ||
		strings.ContainsAny(name, " ~^:?*[\\") || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7f })
	for part := range strings.SplitSeq(name, "/") {
		bad = bad || strings.HasPrefix(part, ".") || strings.HasSuffix(part, ".lock")
	}
	if bad {
		return fmt.Errorf("%w: %q is not a valid branch name", ErrInvalid, name)
	}
	return nil
}

// CheckLength says whether a text has at most limit characters.
func CheckLength(what, text string, limit int) error {
	if n := utf8.RuneCountInString(text); n > limit {
		return fmt.Errorf("%w: %s has %d characters, and may have %d", ErrInvalid, what, n, limit)
	}
	return nil
}

// Shorten returns a text of at most limit characters, ending with "…" when
// something was cut. A limit of 0 or less leaves nothing.
func Shorten(text string, limit int) string {
	if limit <= 0 {
		return ""
	}
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	runes := 0
	for i := range text {
		if runes == limit-1 {
			return text[:i] + "…"
		}
		runes++
	}
	return text
}
