{{- define "keyless-pull.webhookMetadata" -}}
name: keyless-pull
labels:
  {{- include "keyless-pull.labelsAnd" (dict "root" . "more" .Values.webhooks.labels) | nindent 2 }}
{{- $injected := eq .Values.tls.mode "cert-manager" | ternary (dict "cert-manager.io/inject-ca-from" (printf "%s/keyless-pull-tls" .Release.Namespace)) dict }}
{{- with merge $injected (.Values.webhooks.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What the entries have in common. Without a caBundle here, what the worker or cert-manager put there stays through upgrades. */}}
{{- define "keyless-pull.webhook" -}}
admissionReviewVersions: [v1]
clientConfig:
  service:
    name: keyless-pull
    namespace: {{ .root.Release.Namespace | quote }}
    path: {{ .path }}
    port: 443
  {{- if and (eq .root.Values.tls.mode "secret") .root.Values.tls.caBundle }}
  caBundle: {{ .root.Values.tls.caBundle | b64enc }}
  {{- end }}
failurePolicy: {{ .entry.failurePolicy }}
matchPolicy: Equivalent
sideEffects: None
timeoutSeconds: {{ .entry.timeoutSeconds }}
{{- end }}

{{- define "keyless-pull.notUntouched" -}}
- key: kubernetes.io/metadata.name
  operator: NotIn
  values: {{ include "keyless-pull.untouched" . }}
{{- end }}

{{- define "keyless-pull.ofMode" -}}
{{- if ne .mode "default" -}}
- key: keyless-pull.dev/static-pull-secrets
  operator: In
  values: [{{ .mode }}]
{{- else -}}
{{- if eq .defaultMode "off" -}}
- key: keyless-pull.dev/static-pull-secrets
  operator: Exists
{{ end -}}
- key: keyless-pull.dev/static-pull-secrets
  operator: NotIn
  values: [enforce, warn, audit, 'off']
{{- end -}}
{{- end }}

{{- define "keyless-pull.notMirror" -}}
- name: not-mirror
  expression: "!('kubernetes.io/config.mirror' in object.metadata.?annotations.orValue({}))"
{{- end }}

{{- define "keyless-pull.accountSaysNew" -}}
- name: account-only-if-it-says-something-new
  expression: >-
    request.kind.kind != 'ServiceAccount' || (request.operation == 'CREATE' ?
    object.?imagePullSecrets.orValue([]).size() + object.metadata.?annotations.orValue({}).size() > 0 :
    object.?imagePullSecrets.orValue([]) != oldObject.?imagePullSecrets.orValue([]) ||
    object.metadata.?annotations.orValue({}) != oldObject.metadata.?annotations.orValue({}))
{{- end }}
