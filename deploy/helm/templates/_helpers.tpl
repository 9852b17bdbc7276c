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
