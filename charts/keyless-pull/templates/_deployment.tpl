{{/* The Deployment of one role, and its PodDisruptionBudget. `.role`: "all", "webhook" or "worker"; `.root`: the chart's own scope. */}}
{{- define "keyless-pull.deployment" -}}
{{- $role := .role -}}
{{- $answers := ne $role "worker" -}}
{{- with .root -}}
{{- $values := .Values -}}
{{- $ownCertificate := eq $values.tls.mode "own" -}}
{{- $selector := include "keyless-pull.selector" (dict "role" $role) -}}
{{- $name := eq $role "all" | ternary "keyless-pull" (printf "keyless-pull-%s" $role) -}}
{{- $resources := and (not $answers) $values.workerResources | default $values.resources -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "keyless-pull.labelsAnd" (dict "root" . "ours" (fromYaml $selector)) | nindent 4 }}
spec:
  replicas: {{ $answers | ternary $values.replicas $values.workerReplicas }}
  selector:
    matchLabels:
      {{- $selector | nindent 6 }}
  {{- with $values.strategy }}
  strategy:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  template:
    metadata:
      labels:
        {{- merge (fromYaml $selector) ($values.podLabels | default dict) | toYaml | nindent 8 }}
      {{- with $values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      serviceAccountName: {{ $answers | ternary (include "keyless-pull.webhookAccount" .) (include "keyless-pull.workerAccount" .) }}
      {{- with $values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . | quote }}
      {{- end }}
      {{- if $values.hostNetwork }}
      hostNetwork: true
      dnsPolicy: ClusterFirstWithHostNet
      {{- end }}
      terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
      securityContext:
        {{- toYaml $values.podSecurityContext | nindent 8 }}
      {{- with $values.topologySpreadConstraints }}
      topologySpreadConstraints:
        {{- range . }}
        {{- $ours := hasKey . "labelSelector" | ternary dict (dict "labelSelector" (dict "matchLabels" (fromYaml $selector))) }}
        - {{- merge dict . $ours | toYaml | nindent 10 }}
        {{- end }}
      {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: keyless-pull
          image: {{ include "keyless-pull.image" . }}
          imagePullPolicy: {{ $values.image.pullPolicy }}
          args:
            - serve
            {{- if ne $role "all" }}
            - --role
            - {{ $role }}
            {{- end }}
            - --config
            - /etc/keyless-pull/config.yaml
            {{- if not $ownCertificate }}
            - --tls-secret
            - {{ include "keyless-pull.tlsSecret" . | quote }}
            - --ca-bundle
            - leave
            {{- end }}
            {{- if $answers }}
            - --port
            - {{ $values.ports.https | quote }}
            {{- end }}
            - --metrics-port
            - {{ $values.ports.metrics | quote }}
            {{- if ne $values.logLevel "info" }}
            - --log-level
            - {{ $values.logLevel }}
            {{- end }}
            {{- with $values.extraArgs }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          env:
            - name: KEYLESS_PULL_NAMESPACE
              valueFrom:
                fieldRef:
                  fieldPath: metadata.namespace
            - name: KEYLESS_PULL_POD_NAME
              valueFrom:
                fieldRef:
                  fieldPath: metadata.name
            {{- with $values.proxy.httpsProxy }}
            - name: HTTPS_PROXY
              value: {{ . | quote }}
            {{- end }}
            {{- with $values.proxy.noProxy }}
            - name: NO_PROXY
              value: {{ . | quote }}
            {{- end }}
            {{- if $values.extraCertificateAuthority.configMap }}
            - name: NODE_EXTRA_CA_CERTS
              value: /etc/keyless-pull-authorities/{{ $values.extraCertificateAuthority.key }}
            {{- end }}
            {{- with $values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          ports:
            {{- if $answers }}
            - name: https
              containerPort: {{ $values.ports.https }}
            {{- end }}
            - name: metrics
              containerPort: {{ $values.ports.metrics }}
          # Not on https: nothing listens there before the first certificate, and a restart would bring none.
          livenessProbe:
            httpGet:
              path: /healthz
              port: metrics
            periodSeconds: 10
            failureThreshold: 6
          readinessProbe:
            httpGet:
              path: /readyz
              port: metrics
            periodSeconds: 5
          resources:
            {{- toYaml $resources | nindent 12 }}
          securityContext:
            {{- toYaml $values.securityContext | nindent 12 }}
          volumeMounts:
            # Folders, not single files: a file mounted by subPath never sees an update.
            - name: config
              mountPath: /etc/keyless-pull
              readOnly: true
            {{- if $values.extraCertificateAuthority.configMap }}
            - name: authorities
              mountPath: /etc/keyless-pull-authorities
              readOnly: true
            {{- end }}
            {{- with $values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: config
          configMap:
            name: keyless-pull-config
        {{- with $values.extraCertificateAuthority.configMap }}
        - name: authorities
          configMap:
            name: {{ . | quote }}
        {{- end }}
        {{- with $values.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- if $values.podDisruptionBudget.enabled }}
---
# A drained node must not take the webhook along: mutation in opted-in namespaces fails closed.
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  namespace: {{ .Release.Namespace | quote }}
  labels:
    {{- include "keyless-pull.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ $values.podDisruptionBudget.maxUnavailable }}
  # Replicas that run and are not ready answer nothing: they must not keep a node from being drained.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- $selector | nindent 6 }}
{{- end }}
{{- end }}
{{- end }}
