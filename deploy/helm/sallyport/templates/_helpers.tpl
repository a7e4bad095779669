{{- define "sallyport.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "sallyport.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sallyport.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sallyport.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sallyport.labels" -}}
{{ include "sallyport.selectorLabels" . }}
app.kubernetes.io/part-of: sallyport
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "sallyport.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "sallyport.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "sallyport.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{- define "sallyport.policiesConfigMap" -}}
{{- default (printf "%s-policies" (include "sallyport.fullname" .)) .Values.policies.existingConfigMap }}
{{- end }}

{{- define "sallyport.endpointsConfigMap" -}}
{{- default (printf "%s-endpoints" (include "sallyport.fullname" .)) .Values.endpoints.existingConfigMap }}
{{- end }}

{{/* drainTimeoutMs as the configuration has it, a number of milliseconds or a text with a unit, and 15 s. */}}
{{- define "sallyport.gracePeriodSeconds" -}}
{{- if not (kindIs "invalid" .Values.terminationGracePeriodSeconds) -}}
{{ .Values.terminationGracePeriodSeconds }}
{{- else -}}
{{- $drain := toString (dig "limits" "drainTimeoutMs" "5000" .Values.config) -}}
{{- $number := regexFind "^[0-9]+" $drain | int64 -}}
{{- $unit := regexFind "[a-z]+$" $drain -}}
{{- $perUnit := get (dict "" 1 "ms" 1 "s" 1000 "m" 60000 "h" 3600000) $unit -}}
{{- add 15 (div (add 999 (mul $number $perUnit)) 1000) -}}
{{- end -}}
{{- end }}

{{- define "sallyport.hasPolicies" -}}
{{- if or .Values.policies.existingConfigMap .Values.policies.files }}true{{ end -}}
{{- end }}

{{- define "sallyport.hasEndpoints" -}}
{{- if or .Values.endpoints.existingConfigMap .Values.endpoints.files .Values.endpoints.perNode }}true{{ end -}}
{{- end }}

{{/* Services are translated at sockets, for which the node's cgroup2 is mounted. */}}
{{- define "sallyport.hasCgroup" -}}
{{- if eq (toString .Values.config.redirect.services) "socket" }}true{{ end -}}
{{- end }}

{{/* Sockets in pods are closed whose backend has gone. */}}
{{- define "sallyport.entersNetns" -}}
{{- if and (include "sallyport.hasCgroup" .) (dig "enter" false (default dict .Values.netns)) }}true{{ end -}}
{{- end }}

{{/* The configuration, with the sources that other values name. What `config` says itself, it says. */}}
{{- define "sallyport.config" -}}
{{- $config := deepCopy .Values.config -}}
{{- if and .Values.kubernetes.enabled (not (hasKey $config "kubernetes")) -}}
{{- $_ := set $config "kubernetes" dict -}}
{{- end -}}
{{- if and (include "sallyport.hasPolicies" .) (not (hasKey $config "policies")) -}}
{{- $_ := set $config "policies" (list "/etc/sallyport/policies/") -}}
{{- end -}}
{{- if and (include "sallyport.hasEndpoints" .) (not (hasKey $config "endpoints")) -}}
{{- $_ := set $config "endpoints" "/etc/sallyport/endpoints/endpoints.yaml" -}}
{{- end -}}
{{- if and (include "sallyport.hasCgroup" .) (not $config.redirect.cgroupRoot) -}}
{{- $_ := set $config.redirect "cgroupRoot" "/run/sallyport/cgroup" -}}
{{- end -}}
{{- with .Values.hubble.metrics -}}
{{- if and .enabled (not (dig "hubble" "metrics" dict $config)) -}}
{{- $metrics := dict "enabled" .enabled "address" (printf "0.0.0.0:%v" .port) "allowRemote" true "openMetrics" .openMetrics -}}
{{- $_ := set $config "hubble" (merge (dict "metrics" $metrics) (dig "hubble" dict $config)) -}}
{{- end -}}
{{- end -}}
{{- if not (or (hasKey $config "kubernetes") (hasKey $config "policies")) -}}
{{- fail "there is no source of policies: kubernetes.enabled, or policies.files or policies.existingConfigMap" -}}
{{- end -}}
{{- if and (hasKey $config "kubernetes") (not .Values.kubernetes.enabled) -}}
{{- fail "config.kubernetes needs kubernetes.enabled: without it the pods have no rights" -}}
{{- end -}}
{{- toYaml $config -}}
{{- end }}

{{/* What loader and proxy read. */}}
{{- define "sallyport.sources" -}}
- { name: config, mountPath: /etc/sallyport/config.yaml, subPath: config.yaml, readOnly: true }
{{- if include "sallyport.hasPolicies" . }}
- { name: policies, mountPath: /etc/sallyport/policies, readOnly: true }
{{- end }}
{{- if include "sallyport.hasEndpoints" . }}
- { name: endpoints, mountPath: /etc/sallyport/endpoints, readOnly: true }
{{- end }}
- { name: pins, mountPath: /run/sallyport/bpf }
- { name: state, mountPath: /var/lib/sallyport }
{{- if .Values.kubernetes.enabled }}
- { name: kube-api, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true }
{{- end }}
{{- end }}

{{/* The token by which the API server knows us, as kubelet would mount it, but only where it is needed. */}}
{{- define "sallyport.kubeApiVolume" -}}
- name: kube-api
  projected:
    sources:
      - serviceAccountToken: { path: token, expirationSeconds: 3607 }
      - configMap: { name: kube-root-ca.crt, items: [{ key: ca.crt, path: ca.crt }] }
      - downwardAPI: { items: [{ path: namespace, fieldRef: { fieldPath: metadata.namespace } }] }
{{- end }}

{{- define "sallyport.env" -}}
{{- if or .Values.kubernetes.enabled .Values.endpoints.perNode .Values.extraEnv -}}
env:
  {{- if or .Values.kubernetes.enabled .Values.endpoints.perNode }}
  - name: NODE_NAME
    valueFrom: { fieldRef: { fieldPath: spec.nodeName } }
  {{- end }}
  {{- if .Values.endpoints.perNode }}
  - { name: SALLYPORT_ENDPOINTS, value: /etc/sallyport/endpoints/$(NODE_NAME).yaml }
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Another name than the DaemonSet's, whose selector must not find these pods. */}}
{{- define "sallyport.admissionSelectorLabels" -}}
app.kubernetes.io/name: {{ include "sallyport.name" . }}-admission
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "sallyport.admissionLabels" -}}
{{ include "sallyport.admissionSelectorLabels" . }}
app.kubernetes.io/component: admission
app.kubernetes.io/part-of: sallyport
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "sallyport.clusterBinding" -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ include "sallyport.fullname" .root }}-{{ .name }}
  labels:
    {{- include "sallyport.labels" .root | nindent 4 }}
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ include "sallyport.fullname" .root }}-{{ .name }} }
subjects:
  - { kind: ServiceAccount, name: {{ include "sallyport.serviceAccountName" .root }}, namespace: {{ .root.Release.Namespace }} }
{{- end }}

{{- define "sallyport.binding" -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ include "sallyport.fullname" .root }}-{{ .name }}
  namespace: {{ .namespace }}
  labels:
    {{- include "sallyport.labels" .root | nindent 4 }}
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ include "sallyport.fullname" .root }}-{{ .name }} }
subjects:
  - { kind: ServiceAccount, name: {{ include "sallyport.serviceAccountName" .root }}, namespace: {{ .root.Release.Namespace }} }
{{- end }}
