package cluster

import (
	"context"
	"fmt"
	"strings"

	authorization "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Access is what a cluster lets hubship do.
type Access struct {
	Version string   `json:"version"` // of Kubernetes
	Missing []string `json:"missing"` // what hubship needs and may not do, one line each
}

// need is something that hubship does in every namespace of a hub, or for the
// whole cluster.
type need struct {
	group, resource, subresource string
	verbs                        string // separated by spaces
	why                          string
}

// needs are what releases, evidence and verification take. Charts may bring
// more; what they do is told by the upgrade.
var needs = []need{
	{"", "namespaces", "", "get create", "a hub's namespace"},
	{"", "secrets", "", "get list create update delete", "Helm's records, and what charts keep"},
	{"", "configmaps", "", "get list create update delete", "evidence, halts, and settings of hubs"},
	{"coordination.k8s.io", "leases", "", "get create update delete", "one run at a time for each release"},
	{"", "services", "", "get list create patch delete", "releases"},
	{"", "serviceaccounts", "", "get create patch delete", "releases"},
	{"", "persistentvolumeclaims", "", "get list create patch delete", "the hub's database"},
	{"apps", "deployments", "", "get list watch create patch delete", "releases"},
	{"apps", "replicasets", "", "get list", "why a release is not ready"},
	{"rbac.authorization.k8s.io", "roles", "", "get create patch delete", "releases"},
	{"rbac.authorization.k8s.io", "rolebindings", "", "get create patch delete", "releases"},
	{"", "pods", "", "get list watch", "whether a release is ready"},
	{"", "pods", "log", "get", "why a release is not ready"},
	{"", "pods", "portforward", "create", "the way to a hub, for people and for verification"},
	{"", "events", "", "list", "why a release is not ready"},
	{"", "nodes", "", "list", "which images a cluster has"},
}

// Access asks the cluster what hubship may do there. The error says why nothing
// could be asked.
func (c *Conn) Access(ctx context.Context) (Access, error) {
	version, err := c.Client.Discovery().ServerVersion()
	if err != nil {
		return Access{}, fmt.Errorf("reach %s: %w", c.Server(), err)
	}
	a := Access{Version: version.GitVersion, Missing: []string{}}
	for _, n := range needs {
		var refused []string
		for verb := range strings.FieldsSeq(n.verbs) {
			review := &authorization.SelfSubjectAccessReview{Spec: authorization.SelfSubjectAccessReviewSpec{
				ResourceAttributes: &authorization.ResourceAttributes{Group: n.group, Resource: n.resource, Subresource: n.subresource, Verb: verb},
			}}
			answer, err := c.Client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
			if err != nil {
				return a, fmt.Errorf("ask %s what hubship may do: %w", c.Server(), err)
			}
			if !answer.Status.Allowed {
				refused = append(refused, verb)
			}
		}
		if len(refused) > 0 {
			what := n.resource
			if n.subresource != "" {
				what += "/" + n.subresource
			}
			if n.group != "" {
				what += "." + n.group
			}
			a.Missing = append(a.Missing, fmt.Sprintf("%s %s (%s)", strings.Join(refused, ", "), what, n.why))
		}
	}
	return a, nil
}
