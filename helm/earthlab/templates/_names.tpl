{{- define "earthlab.labels" -}}
app.kubernetes.io/part-of: earthlab
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The port of a service of ours: its name and its number. */}}
{{- define "earthlab.port" -}}
{{- if eq .name "ssh" -}}
{name: ssh, number: {{ .root.Values.settings.ssh.port }}}
{{- else -}}
{name: http, number: 8000}
{{- end -}}
{{- end -}}

{{- define "earthlab.image" -}}
{{- with .Values.image -}}
{{ .name }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end -}}
{{- end -}}

{{/* Our own services' pods. */}}
{{- define "earthlab.ourPods" -}}
- to: [{podSelector: {matchLabels: {app.kubernetes.io/part-of: earthlab, app.kubernetes.io/instance: {{ .Release.Name }}}}}]
  ports: [{port: 8000, protocol: TCP}]
{{- end -}}

{{/* A pod of the JupyterHub chart, by its component. */}}
{{- define "earthlab.hubPod" -}}
podSelector: {matchLabels: {app: jupyterhub, component: {{ . }}}}
{{- end -}}

{{/* A pod of the Dask Gateway chart, or one that it has made, by its component. */}}
{{- define "earthlab.gatewayPod" -}}
podSelector: {matchLabels: {app.kubernetes.io/name: dask-gateway, app.kubernetes.io/component: {{ . }}}}
{{- end -}}

{{- define "earthlab.dns" -}}
{{- with .Values.networkPolicy.dns -}}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ .namespace }}}}
      podSelector: {matchLabels: {{ toJson .labels }}}
    {{- range .addresses }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: UDP}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end -}}
{{- end -}}

{{/* What is outside of the cluster, and the private addresses that are let. Of everything, the cloud's metadata and
private addresses are taken out; Kubernetes refuses an exception that is no part of its block. */}}
{{- define "earthlab.outside" -}}
{{- range .Values.networkPolicy.outside }}
- to:
    - ipBlock:
        cidr: {{ . | quote }}
        {{- if has . (list "0.0.0.0/0" "::/0") }}
        except:
          {{- if eq . "::/0" }}
          - fc00::/7
          - fe80::/10
          {{- else }}
          - 10.0.0.0/8
          - 172.16.0.0/12
          - 192.168.0.0/16
          {{- range $.Values.networkPolicy.metadata }}
          {{- if not (contains ":" .) }}
          - {{ . }}
          {{- end }}
          {{- end }}
          {{- end }}
        {{- end }}
{{- end }}
{{- range .Values.networkPolicy.private }}
- to: [{ipBlock: {cidr: {{ .cidr | quote }}}}]
  ports:
    {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end }}
{{- end -}}

{{/* The settings as TOML. Not by `toToml`, to which every number of a values file is one with a fraction. */}}
{{- define "earthlab.toml" -}}
{{- range $section, $fields := .Values.settings }}
[{{ $section }}]
{{- range $name, $value := $fields }}
{{- if not (kindIs "map" $value) }}
{{ $name }} = {{ include "earthlab.tomlValue" $value }}
{{- end }}
{{- end }}
{{- range $name, $value := $fields }}
{{- if kindIs "map" $value }}
[{{ $section }}.{{ $name }}]
{{- range $key, $one := $value }}
{{ $key | quote }} = {{ include "earthlab.tomlValue" $one }}
{{- end }}
{{- end }}
{{- end }}
{{ end }}
{{- end -}}

{{- define "earthlab.tomlValue" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ toJson . }}{{ end -}}
{{- end -}}

{{/* The cluster's own API, of which a policy knows no name: any address on its ports. */}}
{{- define "earthlab.cluster" -}}
- ports:
    {{- range .Values.networkPolicy.apiPorts }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end -}}
