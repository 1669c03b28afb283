{{/* Names are fixed: one installation per cluster, because its CRD, fences and webhook configurations are the cluster's. */}}

{{- define "keyless-pull.labels" -}}
{{ include "keyless-pull.labelsAnd" (dict "root" .) }}
{{- end }}

{{/* Each key once: those of `.ours`, then the chart's, then `.more` of one kind of object, then those of all objects. */}}
{{- define "keyless-pull.labelsAnd" -}}
{{- $chart := .root.Chart -}}
{{- $standing := dict "app.kubernetes.io/name" "keyless-pull" "app.kubernetes.io/instance" .root.Release.Name "app.kubernetes.io/version" $chart.AppVersion "app.kubernetes.io/managed-by" .root.Release.Service "helm.sh/chart" (printf "%s-%s" $chart.Name $chart.Version | replace "+" "_") -}}
{{ merge dict (.ours | default dict) $standing (.more | default dict) (.root.Values.labels | default dict) | toYaml }}
{{- end }}

{{/* Of the pods of one role, `.role`: "all", "webhook" or "worker". Never changed: a Deployment's selector cannot be. */}}
{{- define "keyless-pull.selector" -}}
app.kubernetes.io/name: keyless-pull
{{- if ne .role "all" }}
app.kubernetes.io/component: {{ .role }}
{{- end }}
{{- end }}

{{/* The fences name the worker. With the roles together its account is the webhook's too. */}}
{{- define "keyless-pull.workerAccount" -}}
keyless-pull
{{- end }}

{{- define "keyless-pull.webhookAccount" -}}
keyless-pull{{ if eq .Values.roles "split" }}-webhook{{ end }}
{{- end }}

{{- define "keyless-pull.workerUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "keyless-pull.workerAccount" . }}
{{- end }}

{{- define "keyless-pull.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What the worker may ask tokens for: the audiences of all rules, as a list in JSON, which is one in CEL. */}}
{{- define "keyless-pull.audiences" -}}
{{- $audiences := list -}}
{{- range .Values.config.rules -}}
{{- $audiences = append $audiences .audience -}}
{{- $audiences = concat $audiences (.acceptAudiences | default list) -}}
{{- end -}}
{{ $audiences | uniq | toJson }}
{{- end }}

{{/* The namespaces that the API server never asks us about. */}}
{{- define "keyless-pull.untouched" -}}
{{ concat (list "kube-system" "kube-public" "kube-node-lease" .Release.Namespace) (.Values.excludedNamespaces | default list) | uniq | toJson }}
{{- end }}

{{- define "keyless-pull.tlsSecret" -}}
{{ if eq .Values.tls.mode "secret" }}{{ .Values.tls.secretName }}{{ else }}keyless-pull-tls{{ end }}
{{- end }}
