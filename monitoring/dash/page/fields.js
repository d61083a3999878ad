// What a panel's fieldConfig says of one query, and how a series is named.

export function field(panel, ref) {
  const { defaults, overrides } = panel.fieldConfig;
  const merged = { ...defaults, custom: { ...defaults.custom } };
  const matching = overrides.filter(({ matcher }) => matcher.id === "byFrameRefID" && matcher.options === ref);
  for (const { id, value } of matching.flatMap(({ properties }) => properties)) {
    if (id.startsWith("custom.")) merged.custom[id.slice("custom.".length)] = value;
    else merged[id] = value;
  }
  return merged;
}

export function name(legend, labels) {
  if (legend) return legend.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => labels[label] ?? "").trim();
  return Object.entries(labels).map(([label, value]) => `${label}=${value}`).join(", ");
}

// The word and the colour of a value, where the panel has a mapping for it.
export function word(panel, value) {
  for (const mapping of panel.fieldConfig.defaults.mappings ?? []) {
    const found = mapping.type === "value" ? mapping.options[String(value)] : undefined;
    if (found) return found;
  }
  return undefined;
}

export const baseColor = (panel) => panel.fieldConfig.defaults.thresholds?.steps[0].color ?? "blue";
