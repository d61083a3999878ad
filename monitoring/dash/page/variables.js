// The dashboard's variables: what can be chosen, and their values put into a query.

import { labelValues } from "./prometheus.js";

const ALL = "$__all";

// [{name, label, values, current}] of those that a person chooses; the datasource is this server's.
export async function load(dashboard, time, chosen) {
  const loaded = [];
  for (const variable of dashboard.templating.list.filter(({ type }) => type === "query")) {
    const query = interpolate(variable.query.query, values(loaded));
    const found = picked(await labelValues(query, time), variable.regex);
    const options = variable.includeAll ? [ALL, ...found] : found;
    const wanted = chosen.get(`var-${variable.name}`);
    const current = options.includes(wanted) ? wanted : (options[0] ?? "");
    loaded.push({ name: variable.name, label: variable.label, allValue: variable.allValue, options, current });
  }
  return loaded;
}

export function values(variables) {
  return Object.fromEntries(variables.map(({ name, current, allValue }) => [name, current === ALL ? allValue : current]));
}

export function interpolate(text, given) {
  return text.replace(/\$\{?(\w+)\}?/g, (all, name) => given[name] ?? all);
}

export const shown = (option) => (option === ALL ? "All" : option);

// A Grafana regex, /.../: its first group is the value.
function picked(found, regex) {
  if (!regex) return found;
  const pattern = new RegExp(regex.slice(1, -1));
  return [...new Set(found.map((value) => pattern.exec(value)?.[1]).filter(Boolean))];
}
