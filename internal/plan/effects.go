package plan

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// The components of Zero to JupyterHub, by what users feel when they restart.
var (
	background = []string{"user-scheduler", "user-placeholder", "image-puller", "continuous-image-puller", "hook-image-puller", "hook-image-awaiter"}
	proxies    = []string{"proxy", "autohttps"}
)

// part is the component that an object belongs to: by its label, else by its
// name, as the chart names things.
func part(c Change) string {
	if c.Component != "" {
		return c.Component
	}
	for _, name := range append([]string{"hub", "proxy-public", "proxy-api", "proxy-http", "proxy", "autohttps", "singleuser"}, background...) {
		if c.Name == name || strings.HasSuffix(c.Name, "-"+name) {
			return name
		}
	}
	return ""
}

// holdsData says that what is stored is lost with an object of the kind.
func holdsData(kind string) bool {
	return slices.Contains([]string{"PersistentVolumeClaim", "PersistentVolume", "Namespace", "CustomResourceDefinition"}, kind)
}

// keeps says that Helm leaves the object when the release has it no more.
func keeps(c Change) bool {
	for _, f := range c.Fields {
		if strings.Contains(f.Path, "helm.sh/resource-policy") && f.After == nil {
			policy, _ := f.Before.(string)
			return strings.EqualFold(strings.TrimSpace(policy), "keep")
		}
	}
	return false
}

func why(c Change, path string) string { return c.Object() + ": " + path }

// object judges one object.
func (j *judge) object(c Change) {
	switch {
	case c.Hook:
		j.hook(c)
	case j.release.Change == Added:
		// Nobody uses anything of it yet.
	case c.Change == Removed:
		j.gone(c)
	case c.Change == Added:
		j.come(c)
	default:
		j.fixed(c)
		j.changed(c)
	}
}

// hook judges what an upgrade runs and does not keep.
func (j *judge) hook(c Change) {
	if c.Change == Removed || !slices.Contains([]string{"DaemonSet", "Job", "Pod"}, c.Kind) {
		return
	}
	field := first(c, "spec")
	if c.Change == Changed && field == "" {
		return
	}
	reason := c.Object()
	if field != "" {
		reason = why(c, field)
	}
	if strings.Contains(part(c), "image-puller") || strings.Contains(c.Name, "image-puller") || strings.Contains(c.Name, "image-awaiter") {
		// The object differs between DaemonSet and Job: say it once.
		j.feel(Background, "the upgrade waits until nodes have pulled the images", "the upgrade waits until nodes have pulled the images", reason, Change{})
		return
	}
	j.feel(Background, "", "the upgrade runs "+c.Object(), reason, c)
}

// first returns the path of the field that says most about a change below a
// path, or empty: an image, else what is no checksum, else any.
func first(c Change, below string) string {
	best, at := "", -1
	for _, f := range c.Fields {
		if !under(f.Path, below) {
			continue
		}
		n := 1
		switch {
		case f.Digest:
			n = 0
		case strings.HasSuffix(f.Path, ".image"):
			n = 2
		}
		if n > at {
			best, at = f.Path, n
		}
	}
	return best
}

