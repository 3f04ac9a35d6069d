{{- /*
What the schema cannot say. Renders to nothing, or fails with what to do.
*/ -}}
{{- define "jupyterhub.checks" -}}
{{- $class := .Values.hub.config | dig "JupyterHub" "authenticator_class" "" | toString -}}
{{- if has $class (list "dummy" "jupyterhub.auth.DummyAuthenticator") -}}
{{- if not (.Values.hub.config | dig "DummyAuthenticator" "password" "") -}}
{{- fail "jupyterhub: hub.config.DummyAuthenticator.password is not set, so anybody could log in as anyone: put a generated password into this environment's encrypted secrets file, or choose another hub.config.JupyterHub.authenticator_class" -}}
{{- end -}}
{{- else if has $class (list "shared-password" "jupyterhub.authenticators.shared.SharedPasswordAuthenticator") -}}
{{- if not (.Values.hub.config | dig "SharedPasswordAuthenticator" "user_password" "") -}}
{{- fail "jupyterhub: hub.config.SharedPasswordAuthenticator.user_password is not set, so nobody could log in: put a generated password into this environment's encrypted secrets file" -}}
{{- end -}}
{{- end -}}
{{- if and (has .Values.hub.db.type (list "mysql" "postgres")) (not .Values.hub.db.url) -}}
{{- fail (printf "jupyterhub: hub.db.type is %s, but hub.db.url is not set" .Values.hub.db.type) -}}
{{- end -}}
{{- end }}
