package confine

import (
	"strings"
	"testing"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
)

var target = model.Target{Hub: "data", Environment: "staging", Namespace: "data-staging", Release: "data-staging"}

func parse(t testing.TB, manifest string) []release.Object {
	t.Helper()
	objects, err := release.ParseManifest([]byte(manifest))
	if err != nil {
		t.Fatalf("%v in\n%s", err, manifest)
	}
	return objects
}

const (
	role    = "{apiVersion: rbac.authorization.k8s.io/v1, kind: "
	podHead = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: i"
	sched   = "metadata: {name: data-staging-user-scheduler}"
)

// scheduler is what an operator may allow.
var scheduler = Allowed{UserScheduler: true}

// TestRules is the table of docs/security/keys.md: what a chart may have.
func TestRules(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		manifest string
		allowed  Allowed
		want     string // in the violation; empty: none
		warn     bool
	}{
		"a claim":                     {manifest: "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c}}"},
		"own namespace written out":   {manifest: "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: data-staging}}"},
		"another namespace":           {manifest: "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: data-prod}}", want: "another namespace"},
		"a hook elsewhere":            {manifest: "{apiVersion: batch/v1, kind: Job, metadata: {name: c, namespace: data-prod, annotations: {helm.sh/hook: pre-upgrade}}}", want: "another namespace"},
		"within a list":               {manifest: "{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: ConfigMapList, items: [{apiVersion: v1, kind: ConfigMap, metadata: {name: c, namespace: data-prod}}]}]}", want: "another namespace"},
		"a namespace":                 {manifest: "{apiVersion: v1, kind: Namespace, metadata: {name: data-staging}}", want: "kind that charts may not have"},
		"a node":                      {manifest: "{apiVersion: v1, kind: Node, metadata: {name: data-staging-n}}", want: "kind that charts may not have"},
		"a volume of the host":        {manifest: "{apiVersion: v1, kind: PersistentVolume, metadata: {name: data-staging-v}, spec: {hostPath: {path: /}}}", want: "kind that charts may not have"},
		"a webhook":                   {manifest: "{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration, metadata: {name: data-staging-x}}", want: "kind that charts may not have"},
		"an API":                      {manifest: "{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: data-staging-x}}", want: "kind that charts may not have"},
		"a definition":                {manifest: "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: data-staging-x}}", want: "kind that charts may not have"},
		"endpoints":                   {manifest: "{apiVersion: v1, kind: Endpoints, metadata: {name: x}}", want: "kind that charts may not have"},
		"a lock of hubship's":         {manifest: "{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: hubship-data-staging}}", want: "kind that charts may not have"},
		"an unknown kind":             {manifest: "{apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {name: x}}", want: "monitoring.coreos.com/ServiceMonitor"},
		"which is allowed":            {manifest: "{apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {name: x}}", allowed: Allowed{Kinds: []string{"monitoring.coreos.com/ServiceMonitor"}}},
		"but not elsewhere":           {manifest: "{apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {name: x, namespace: data-prod}}", allowed: Allowed{Kinds: []string{"monitoring.coreos.com/ServiceMonitor"}}, want: "another namespace"},
		"a record of hubship's":       {manifest: "{apiVersion: v1, kind: ConfigMap, metadata: {name: hubship-halt-data-staging}}", want: "its records"},
		"marked as hubship's":         {manifest: "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, labels: {hubship.io/kind: evidence}}}", want: "hubship marks"},
		"a record of Helm's":          {manifest: "{apiVersion: v1, kind: Secret, type: helm.sh/release.v1, metadata: {name: x}}", want: "Helm's records"},
		"labelled as Helm's":          {manifest: "{apiVersion: v1, kind: Secret, metadata: {name: x, labels: {owner: helm, name: data-staging}}}", want: "owner=helm"},
		"a priority":                  {manifest: "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, value: 0, globalDefault: false, metadata: {name: data-staging-default}}"},
		"a priority of another name":  {manifest: "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, value: 0, metadata: {name: data-prod-default}}", want: "does not begin with the release's"},
		"a priority that evicts":      {manifest: "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, value: 1, metadata: {name: data-staging-x}}", want: "evict"},
		"everybody's priority":        {manifest: "{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, value: 0, globalDefault: true, metadata: {name: data-staging-x}}", want: "default of the whole cluster"},
		"a role":                      {manifest: role + "Role, metadata: {name: hub}, rules: [{apiGroups: [''], resources: [pods, secrets], verbs: [get, create]}]}"},
		"a role of everything":        {manifest: role + "Role, metadata: {name: hub}, rules: [{apiGroups: ['*'], resources: [pods], verbs: [get]}]}", want: "everything"},
		"a role that binds":           {manifest: role + "Role, metadata: {name: hub}, rules: [{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [escalate]}]}", want: "escalate"},
		"a cluster role":              {manifest: role + "ClusterRole, metadata: {name: data-staging-x}, rules: [{apiGroups: [''], resources: [secrets], verbs: [get]}]}", want: "in the whole cluster"},
		"the scheduler's":             {manifest: role + "ClusterRole, " + sched + ", rules: [{apiGroups: [''], resources: [pods], verbs: [get, delete]}, {apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [user-scheduler-lock], verbs: [update]}]}", allowed: scheduler},
		"which nobody allowed":        {manifest: role + "ClusterRole, " + sched + ", rules: [{apiGroups: [''], resources: [pods], verbs: [get]}]}", want: "this installation refuses"},
		"the scheduler's and more":    {manifest: role + "ClusterRole, " + sched + ", rules: [{apiGroups: [''], resources: [pods], verbs: [create]}]}", allowed: scheduler, want: "does not need"},
		"all locks":                   {manifest: role + "ClusterRole, " + sched + ", rules: [{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [update]}]}", allowed: scheduler, want: "every Lease"},
		"one that gathers":            {manifest: role + "ClusterRole, " + sched + ", aggregationRule: {}}", allowed: scheduler, want: "gathers"},
		"one that gives to edit":      {manifest: role + "ClusterRole, metadata: {name: data-staging-user-scheduler, labels: {rbac.authorization.k8s.io/aggregate-to-edit: 'true'}}}", want: "whole cluster"},
		"a binding":                   {manifest: role + "RoleBinding, metadata: {name: hub}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: hub}, subjects: [{kind: ServiceAccount, name: hub, apiGroup: }]}"},
		"a binding of cluster-admin":  {manifest: role + "RoleBinding, metadata: {name: hub}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}, subjects: []}", want: "not the release's own"},
		"a binding for another":       {manifest: role + "RoleBinding, metadata: {name: hub}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: hub}, subjects: [{kind: ServiceAccount, name: hub, namespace: data-prod}]}", want: "not in the release's namespace"},
		"a binding for a group":       {manifest: role + "RoleBinding, metadata: {name: hub}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: hub}, subjects: [{kind: Group, apiGroup: rbac.authorization.k8s.io, name: system:authenticated}]}", want: "not in the release's namespace"},
		"the scheduler's binding":     {manifest: role + "ClusterRoleBinding, " + sched + ", roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: data-staging-user-scheduler}, subjects: [{kind: ServiceAccount, name: s, namespace: data-staging}]}", allowed: scheduler},
		"admin in the whole cluster":  {manifest: role + "ClusterRoleBinding, " + sched + ", roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}, subjects: [{kind: ServiceAccount, name: s, namespace: data-staging}]}", allowed: scheduler, want: "binds the ClusterRole cluster-admin"},
		"a pod":                       {manifest: podHead + "}]}}"},
		"of the host's network":       {manifest: podHead + "}], hostNetwork: true}}", want: "host namespaces"},
		"of the host's processes":     {manifest: podHead + "}], hostPID: true}}", want: "host namespaces"},
		"with the host's files":       {manifest: podHead + "}], volumes: [{name: v, hostPath: {path: /}}]}}", want: "hostPath"},
		"with the host's port":        {manifest: podHead + ", ports: [{containerPort: 80, hostPort: 80}]}]}}", want: "hostPort"},
		"privileged":                  {manifest: podHead + ", securityContext: {privileged: true}}]}}", want: "privileged"},
		"privileged where allowed":    {manifest: podHead + ", securityContext: {privileged: true}}]}}", allowed: Allowed{Privileged: true}},
		"with NET_ADMIN":              {manifest: podHead + "}], initContainers: [{name: i, image: i, securityContext: {privileged: false, capabilities: {add: [NET_ADMIN]}}}]}}", want: "NET_ADMIN"},
		"with NET_ADMIN, allowed":     {manifest: podHead + "}], initContainers: [{name: i, image: i, securityContext: {capabilities: {add: [NET_ADMIN]}}}]}}", allowed: Allowed{Capabilities: []string{"NET_ADMIN"}}},
		"in a CronJob":                {manifest: "{apiVersion: batch/v1, kind: CronJob, metadata: {name: c}, spec: {jobTemplate: {spec: {template: {spec: {hostIPC: true, containers: [{name: c}]}}}}}}", want: "host namespaces"},
		"in a kind that is not known": {manifest: "{apiVersion: example.org/v1, kind: Thing, metadata: {name: c}, spec: {pod: {hostPID: true, containers: [{name: c}]}}}", allowed: Allowed{Kinds: []string{"example.org/Thing"}}, want: "host namespaces"},
		"unconfined by annotation":    {manifest: "{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: c}, spec: {template: {metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/c: unconfined}}, spec: {containers: [{name: c}]}}}}", want: "AppArmor"},
		"a pod that cannot be read":   {manifest: "{apiVersion: v1, kind: Pod, metadata: {name: c}, spec: {containers: [{name: c, securityContext: 1}]}}", want: "cannot be read"},
		"the cluster's priority":      {manifest: podHead + "}], priorityClassName: system-node-critical}}", want: "system-node-critical"},
		"a claim's source elsewhere":  {manifest: "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c}, spec: {dataSourceRef: {kind: VolumeSnapshot, name: s, namespace: data-prod}}}", want: "from namespace data-prod"},
		"a name that leads away":      {manifest: "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {type: ExternalName, externalName: db.example.edu}}", want: "leads to", warn: true},
		"a name that leads to prod":   {manifest: "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {type: ExternalName, externalName: hub.data-prod.svc.cluster.local.}}", want: "in namespace data-prod"},
		"a pod's name in prod":        {manifest: "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {type: ExternalName, externalName: db-0.db.data-prod.SVC}}", want: "in namespace data-prod"},
		"a name of its own":           {manifest: "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {type: ExternalName, externalName: hub.data-staging.svc.cluster.local}}"},
		"addresses of others":         {manifest: "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {externalIPs: [10.0.0.1]}}", want: "sends to 10.0.0.1"},
		"one that is allowed":         {manifest: "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {externalIPs: [192.0.2.7]}}", allowed: Allowed{ExternalIPs: []string{"192.0.2.7"}}},
		"and one that is not":         {manifest: "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {externalIPs: [192.0.2.7, 10.0.0.1]}}", allowed: Allowed{ExternalIPs: []string{"192.0.2.7"}}, want: "sends to 10.0.0.1"},
		"which is no text":            {manifest: "{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {externalIPs: [1]}}", want: "sends to 1"},
		"a host name":                 {manifest: "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: s}, spec: {rules: [{host: hub.example.edu}]}}", want: "hub.example.edu", warn: true},
		"a claim as a hook":           {manifest: "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: claim-alice, annotations: {helm.sh/hook: pre-upgrade}}}", want: "Helm removes it"},
		"a volume by its name":        {manifest: "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c}, spec: {volumeName: home-prod}}", want: "takes the volume home-prod", warn: true},
		"a template's volume":         {manifest: "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s}, spec: {volumeClaimTemplates: [{metadata: {name: v}, spec: {volumeName: home-prod}}]}}", want: "takes the volume home-prod", warn: true},
		"a name in DNS":               {manifest: "{apiVersion: v1, kind: Service, metadata: {name: s, annotations: {external-dns.alpha.kubernetes.io/hostname: hub.example.edu}}, spec: {type: LoadBalancer}}", want: "hub.example.edu", warn: true},
		"an Ingress' name in DNS":     {manifest: "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: s, annotations: {external-dns.alpha.kubernetes.io/hostname: hub.example.edu}}, spec: {}}", want: "hub.example.edu", warn: true},
		"claims that go":              {manifest: "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: c}, spec: {persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}}}", want: "delete its claims", warn: true},
		"an owner":                    {manifest: "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: hub-db-dir, ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: gone, uid: 1}]}}", want: "has an owner"},
		"no owner":                    {manifest: "{apiVersion: v1, kind: ConfigMap, metadata: {name: x, ownerReferences: []}}"},
		"a template's source":         {manifest: "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s}, spec: {volumeClaimTemplates: [{metadata: {name: v}, spec: {dataSourceRef: {kind: VolumeSnapshot, name: s, namespace: data-prod}}}]}}", want: "from namespace data-prod"},
		"an ephemeral source":         {manifest: podHead + "}], volumes: [{name: v, ephemeral: {volumeClaimTemplate: {spec: {dataSourceRef: {kind: PersistentVolumeClaim, name: s, namespace: data-prod}}}}}]}}", want: "from namespace data-prod"},
		"a role for unknown kinds":    {manifest: role + "Role, metadata: {name: hub}, rules: [{apiGroups: [external-secrets.io], resources: [externalsecrets], verbs: [create]}]}", want: "external-secrets.io/externalsecrets"},
		"which the operator allows":   {manifest: role + "Role, metadata: {name: hub}, rules: [{apiGroups: [external-secrets.io], resources: [externalsecrets/status], verbs: [patch]}]}", allowed: Allowed{Kinds: []string{"external-secrets.io/ExternalSecret"}}},
		"a role for endpoints":        {manifest: role + "Role, metadata: {name: hub}, rules: [{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, update]}]}", want: "discovery.k8s.io/endpointslices"},
		"a role that reads any":       {manifest: role + "Role, metadata: {name: hub}, rules: [{apiGroups: ['', discovery.k8s.io], resources: [endpoints, endpointslices], verbs: [get, list, watch]}]}"},
		"a hub's role":                {manifest: role + "Role, metadata: {name: hub}, rules: [{apiGroups: [''], resources: [pods, persistentvolumeclaims, secrets, services, pods/exec, events], verbs: [get, create, delete]}, {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [update]}, {apiGroups: [networking.k8s.io], resources: [ingresses, networkpolicies], verbs: [create]}]}"},
		"a host name by annotation":   {manifest: "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: s, annotations: {nginx.ingress.kubernetes.io/server-alias: hub.example.edu}}, spec: {}}", want: "hub.example.edu", warn: true},
		"all host names":              {manifest: "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: s}, spec: {defaultBackend: {service: {name: s}}}}", want: "every host name", warn: true},
		"another's secret":            {manifest: "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: s, annotations: {nginx.ingress.kubernetes.io/auth-tls-secret: data-prod/ca}}, spec: {}}", want: "in namespace data-prod"},
		"a route's host name":         {manifest: "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: s}, spec: {hostnames: [hub.example.edu]}}", want: "hub.example.edu", warn: true},
		"a route of all":              {manifest: "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: s}, spec: {}}", want: "every host name", warn: true},
		"a snippet":                   {manifest: "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: s, annotations: {nginx.ingress.kubernetes.io/configuration-snippet: x}}}", want: "runs in the ingress controller"},
	} {
		found := Check(Of(parse(t, tt.manifest)), target, tt.allowed)
		if tt.want == "" {
			if len(found) != 0 {
				t.Errorf("%s: %v", name, found)
			}
			continue
		}
		if len(found) == 0 || !strings.Contains(found[0].Message, tt.want) || found[0].Hint == "" || found[0].Warn != tt.warn {
			t.Errorf("%s: %+v, want %q", name, found, tt.want)
		}
		if err := Refuse(Of(parse(t, tt.manifest)), target, tt.allowed); (err == nil) != tt.warn {
			t.Errorf("%s: refused with %v", name, err)
		}
	}
}

