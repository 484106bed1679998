{{/* Objects have fixed names (codeq, codeq-config, codeq-secret): one queue in a namespace. */}}
{{- define "codeq.labels" -}}
app.kubernetes.io/name: codeq
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "codeq.selector" -}}
app.kubernetes.io/name: codeq
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "codeq.kvrocksSelector" -}}
app: kvrocks
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Where the tasks are kept when they are not in the pod's own SQLite. */}}
{{- define "codeq.redisAddr" -}}
{{- if .Values.kvrocks.enabled }}codeq-kvrocks:6666{{ else }}{{ .Values.config.redisAddr }}{{ end }}
{{- end }}

{{/* The settings file. Producers have the workers' issuer unless they are given their own. */}}
{{- define "codeq.config" -}}
{{- $given := deepCopy .Values.config }}
{{- $_ := set $given "redisAddr" (include "codeq.redisAddr" .) }}
{{- if and (not $given.identityJwksUrl) (not $given.identityServiceUrl) (not $given.producerAuthProvider) }}
{{- $_ := set $given "identityJwksUrl" $given.workerJwksUrl }}
{{- $_ := set $given "identityIssuer" (default $given.workerIssuer $given.identityIssuer) }}
{{- end }}
{{- range $key, $value := $given }}
{{- if not (and (kindIs "string" $value) (eq $value "")) }}
{{ $key }}: {{ toJson $value }}
{{- end }}
{{- end }}
{{- end }}

{{/* What would only show as a pod that ends again and again is said before anything is installed. */}}
{{- define "codeq.check" -}}
{{- $config := .Values.config }}
{{- $dev := eq (lower (default "" $config.env)) "dev" }}
{{- if .Values.secrets.enabled }}
{{- if and (not $dev) (not .Values.secrets.webhookHmacSecret) }}
{{- fail "secrets.webhookHmacSecret is required: --set secrets.webhookHmacSecret=$(openssl rand -hex 32)" }}
{{- end }}
{{- if and (not .Values.secrets.jwtSecret) (not $config.workerAuthProvider) }}
{{- if not $config.workerJwksUrl }}
{{- fail "config.workerJwksUrl is required: the address of the keys that sign workers' tokens" }}
{{- end }}
{{- if not $config.workerIssuer }}
{{- fail "config.workerIssuer is required: the issuer that workers' tokens name" }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (gt (int .Values.replicaCount) 1) (not (include "codeq.redisAddr" .)) }}
{{- fail "replicaCount above 1 needs a store that several servers share: config.redisAddr or kvrocks.enabled" }}
{{- end }}
{{- if and .Values.kvrocks.enabled .Values.config.redisAddr }}
{{- fail "config.redisAddr and kvrocks.enabled: choose one store" }}
{{- end }}
{{- end }}
