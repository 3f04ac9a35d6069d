{{- /*
Liveness and readiness probes. Call with a dict of of (values with
livenessProbe and readinessProbe) and path (of the health page).
*/ -}}
{{- define "jupyterhub.probes" -}}
{{- $path := .path -}}
{{- $of := .of -}}
{{- range $name := list "livenessProbe" "readinessProbe" }}
{{- $probe := get $of $name }}
{{- if $probe.enabled }}
{{ $name }}:
  initialDelaySeconds: {{ $probe.initialDelaySeconds }}
  periodSeconds: {{ $probe.periodSeconds }}
  timeoutSeconds: {{ $probe.timeoutSeconds }}
  failureThreshold: {{ $probe.failureThreshold }}
  httpGet:
    path: {{ $path }}
    port: http
{{- end }}
{{- end }}
{{- end }}
