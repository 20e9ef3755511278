{{- define "sealwire.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "sealwire.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sealwire.labels" -}}
{{ include "sealwire.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "sealwire.origins" -}}
{{- if .Values.origins -}}
{{ join "," .Values.origins }}
{{- else if .Values.ingress.enabled -}}
wss://{{ .Values.ingress.host }}
{{- else -}}
{{ fail "origins is empty: name what people dial, such as [\"wss://chat.example.org\"], or give an Ingress with a host" }}
{{- end -}}
{{- end }}
