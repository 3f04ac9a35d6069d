package config

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	// maxLabel is the longest DNS label, and so the longest namespace.
	maxLabel = 63
	// maxRelease is the longest name that Helm gives a release.
	maxRelease = 53
	// maxHost is the longest DNS name.
	maxHost = 253
)

var (
	label       = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	hostName    = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	repository  = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	valuesPath  = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	hubUser     = regexp.MustCompile(`^[a-z0-9][-a-z0-9_.@]*$`)
	placeholder = regexp.MustCompile(`\{[^{}]*\}`)
)

// labelProblem says why a name is no DNS label, or returns "".
func labelProblem(name string, longest int) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > longest:
		return fmt.Sprintf("is longer than %d characters", longest)
	case !label.MatchString(name):
		return "is not a DNS label: expected lower-case letters, digits and '-', with a letter or digit at both ends"
	}
	return ""
}

// clusterName is what a cluster of an installation may be called: providers
// know names that are no DNS labels.
var clusterName = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$`)

// ClusterNameProblem says why a name cannot be that of a cluster, or returns
// "".
func ClusterNameProblem(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > maxLabel:
		return fmt.Sprintf("is longer than %d characters", maxLabel)
	case !clusterName.MatchString(name):
		return "is not the name of a cluster: expected letters, digits, '-', '_' and '.', with a letter or digit at both ends"
	}
	return ""
}

// reservedNamespace says that a namespace belongs to Kubernetes, to everybody
// or to hubship itself, so that no hub can live there.
func reservedNamespace(name string) bool {
	return name == "default" || name == "hubship" || strings.HasPrefix(name, "kube-") || strings.HasPrefix(name, "hubship-")
}

const reservedHint = "default, hubship, and what begins with kube- or hubship- are not for hubs"

// namespaceProblem says why a namespace cannot be that of a release, or returns
// "".
func namespaceProblem(name string) string {
	if p := labelProblem(name, maxLabel); p != "" {
		return p
	}
	if reservedNamespace(name) {
		return "is not allowed for hubs (" + reservedHint + ")"
	}
	return ""
}

// pathProblem says why a path cannot be used within a repository, or returns
// "".
func pathProblem(p string) string {
	switch {
	case p == "":
		return "is empty"
	case !utf8.ValidString(p) || strings.ContainsAny(p, "\x00\\\n"):
		return "contains a character that paths in a repository cannot have"
	case path.IsAbs(p):
		return "is absolute: expected a path within the repository"
	case slices.Contains(strings.Split(p, "/"), ".."):
		return "contains '..': expected a path without '..'"
	}
	return ""
}

// unknownPlaceholder returns the first placeholder of a pattern that is not
// among those allowed, or "".
func unknownPlaceholder(pattern string, allowed ...string) string {
	for _, p := range placeholder.FindAllString(pattern, -1) {
		if !slices.Contains(allowed, p) {
			return p
		}
	}
	return ""
}

// branchProblem says why a name cannot be a branch, or returns "". It is a
// little stricter than git: names that need quoting in a shell are refused.
func branchProblem(name string) string {
	for part := range strings.SplitSeq(name, "/") {
		if !branchPart.MatchString(part) || strings.HasSuffix(part, ".lock") || strings.HasSuffix(part, ".") || strings.Contains(part, "..") {
			return "is not a branch name: expected letters, digits, '-', '_', '.' and '/'"
		}
	}
	if name == "HEAD" {
		return "is reserved by git"
	}
	return ""
}

var branchPart = regexp.MustCompile(`^[A-Za-z0-9_][-A-Za-z0-9_.+]*$`)
