{{- /*
Who may connect because of a label. Call with a dict of to and policy.
*/ -}}
{{- define "jupyterhub.withAccess" -}}
- podSelector:
    matchLabels:
      hub.jupyter.org/network-access-{{ .to }}: "true"
{{- if eq .policy.interNamespaceAccessLabels "accept" }}
  namespaceSelector: {}
{{- end }}
{{- end }}

{{- /*
Ports that anybody may connect to.
*/ -}}
{{- define "jupyterhub.openPorts" -}}
{{- with .allowedIngressPorts }}
- ports:
    {{- range . }}
    - port: {{ . }}
    {{- end }}
{{- end }}
{{- end }}

{{- /*
What a pod reaches besides the pods of the chart: what egressAllowRules say, and
then what egress lists.
*/ -}}
{{- define "jupyterhub.egress" -}}
{{- with .egressAllowRules }}
{{- if .cloudMetadataServer }}
- to: [{ipBlock: {cidr: 169.254.169.254/32}}]
{{- end }}
{{- if .dnsPortsCloudMetadataServer }}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
  to: [{ipBlock: {cidr: 169.254.169.254/32}}]
{{- end }}
{{- if .dnsPortsKubeSystemNamespace }}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
  to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
{{- end }}
{{- if .dnsPortsPrivateIPs }}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
  to:
    - ipBlock: {cidr: 10.0.0.0/8}
    - ipBlock: {cidr: 172.16.0.0/12}
    - ipBlock: {cidr: 192.168.0.0/16}
{{- end }}
{{- if .nonPrivateIPs }}
# The Internet: no private or carrier-grade NAT ranges, no link-local ones (a
# cloud's metadata service), and no test, multicast or reserved ranges.
- to:
    - ipBlock:
        cidr: 0.0.0.0/0
        except:
          - 0.0.0.0/8
          - 10.0.0.0/8
          - 100.64.0.0/10
          - 127.0.0.0/8
          - 169.254.0.0/16
          - 172.16.0.0/12
          - 192.0.0.0/24
          - 192.168.0.0/16
          - 198.18.0.0/15
          - 224.0.0.0/3
{{- end }}
{{- if .privateIPs }}
- to:
    - ipBlock: {cidr: 10.0.0.0/8}
    - ipBlock: {cidr: 172.16.0.0/12}
    - ipBlock: {cidr: 192.168.0.0/16}
{{- end }}
{{- end }}
{{- with .egress }}
{{ . | toYaml }}
{{- end }}
{{- end }}
