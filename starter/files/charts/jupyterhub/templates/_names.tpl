{{- /*
Labels of an object. Call with a dict of root (the chart's scope) and component.
*/ -}}
{{- define "jupyterhub.labels" -}}
{{ include "jupyterhub.selector" . }}
chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version | replace "+" "_" }}
heritage: {{ .root.Release.Service }}
app.kubernetes.io/name: {{ include "jupyterhub.app" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end }}

{{- /*
Labels by which a workload finds its pods. A selector can never be changed, so
these are exactly the ones of Zero to JupyterHub: moving to that chart is then
an upgrade in place.
*/ -}}
{{- define "jupyterhub.selector" -}}
app: {{ include "jupyterhub.app" .root | quote }}
release: {{ .root.Release.Name | quote }}
component: {{ .component }}
{{- end }}

{{- /*
Labels of a pod: nothing that changes with the version of the chart, which
would restart the pod.
*/ -}}
{{- define "jupyterhub.podLabels" -}}
{{ include "jupyterhub.selector" . }}
app.kubernetes.io/name: {{ include "jupyterhub.app" .root | quote }}
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "jupyterhub.app" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /*
name:tag of an image. Call with a dict of image and path (its place in the values).
*/ -}}
{{- define "jupyterhub.image" -}}
{{- if not (and .image.name .image.tag) -}}
{{- fail (printf "jupyterhub: %s.name and %s.tag are not set: hubship sets them from the images of hubship.yaml; with helm alone pass both" .path .path) -}}
{{- end -}}
{{ .image.name }}:{{ .image.tag }}
{{- end }}

{{- /*
Secrets to pull images with, as a list of references.
*/ -}}
{{- define "jupyterhub.pullSecrets" -}}
{{- $refs := list -}}
{{- range .Values.imagePullSecrets -}}
{{- $refs = append $refs (kindIs "string" . | ternary (dict "name" .) .) -}}
{{- end -}}
{{- if $refs }}{{ $refs | toJson }}{{ end -}}
{{- end }}

{{- /*
Environment from a map of names to texts, or to EnvVars without their name.
*/ -}}
{{- define "jupyterhub.env" -}}
{{- range $name, $value := . }}
- name: {{ $name | quote }}
{{- if kindIs "map" $value }}
{{ $value | toYaml | indent 2 }}
{{- else }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}
{{- end }}