func TestGeneratedNamesAreRefused(t *testing.T) {
	t.Parallel()
	o := Object{Object: release.Object{APIVersion: "v1", Kind: "ConfigMap", Content: map[string]any{"metadata": map[string]any{"generateName": "x-"}}}}
	if found := Check([]Object{o}, target, Allowed{}); len(found) != 1 || !strings.Contains(found[0].Message, "generateName") {
		t.Errorf("%v", found)
	}
}

// The cluster says of a kind what the table does not know.
func TestScopeOfTheCluster(t *testing.T) {
	t.Parallel()
	o := Object{Object: release.Object{APIVersion: "v1", Kind: "ConfigMap", Name: "data-staging-x"}, Scope: Cluster}
	if found := Check([]Object{o}, target, Allowed{}); len(found) != 1 || !strings.Contains(found[0].Message, "another scope") {
		t.Errorf("%v", found)
	}
}

// A route is looked at by a person for its names, and refused for where it leads.
func TestRoutesStayInside(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{
		"backendRefs: [{name: s}, {name: hub, namespace: data-prod}]",
		"filters: [{type: RequestMirror, requestMirror: {backendRef: {name: hub, namespace: data-prod}}}]",
		"backendRefs: [{name: s, filters: [{requestMirror: {backendRef: {name: hub, namespace: data-prod}}}]}]",
	} {
		manifest := "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: s}, spec: {hostnames: [x.example.edu], rules: [{" + rule + "}]}}"
		if err := Refuse(Of(parse(t, manifest)), target, Allowed{}); err == nil || !strings.Contains(err.Error(), "leads to namespace data-prod") {
			t.Errorf("%s: %v", rule, err)
		}
	}
}
