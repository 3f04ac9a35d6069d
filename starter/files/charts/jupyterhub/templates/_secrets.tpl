{{- /*
A secret that the values may give and that is otherwise generated once: it is
read back from the Secret of the running release, so that an upgrade restarts
nothing. Without a cluster to ask (a pure render) it is drawn anew.
Call with a dict of root, key (in the Secret hub), given and kind (token or hex).
*/ -}}
{{- define "jupyterhub.secret" -}}
{{- $running := lookup "v1" "Secret" .root.Release.Namespace "hub" | default dict -}}
{{- $kept := index ($running.data | default dict) .key -}}
{{- if .given -}}
{{ .given }}
{{- else if $kept -}}
{{ $kept | b64dec }}
{{- else if eq .kind "hex" -}}
{{ randBytes 32 | b64dec | printf "%x" }}
{{- else -}}
{{ randAlphaNum 64 }}
{{- end -}}
{{- end }}

{{- /*
Checksum over what the hub reads at its start, so that a change of it restarts
the hub and nothing else does: image, resources and proxy settings have their
own place in a pod. Explicit secrets are left out here.
*/ -}}
{{- define "jupyterhub.hubChecksum" -}}
{{- $hub := omit (deepCopy .Values.hub) "image" "resources" "labels" "annotations" "nodeSelector" "tolerations" "deploymentStrategy" "podSecurityContext" "containerSecurityContext" "livenessProbe" "readinessProbe" "cookieSecret" -}}
{{- $_ := set $hub "db" (omit $hub.db "password" "pvc") -}}
{{- range $class := list "DummyAuthenticator" "SharedPasswordAuthenticator" -}}
{{- if hasKey $hub.config $class -}}
{{- $_ := set $hub.config $class (omit (get $hub.config $class) "password" "user_password" "admin_password") -}}
{{- end -}}
{{- end -}}
{{- $read := dict "hub" $hub "singleuser" .Values.singleuser "cull" .Values.cull "custom" .Values.custom "imagePullSecrets" .Values.imagePullSecrets -}}
{{- $files := (.Files.Glob "files/hub/*.py").AsConfig -}}
{{ print ($read | toJson) $files | sha256sum }}
{{- end }}

{{- /*
Checksum over the secrets that the values give. Cut to 16 bits: enough to
notice a change, too little to try passwords against.
*/ -}}
{{- define "jupyterhub.secretChecksum" -}}
{{- $config := .Values.hub.config -}}
{{- $given := list .Values.hub.cookieSecret .Values.proxy.secretToken .Values.hub.db.password ($config | dig "DummyAuthenticator" "password" "") ($config | dig "SharedPasswordAuthenticator" dict) -}}
{{ $given | toJson | sha256sum | trunc 4 }}
{{- end }}
