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
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
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

{{- /*
Whether the operator may read the Prometheus object: only where there is one to ask for what is missing.
A namespace that isn't there would fail the whole installation. Rendered without a cluster it is believed in.
*/}}
{{- define "stocks-fastapi.readsPrometheus" -}}
{{- $prometheus := .Values.operator.prometheus }}
{{- if and .Values.monitoring.enabled .Values.operator.prometheusUrl $prometheus.name }}
{{- $blind := not (lookup "v1" "Namespace" "" "kube-system") }}
{{- if or $blind (lookup "v1" "Namespace" "" $prometheus.namespace) }}true{{ end }}
{{- end }}
{{- end }}

{{- /*
The files by which the operator reaches Prometheus, as sources of a projected volume; empty where it needs none.
*/}}
{{- define "stocks-fastapi.prometheusAccess" -}}
{{- $access := .Values.operator.prometheusAccess }}
{{- $sources := list }}
{{- if $access.serviceAccountToken }}
{{- $sources = append $sources (dict "serviceAccountToken" (dict "path" "token" "expirationSeconds" 3600)) }}
{{- end }}
{{- $files := dict "token" $access.token "ca.crt" $access.ca }}
{{- range $name, $file := $access.headers }}
{{- $_ := set $files (printf "headers/%s" $name) $file }}
{{- end }}
{{- range $path, $file := $files }}
{{- if $file.secret }}
{{- $item := dict "key" $file.key "path" $path }}
{{- $sources = append $sources (dict "secret" (dict "name" $file.secret "items" (list $item))) }}
{{- end }}
{{- end }}
{{- with $access.clientCertificate.secret }}
{{- $items := list (dict "key" "tls.crt" "path" "tls.crt") (dict "key" "tls.key" "path" "tls.key") }}
{{- $sources = append $sources (dict "secret" (dict "name" . "items" $items)) }}
{{- end }}
{{- if $sources }}{{ toYaml $sources }}{{ end }}
{{- end }}

{{- /*
Where the API finds its gateway. The schema has made sure that mode, simulator and host agree.
*/}}
{{- define "stocks-fastapi.gatewayHost" -}}
{{- if .Values.simulator.enabled }}
{{- include "stocks-fastapi.fullname" . }}-gateway
{{- else }}
{{- .Values.gateway.host }}
{{- end }}
{{- end }}

{{- /*
IB Gateway listens on 4001 with a live account and on 4002 with a paper account, TWS on 7496 and 7497,
the container images on 4003 and 4004. A port that belongs to the other kind of account is refused:
"paper" in the values and real money behind the port is the mistake to prevent.
*/}}
{{- define "stocks-fastapi.gatewayPort" -}}
{{- $gateway := .Values.gateway }}
{{- $port := int $gateway.port }}
{{- if and (eq $gateway.mode "paper") (has $port (list 4001 4003 7496)) }}
{{- fail (printf "gateway.port: %d is a live account's port, but gateway.mode is paper" $port) }}
{{- end }}
{{- if and (eq $gateway.mode "live") (has $port (list 4002 4004 7497)) }}
{{- fail (printf "gateway.port: %d is a paper account's port, but gateway.mode is live" $port) }}
{{- end }}
{{- $port | default (eq $gateway.mode "live" | ternary 4001 4002) }}
{{- end }}

{{- /*
The Secret with keys.yaml.
*/}}
{{- define "stocks-fastapi.keysSecret" -}}
{{- .Values.api.auth.existingSecret | default (printf "%s-api-keys" (include "stocks-fastapi.fullname" .)) }}
{{- end }}

{{- /*
The groups of one generated rule file, for this release's namespace: its only templating, so that
what promtool tests is what runs. Takes (dict "root" $ "path" "files/rules/....yaml").
*/}}
{{- define "stocks-fastapi.ruleGroups" -}}
{{- /* A namespace may be called 4444412: as a label it is quoted */}}
{{- $label := printf "namespace: %q" .root.Release.Namespace }}
{{- $text := .root.Files.Get .path | replace "namespace: __NAMESPACE__" $label }}
{{- $text = $text | replace "__NAMESPACE__" .root.Release.Namespace }}
{{- with .root.Values.monitoring.runbookBaseUrl }}
{{- $text = regexReplaceAllLiteral "(?m)(runbook_url: ).*/" $text (printf "runbook_url: %s/" (trimSuffix "/" .)) }}
{{- end }}
{{- /* fromYaml reports a broken file in its result, not as an error */}}
{{- $groups := (fromYaml $text).groups | required (printf "%s has no groups" .path) }}
{{- toYaml $groups }}
{{- end }}

{{- /*
Every shard of a sharded Prometheus scrapes the endpoint: each evaluates all rules, and one without the targets
would take them for gone. prometheus-operator reads this label and drops it.
*/}}
{{- define "stocks-fastapi.onEveryShard" -}}
relabelings:
  - targetLabel: __tmp_disable_sharding
    replacement: "true"
{{- end }}
