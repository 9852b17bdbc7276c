{{- define "tcli.name" -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- end }}

{{- define "tcli.selector" -}}
app.kubernetes.io/name: tcli
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tcli.labels" -}}
{{ include "tcli.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* What a probe asks at `path`. Kubernetes' own HTTP probes take any certificate and have none to show. */}}
{{- define "tcli.probe" -}}
{{- if and .root.Values.tls.enabled .root.Values.tls.clients -}}
exec:
  command:
    - python3
    - -c
    - >-
      import ssl, urllib.request; c = ssl.create_default_context(cafile='/tls/ca.crt'); c.check_hostname = False;
      c.load_cert_chain('/tls/tls.crt', '/tls/tls.key');
      urllib.request.urlopen('https://127.0.0.1:{{ .root.Values.ports.http }}{{ .path }}', timeout=4, context=c)
{{- else -}}
httpGet:
  path: {{ .path }}
  port: http
  scheme: {{ ternary "HTTPS" "HTTP" .root.Values.tls.enabled }}
{{- end }}
{{- end }}
