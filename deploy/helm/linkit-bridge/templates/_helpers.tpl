{{- define "linkit-bridge.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "linkit-bridge.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "linkit-bridge.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "linkit-bridge.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "linkit-bridge.selector" -}}
app.kubernetes.io/name: {{ include "linkit-bridge.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "linkit-bridge.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "linkit-bridge.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "linkit-bridge.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "linkit-bridge.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "linkit-bridge.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* How a probe asks for a path; takes the path and the root. Where the web configuration asks for a user or for a
certificate, the bridge's own `probe` shows it, from within the pod: the kubelet has neither. */}}
{{- define "linkit-bridge.probe" -}}
{{- $web := .root.Values.webConfig }}
{{- $probe := $web.probe }}
{{- if and (or $probe.user $probe.cert) (not $web.existingSecret) }}
{{- fail "webConfig.probe names keys of webConfig.existingSecret, which is not set: name the Secret" }}
{{- end }}
{{- if ne (empty $probe.cert) (empty $probe.key) }}
{{- fail "webConfig.probe: cert and key go together, and one is missing" }}
{{- end }}
{{- if or $probe.user $probe.cert -}}
exec:
  command:
    - /usr/local/bin/linkit-bridge
    - probe
    - {{ lower $web.scheme }}://127.0.0.1:9464{{ .path }}
    {{- with $probe.user }}
    - --user-file=/etc/linkit-bridge/web/{{ . }}
    {{- end }}
    {{- with $probe.cert }}
    - --cert-file=/etc/linkit-bridge/web/{{ . }}
    - --key-file=/etc/linkit-bridge/web/{{ $probe.key }}
    {{- end }}
    {{- with $probe.ca }}
    - --ca-file=/etc/linkit-bridge/web/{{ . }}
    {{- end }}
    {{- with $probe.serverName }}
    - --server-name={{ . }}
    {{- end }}
{{- else -}}
httpGet: { path: {{ .path }}, port: http, scheme: {{ $web.scheme }} }
{{- end }}
{{- end }}

{{/* What both monitors say of the endpoint; takes the monitor's values and the root. */}}
{{- define "linkit-bridge.endpoint" -}}
{{- if and .monitor.authorization .monitor.basicAuth }}
{{- fail "a monitor has authorization and basicAuth: a request carries one of the two; take one out" }}
{{- end -}}
- port: http
  path: {{ dig "web" "telemetry_path" "/metrics" .root.Values.config }}
  scheme: {{ lower .root.Values.webConfig.scheme }}
  interval: {{ .monitor.interval }}
  scrapeTimeout: {{ .monitor.scrapeTimeout }}
  {{- with .monitor.authorization }}
  authorization:
    credentials: {{- toYaml . | nindent 6 }}
  {{- end }}
  {{- with .monitor.basicAuth }}
  basicAuth: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .monitor.tlsConfig }}
  tlsConfig: {{- toYaml . | nindent 4 }}
  {{- end }}
  relabelings:
    # As `service.instance`: with an address, which a restart changes, no rule would know what was before.
    - { sourceLabels: [__meta_kubernetes_namespace, __meta_kubernetes_pod_name], separator: /, targetLabel: instance }
    {{- with .monitor.relabelings }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .monitor.metricRelabelings }}
  metricRelabelings: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
