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

{{/* What loader and proxy read. */}}
{{- define "sallyport.sources" -}}
- { name: config, mountPath: /etc/sallyport/config.yaml, subPath: config.yaml, readOnly: true }
- { name: policies, mountPath: /etc/sallyport/policies, readOnly: true }
- { name: endpoints, mountPath: /etc/sallyport/endpoints, readOnly: true }
- { name: pins, mountPath: /run/sallyport/bpf }
- { name: state, mountPath: /var/lib/sallyport }
{{- end }}

{{- define "sallyport.env" -}}
{{- if or .Values.endpoints.perNode .Values.extraEnv -}}
env:
  {{- if .Values.endpoints.perNode }}
  - name: NODE_NAME
    valueFrom: { fieldRef: { fieldPath: spec.nodeName } }
  - { name: SALLYPORT_ENDPOINTS, value: /etc/sallyport/endpoints/$(NODE_NAME).yaml }
  {{- end }}
  {{- with .Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}
