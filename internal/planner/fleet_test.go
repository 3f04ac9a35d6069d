package planner

import (
	"fmt"
	"io/fs"
	"maps"
	"testing"

	"github.com/hubship/hubship/internal/git"
	"github.com/hubship/hubship/internal/release/helm"
	"github.com/hubship/hubship/internal/repo"
)

// chart is a small hub chart in the shape of Zero to JupyterHub's: values end
// up in a Secret whose checksum restarts the hub.
var chart = map[string]string{
	"hub/Chart.yaml": "apiVersion: v2\nname: hub\nversion: 1.2.0\n",
	"hub/values.yaml": `hub:
  image: {name: registry.example.org/hub, tag: "1"}
  extra: {}
proxy:
  image: {name: registry.example.org/proxy, tag: "4"}
singleuser:
  image: {name: registry.example.org/base, tag: "1"}
  memory: {limit: 1G}
storage: 1Gi
token: ""
`,
	"hub/values.schema.json": `{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "properties": {
  "singleuser": {"type": "object", "properties": {"memory": {"type": "object", "additionalProperties": false, "properties": {"limit": {"type": ["string", "null"]}, "guarantee": {"type": ["string", "null"]}}}}}}}`,
	"hub/templates/_helpers.tpl": `{{- define "hub.labels" -}}
app: jupyterhub
release: {{ .Release.Name }}
{{- end }}
`,
	"hub/templates/secret.yaml": `apiVersion: v1
kind: Secret
metadata:
  name: hub
  labels:
    {{- include "hub.labels" . | nindent 4 }}
    component: hub
data:
  values.yaml: {{ pick .Values "singleuser" "hub" | toYaml | b64enc | quote }}
  cookie: {{ randAlphaNum 32 | b64enc | quote }}
  token: {{ .Values.token | b64enc | quote }}
`,
	"hub/templates/hub.yaml": `apiVersion: apps/v1
kind: Deployment
metadata:
  name: hub
  labels:
    {{- include "hub.labels" . | nindent 4 }}
    component: hub
spec:
  selector:
    matchLabels: {app: jupyterhub, component: hub}
  template:
    metadata:
      labels: {app: jupyterhub, component: hub}
      annotations:
        checksum/secret: {{ include (print .Template.BasePath "/secret.yaml") . | sha256sum }}
    spec:
      containers:
        - name: hub
          image: "{{ .Values.hub.image.name }}:{{ .Values.hub.image.tag }}"
`,
	"hub/templates/proxy.yaml": `apiVersion: apps/v1
kind: Deployment
metadata:
  name: proxy
  labels:
    {{- include "hub.labels" . | nindent 4 }}
    component: proxy
spec:
  selector:
    matchLabels: {app: jupyterhub, component: proxy}
  template:
    metadata:
      labels: {app: jupyterhub, component: proxy}
    spec:
      containers:
        - name: chp
          image: "{{ .Values.proxy.image.name }}:{{ .Values.proxy.image.tag }}"
`,
	"hub/templates/pvc.yaml": `{{- if .Values.storage }}
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: hub-db
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: {{ .Values.storage }}}}
{{- end }}
`,
}

// hubFiles are the files of one hub in hubploy's layout.
func hubFiles(name string) map[string]string {
	dir := "deployments/" + name + "/"
	return map[string]string{
		dir + "hubploy.yaml":        fmt.Sprintf("images:\n  images:\n    - name: registry.example.org/user/%s:a1\n      helm_substitution_path: singleuser.image\n", name),
		dir + "config/common.yaml":  fmt.Sprintf("singleuser:\n  memory:\n    limit: 2G\nhub:\n  extra:\n    title: %s\n", name),
		dir + "config/staging.yaml": "storage: 1Gi\n",
		dir + "config/prod.yaml":    "storage: 20Gi\n",
	}
}

// testFleet is a deployment repository in the making.
type testFleet struct {
	tb    testing.TB
	git   *git.Repo
	files map[string]string
	head  string
}

// newFleet makes a repository with hubs in hubploy's layout.
func newFleet(tb testing.TB, hubs ...string) *testFleet {
	tb.Helper()
	r, err := git.Init(tb.Context(), tb.TempDir(), git.InitOptions{Bare: true, DefaultBranch: "staging"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = r.Close() })
	f := &testFleet{tb: tb, git: r, files: maps.Clone(chart)}
	f.files["README.md"] = "hubs\n"
	for _, h := range hubs {
		maps.Copy(f.files, hubFiles(h))
	}
	f.commit("the first", nil)
	return f
}

// manyHubs names n hubs.
func manyHubs(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("hub%04d", i)
	}
	return out
}

// commit records the changes and returns the commit; a file set to "" goes
// unless it is empty by name.
func (f *testFleet) commit(message string, changes map[string]string) string {
	f.tb.Helper()
	data := map[string][]byte{}
	if f.head == "" {
		for name, text := range f.files {
			data[name] = []byte(text)
		}
	}
	for name, text := range changes {
		if text == "" {
			data[name] = nil
			continue
		}
		data[name] = []byte(text)
	}
	id, err := f.git.CommitFiles(f.tb.Context(), "staging", f.head, data, map[string]fs.FileMode{}, message, testAuthor)
	if err != nil {
		f.tb.Fatal(err)
	}
	f.head = id
	return id
}

// planner returns a planner of the repository.
func (f *testFleet) planner() *Planner {
	f.tb.Helper()
	p, err := New(Options{Repository: repo.New(f.git, repo.Options{}), Renderer: helm.NewRenderer(helm.RendererOptions{})})
	if err != nil {
		f.tb.Fatal(err)
	}
	return p
}

var testAuthor = git.Identity{Name: "A", Email: "a@example.org"}
