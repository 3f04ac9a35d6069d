package authority

import "strings"

// Speaks says why somebody may not say something of a commit under a name, the
// context of a status or the name of a check run; "" when they may. What begins
// with hubship is hubship's own to say, in every repository.
func Speaks(name string, own bool) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if own || name != "hubship" && !strings.HasPrefix(name, "hubship/") {
		return ""
	}
	return "Only hubship's own account can set names that begin with hubship/"
}
