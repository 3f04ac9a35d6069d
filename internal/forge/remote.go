package forge

import (
	"encoding/base64"
	"fmt"
	"strconv"
)

// Remote is how git reaches a repository. It does not show its credentials
// when it is printed.
type Remote struct {
	// URL to fetch from, without credentials. Besides branches it has
	// refs/pull/NUMBER/head, the head of each pull request, so that a fork is
	// never asked.
	URL string

	header string // of HTTP, with credentials; empty for none
}

// NewRemote is the remote at a URL, for HTTP with a user and a password; both
// empty for none.
func NewRemote(url, user, password string) Remote {
	r := Remote{URL: url}
	if user != "" || password != "" {
		r.header = "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	return r
}

// String is the URL.
func (r Remote) String() string { return r.URL }

// GoString is the URL.
func (r Remote) GoString() string { return fmt.Sprintf("forge.Remote{URL: %q}", r.URL) }

// Env are the variables of the environment that let git in, so that no
// argument has the credentials: settings of Git for this URL alone, which its
// own children inherit and no configuration file keeps. They replace such
// variables that are there already. Nobody is asked for a password, whatever
// happens.
func (r Remote) Env() []string {
	settings := [][2]string{
		// Helpers of the machine would be asked when the credentials are
		// refused, and would be told to forget theirs.
		{"credential.helper", ""}, {"core.askPass", ""},
	}
	if r.header != "" {
		settings = append(settings, [2]string{"http." + r.URL + ".extraHeader", r.header})
	}
	env := []string{"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=", "GIT_CONFIG_COUNT=" + strconv.Itoa(len(settings))}
	for i, s := range settings {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, s[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, s[1]))
	}
	return env
}

// PullHead is the ref of a pull request's head in the repository of its base.
func PullHead(number int) string { return "refs/pull/" + strconv.Itoa(number) + "/head" }
