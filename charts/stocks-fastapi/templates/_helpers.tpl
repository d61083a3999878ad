{{- /*
The release's name: every object is called <release>-<component>. Helm caps it at 53 characters,
so the longest suffix still fits a label of 63.
*/}}
{{- define "stocks-fastapi.fullname" -}}
{{ .Release.Name }}
{{- end }}

{{- /*
All labels of an object. Takes (dict "root" $ "component" "api").
*/}}
{{- define "stocks-fastapi.labels" -}}
{{ include "stocks-fastapi.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: stocks-fastapi
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- /*
What selects an object's pods: never a version, since a Deployment's selector can't be changed.
Takes (dict "root" $ "component" "api").
*/}}
{{- define "stocks-fastapi.selectorLabels" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- /*
An image with its tag: the chart's appVersion unless the values name one.
Takes (dict "root" $ "image" .Values.api.image).
*/}}
{{- define "stocks-fastapi.image" -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- /*
Pod and container settings that the "restricted" Pod Security Standard asks for.
65532 is the user of all three images; as fsGroup it owns the mounted volumes.
*/}}
{{- define "stocks-fastapi.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "stocks-fastapi.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