// under says that a path is another one, or below it.
func under(path, root string) bool {
	rest, ok := strings.CutPrefix(path, root)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

func count(c Change, below string) int {
	n := 0
	for _, f := range c.Fields {
		if under(f.Path, below) {
			n++
		}
	}
	return n
}

func field(c Change, path string) (Field, bool) {
	for _, f := range c.Fields {
		if f.Path == path {
			return f, true
		}
	}
	return Field{}, false
}

// gone judges an object that the release has no more.
func (j *judge) gone(c Change) {
	if keeps(c) {
		j.feel(Background, "", c.Object()+" leaves the release and stays in the cluster", `its annotation helm.sh/resource-policy says "keep"`, c)
		return
	}
	const none = "the head no longer has it"
	switch c.Kind {
	case "PersistentVolumeClaim":
		j.destroyed(c, c.Object()+" is deleted with the data stored in it", none)
	case "PersistentVolume":
		j.destroyed(c, c.Object()+" is deleted: claims that use it lose their volume", none)
	case "Namespace":
		j.destroyed(c, c.Object()+" is deleted with everything in it", none)
	case "CustomResourceDefinition":
		j.destroyed(c, c.Object()+" is deleted with every object of that kind", none)
	case "Deployment", "StatefulSet", "DaemonSet":
		who := subject(c)
		switch {
		case part(c) == "hub":
			j.feel(HubRestart, "the hub goes away (nobody can log in)", "the hub goes away: nobody can log in, running servers stay", c.Object()+": "+none, c)
		case slices.Contains(proxies, part(c)):
			j.feel(ProxyDown, who+" goes away (open connections drop)", who+" goes away: open connections drop", c.Object()+": "+none, c)
		case c.Kind == "DaemonSet" || slices.Contains(background, part(c)):
			j.feel(Background, "", who+" goes away", c.Object()+": "+none, c)
		default:
			j.feel(HubRestart, who+" goes away", who+" goes away: what uses it fails", c.Object()+": "+none, c)
		}
	case "Ingress":
		j.feel(ProxyDown, "an address goes away", "the address of "+c.Object()+" goes away: it can no longer be used", c.Object()+": "+none, c)
	case "Service":
		level := Background
		if strings.HasPrefix(part(c), "proxy") {
			level = ProxyDown
		} else if part(c) == "hub" {
			level = HubRestart
		}
		j.feel(level, c.Object()+" goes away", c.Object()+" goes away: what uses it fails", c.Object()+": "+none, c)
	default:
		j.feel(Background, "", c.Object()+" goes away", none, c)
	}
}

// come judges an object that is new to the release.
func (j *judge) come(c Change) {
	switch c.Kind {
	case "Deployment", "StatefulSet", "DaemonSet":
		j.feel(Background, "", c.Object()+" starts", "it is new", c)
	case "Ingress":
		j.feel(Background, "an address is added", "the hub gets an address: "+c.Object(), "it is new", c)
	case "NetworkPolicy":
		j.network(c, "it is new")
	default:
		j.feel(Background, "", c.Object()+" is made", "it is new", c)
	}
}

// subject names what a workload is to users.
func subject(c Change) string {
	switch p := part(c); {
	case p == "hub":
		return "the hub"
	case p == "proxy":
		return "the proxy"
	case p == "autohttps":
		return "the HTTPS proxy"
	default:
		return c.Object()
	}
}

// changed judges the fields of an object that stays.
func (j *judge) changed(c Change) {
	switch c.Kind {
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet":
		j.workload(c)
	case "Secret", "ConfigMap":
		j.settings(c)
	case "PersistentVolumeClaim":
		j.pvc(c)
	case "Service":
		j.service(c)
	case "Ingress":
		j.ingress(c)
	case "NetworkPolicy":
		if f := first(c, "spec"); f != "" {
			j.network(c, why(c, f))
		}
	default:
		if f := substance(c); f != "" && !j.said(c) {
			j.feel(Background, "", kindly(c), why(c, f), c)
		}
	}
}

// said says that something was told of the object already.
func (j *judge) said(c Change) bool {
	return slices.ContainsFunc(j.effects, func(f felt) bool { return f.Object == c.Object() })
}

// substance is the first field that is more than a label or a note.
func substance(c Change) string {
	for _, f := range c.Fields {
		if !under(f.Path, "metadata") && f.Path != "apiVersion" {
			return f.Path
		}
	}
	return ""
}

func kindly(c Change) string {
	switch c.Kind {
	case "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "ServiceAccount":
		return "permissions change at once: " + c.Object()
	case "PodDisruptionBudget":
		return "how many pods may be evicted at a time changes: " + c.Object()
	case "CronJob":
		return "a scheduled job changes: " + c.Object()
	}
	return c.Object() + " changes"
}

func (j *judge) workload(c Change) {
	if f, ok := field(c, "spec.replicas"); ok && isZero(f.After) {
		j.stopped(c)
	}
	f := first(c, "spec.template")
	if f == "" {
		if rest := first(c, "spec"); rest != "" {
			j.feel(Background, "", c.Object()+" changes without a restart", why(c, rest), c)
		}
		return
	}
	reason := why(c, f)
	if n := count(c, "spec.template") - 1; n > 0 {
		reason += fmt.Sprintf(" and %d more", n)
	}
	if d, _ := field(c, f); d.Digest {
		reason = j.behind(c, f)
	}
	switch p := part(c); {
	case p == "hub":
		j.feel(HubRestart, "the hub restarts (logins wait, running servers stay)", "the hub restarts: logins wait, running servers stay", reason, c)
	case p == "proxy":
		j.feel(ProxyDown, "the proxy restarts (every open connection drops)", "the proxy restarts: every open connection drops, servers keep running, notebooks reconnect", reason, c)
	case p == "autohttps":
		j.feel(ProxyDown, "the HTTPS proxy restarts (every open connection drops)", "the HTTPS proxy restarts: every open HTTPS connection drops, servers keep running, notebooks reconnect", reason, c)
	case slices.Contains(background, p) || c.Kind == "DaemonSet":
		j.feel(Background, "", c.Object()+" restarts", reason, c)
	default:
		j.feel(HubRestart, c.Object()+" restarts", c.Object()+" restarts: what uses it waits meanwhile", reason, c)
	}
}

func isZero(v any) bool { return fmt.Sprint(v) == "0" }

func (j *judge) stopped(c Change) {
	who, level, felt := subject(c), HubRestart, "what uses it fails"
	switch p := part(c); {
	case p == "hub":
		felt = "nobody can log in"
	case slices.Contains(proxies, p):
		level, felt = ProxyDown, "nobody can reach the hub or a server"
	case slices.Contains(background, p):
		level, felt = Background, "users do not notice it"
	}
	j.feel(level, who+" is turned off ("+felt+")", who+" is turned off: "+felt, why(c, "spec.replicas"), c)
}

// behind says what a changed checksum stands for: the settings of the same
// component that differ.
func (j *judge) behind(c Change, path string) string {
	for _, kind := range []string{"Secret", "ConfigMap"} {
		for _, o := range j.changes {
			if o.Kind != kind || part(o) != part(c) || o.Change != Changed {
				continue
			}
			var paths []string
			for _, f := range o.Fields {
				if _, inner := setting(f); !f.Digest && !strings.HasPrefix(inner, "Chart.") && (under(f.Path, "data") || under(f.Path, "stringData")) {
					paths = append(paths, f.Path)
				}
			}
			// The hub's own settings, and those of its users' servers, say more
			// than those that it only has beside.
			slices.SortStableFunc(paths, func(a, b string) int { return aside(a) - aside(b) })
			if len(paths) > 0 {
				reason := c.Object() + " reads " + o.Object() + ": " + paths[0]
				if n := len(paths) - 1; n > 0 {
					reason += fmt.Sprintf(" and %d more", n)
				}
				return reason
			}
		}
	}
	return why(c, path)
}

func aside(path string) int {
	switch {
	case strings.Contains(path, "].hub."):
		return 0
	case strings.Contains(path, "].singleuser."):
		return 1
	}
	return 2
}

// fixedFields are those that Kubernetes lets nobody change, by kind.
var fixedFields = map[string][]string{
	"Deployment":         {"spec.selector"},
	"DaemonSet":          {"spec.selector"},
	"ReplicaSet":         {"spec.selector"},
	"StatefulSet":        {"spec.selector", "spec.serviceName", "spec.volumeClaimTemplates", "spec.podManagementPolicy"},
	"Job":                {"spec.selector", "spec.template", "spec.completionMode"},
	"RoleBinding":        {"roleRef"},
	"ClusterRoleBinding": {"roleRef"},
	"PriorityClass":      {"value", "preemptionPolicy"},
	"StorageClass":       {"provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"},
	"Secret":             {"type"},
}

// fixed looks for fields that cannot be changed in place.
func (j *judge) fixed(c Change) {
	for _, root := range fixedFields[c.Kind] {
		for _, f := range c.Fields {
			if under(f.Path, root) {
				j.refused(c, root)
				break
			}
		}
	}
	if f, ok := field(c, "spec.clusterIP"); ok && c.Kind == "Service" && f.Before != nil && f.After != nil {
		j.refused(c, f.Path)
	}
	if c.Kind == "PersistentVolume" {
		for _, f := range c.Fields {
			if under(f.Path, "spec") && !slices.ContainsFunc([]string{"spec.capacity", "spec.persistentVolumeReclaimPolicy", "spec.claimRef", "spec.mountOptions", "spec.accessModes", "spec.storageClassName", "spec.nodeAffinity"}, func(p string) bool { return under(f.Path, p) }) {
				j.refused(c, f.Path)
				return
			}
		}
	}
}

// pvc judges the change of a PersistentVolumeClaim by the rules of the upgrade, which
// refuses to replace one.
func (j *judge) pvc(c Change) {
	for _, f := range c.Fields {
		for _, root := range []string{"accessModes", "dataSource", "dataSourceRef", "selector", "storageClassName", "volumeMode", "volumeName"} {
			if under(f.Path, "spec."+root) {
				j.destroyed(c, c.Object()+" must be replaced, and the data stored in it is lost", "spec."+root+" of a claim cannot be changed in place")
				return
			}
		}
	}
	const size = "spec.resources.requests.storage"
	f, ok := field(c, size)
	if !ok {
		if rest := first(c, "spec"); rest != "" {
			j.feel(Background, "", c.Object()+" changes", why(c, rest), c)
		}
		return
	}
	was, err1 := resource.ParseQuantity(fmt.Sprint(f.Before))
	is, err2 := resource.ParseQuantity(fmt.Sprint(f.After))
	if err1 == nil && err2 == nil && is.Cmp(was) < 0 {
		j.destroyed(c, c.Object()+" must be replaced, and the data stored in it is lost", fmt.Sprintf("a claim cannot shrink: from %v to %v", f.Before, f.After))
		return
	}
	j.feel(Background, "a volume grows", fmt.Sprintf("%s grows from %v to %v, if its storage class allows it", c.Object(), f.Before, f.After), why(c, size), c)
}

func (j *judge) service(c Change) {
	f := first(c, "spec")
	if f == "" {
		if note := first(c, "metadata.annotations"); note != "" && part(c) == "proxy-public" {
			j.feel(Background, "", "settings of the load balancer before "+c.Object()+" change", why(c, note), c)
		}
		return
	}
	switch p := part(c); {
	case strings.HasPrefix(p, "proxy"):
		j.feel(ProxyDown, "the route to the proxy changes (open connections may drop)", "the route to the proxy changes: open connections may drop, and the address may change", why(c, f), c)
	case p == "hub":
		j.feel(HubRestart, "the route to the hub changes (logins may fail meanwhile)", "the route to the hub changes: logins may fail meanwhile, running servers stay", why(c, f), c)
	default:
		j.feel(Background, "", c.Object()+" changes", why(c, f), c)
	}
}

func (j *judge) ingress(c Change) {
	var gone, come []string
	for _, f := range c.Fields {
		host, ok := strings.CutPrefix(f.Path, "spec.rules[")
		if !ok {
			continue
		}
		host, rest, _ := strings.Cut(host, "]")
		switch {
		case rest == ".host":
			gone, come = append(gone, fmt.Sprint(f.Before)), append(come, fmt.Sprint(f.After))
		case rest == "" && f.After == nil:
			gone = append(gone, host)
		case rest == "" && f.Before == nil:
			come = append(come, host)
		}
	}
	switch {
	case len(gone) > 0 && len(come) > 0:
		j.feel(ProxyDown, "the address changes", fmt.Sprintf("the address changes from %s to %s: open connections and saved links to the old one fail", few(gone, 3), few(come, 3)), why(c, "spec.rules"), c)
	case len(gone) > 0:
		j.feel(ProxyDown, "an address goes away", fmt.Sprintf("the address %s goes away: open connections and saved links to it fail", few(gone, 3)), why(c, "spec.rules"), c)
	case len(come) > 0:
		j.feel(Background, "an address is added", "the hub gets the address "+few(come, 3), why(c, "spec.rules"), c)
	case first(c, "spec.tls") != "":
		j.feel(ProxyDown, "the certificate may change", "the certificate may change: until the new one is issued, browsers show a warning", why(c, first(c, "spec.tls")), c)
	case first(c, "spec") != "":
		j.feel(ProxyDown, "the route to the hub changes", "the route from the address to the hub changes: open connections may drop", why(c, first(c, "spec")), c)
	case first(c, "metadata.annotations") != "":
		j.feel(Background, "", "settings of the ingress controller change for "+c.Object(), why(c, first(c, "metadata.annotations")), c)
	}
}

// network judges rules, which hold at once and for running pods too.
func (j *judge) network(c Change, reason string) {
	if part(c) == "singleuser" {
		j.feel(NextStart, "what servers may reach changes at once", "what servers may reach over the network changes at once, for running ones too", reason, c)
		return
	}
	j.feel(Background, "", "network rules change at once: "+c.Object(), reason, c)
}
