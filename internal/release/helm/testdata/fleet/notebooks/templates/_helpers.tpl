{{- define "notebooks.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 }}
{{- end }}
{{- define "notebooks.labels" -}}
app.kubernetes.io/name: {{ include "notebooks.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
component: {{ .component }}
{{- end }}
{{- define "notebooks.env" }}
{{- range $k, $v := . }}
- name: {{ $k }}
  value: {{ $v | quote }}
{{- end }}
{{- end }}
{{- define "notebooks.affinity" -}}
nodeAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      preference:
        matchExpressions:
          - key: purpose
            operator: In
            values: [{{ . }}]
{{- end }}
{{- define "notebooks.secret" -}}
{{- $values := merge dict .Values }}
{{- $_ := set $values "hub" (omit .Values.hub "cookieSecret") }}
values.yaml: {{ $values | toYaml | b64enc | quote }}
cookie: {{ .Values.hub.cookieSecret | default (randAlphaNum 32) | b64enc | quote }}
{{- range $name, $text := .Values.hub.extraConfig }}
{{ $name }}.py: {{ $text | b64enc | quote }}
{{- end }}
{{- end }}
