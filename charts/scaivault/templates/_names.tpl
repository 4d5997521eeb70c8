{{/* Labels of every object. */}}
{{- define "scaivault.labels" -}}
app.kubernetes.io/name: scaivault
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* Labels of a part's pods, by which they are selected. Call with the part's name. */}}
{{- define "scaivault.selector" -}}
app.kubernetes.io/name: scaivault
app.kubernetes.io/component: {{ . }}
{{- end }}

{{/* Which image, and how it is pulled. */}}
{{- define "scaivault.image" -}}
image: {{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- with .Values.image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end }}

{{- define "scaivault.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "scaivault.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "scaivault.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Where the vault is, within the cluster. */}}
{{- define "scaivault.url" -}}
https://scaivault-server.{{ .Release.Namespace }}.svc:8443
{{- end }}

{{/* Where a part's pods may run, and how important they are. Call with the part's values. */}}
{{- define "scaivault.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
{{ toYaml . | indent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
{{ toYaml . }}
{{- end }}
{{- with .affinity }}
affinity:
{{ toYaml . | indent 2 }}
{{- end }}
{{- end }}

{{/* Further arguments of a part. Call with the list. */}}
{{- define "scaivault.args" -}}
{{- range . }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* One pod of a part at a time may go when a node is emptied. One that is not ready serves nobody, so that it
     must not keep a node from being emptied. Call with the part's name. */}}
{{- define "scaivault.budget" -}}
maxUnavailable: 1
unhealthyPodEvictionPolicy: AlwaysAllow
selector:
  matchLabels:
    {{- include "scaivault.selector" . | nindent 4 }}
{{- end }}
