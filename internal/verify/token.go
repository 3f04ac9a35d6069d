package verify

import (
	"errors"
	"fmt"
	"strings"
)

// SecretName is the name of the Secret, in the release's namespace, that holds
// the tokens of the hub's services.
const SecretName = "hub"

// ErrNoToken says that the release provides no token for the service.
var ErrNoToken = errors.New("the release provides no token for the service")

// SecretKey returns the key of a service's token in the Secret SecretName.
func SecretKey(service string) string { return "hub.services." + service + ".apiToken" }

// TokenFrom returns the token of the service from the data of the Secret
// SecretName; ErrNoToken when it is not there. A caller that finds no such
// Secret passes nil.
func TokenFrom(data map[string][]byte, service string) (string, error) {
	token := strings.TrimSpace(string(data[SecretKey(service)]))
	if token == "" {
		return "", fmt.Errorf("%w %s: Secret %s has no key %s", ErrNoToken, service, SecretName, SecretKey(service))
	}
	return token, nil
}

// Scopes returns what the service must be allowed to do, as it is written in
// the hub's values: nothing beyond the dedicated user.
func Scopes(user string) []string {
	return []string{
		"admin:users!user=" + user,    // create it, look at it, remove it
		"servers!user=" + user,        // start, follow and stop its server
		"access:servers!user=" + user, // use that server as its user
	}
}

// Values returns the part of a hub's values that gives the service a token
// and its scopes, and keeps people from signing in as the user, as YAML. A chart
// that has JupyterHub as a dependency nests it below that dependency's name.
func Values(service, user string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "hub:\n  config:\n    Authenticator:\n      blocked_users: [%s]\n  services:\n    %s: {}\n  loadRoles:\n    %s:\n      services: [%s]\n      scopes:\n", user, service, service, service)
	for _, scope := range Scopes(user) {
		fmt.Fprintf(&b, "        - %q\n", scope)
	}
	return b.String()
}

// missing returns those of the scopes needed for the user that are not among
// the expanded ones.
func missing(expanded []string, user string) []string {
	have := make(map[string]bool, len(expanded))
	for _, scope := range expanded {
		have[scope] = true
	}
	var out []string
	for _, scope := range Scopes(user) {
		all, _, _ := strings.Cut(scope, "!")
		// A scope that is limited otherwise, such as by group, may cover the
		// user or not; the hub decides when it is used.
		if have[scope] || have[all] || limited(expanded, all+"!group=") {
			continue
		}
		out = append(out, scope)
	}
	return out
}

func limited(expanded []string, prefix string) bool {
	for _, scope := range expanded {
		if strings.HasPrefix(scope, prefix) {
			return true
		}
	}
	return false
}
