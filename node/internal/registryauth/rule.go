// Package registryauth decides who may do what at the node's registry, and
// makes the credentials for it. The registry's program asks Allowed for every
// request; the supervisor makes the files that Ensure describes.
package registryauth

import "strings"

// The accounts of the registry. Nobody is who shows no credentials: a build, a
// pod, another user of the machine.
const (
	Nobody = ""
	// Puller is the container runtime of the node: it reads every image.
	Puller = "node"
	// Pusher is hubship and the node's supervisor: they do everything.
	Pusher = "hubship"
)

// Public is what anybody may read: the base image that the node makes from
// Debian's packages alone. Nothing of a hub lies in it, and builds of changes
// that nobody has approved start from it without any credentials. It is exactly
// this repository, for a hub may be called library as well.
const Public = "library/debian"

// Allowed says whether an account may do something. kind, name and action are
// those of distribution's access records: "repository" with "pull", "push" or
// "delete", "registry" with "*" for the catalog. What is not known is refused.
func Allowed(account, kind, name, action string) bool {
	switch account {
	case Pusher:
		return true
	case Puller:
		return kind == "repository" && action == "pull"
	case Nobody:
		return kind == "repository" && action == "pull" && name == Public
	}
	return false
}

// known says whether the account is one of those with credentials.
func known(account string) bool {
	return account != Nobody && strings.Contains(" "+Puller+" "+Pusher+" ", " "+account+" ")
}
