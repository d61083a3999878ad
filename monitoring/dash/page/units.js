// Numbers as Grafana writes them, for the units that our dashboards use.

const SCALES = {
  s: [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"], [1e-3, "ms"], [1e-6, "µs"]],
  bytes: [[2 ** 40, "TiB"], [2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]],
  Bps: [[1e9, "GB/s"], [1e6, "MB/s"], [1e3, "kB/s"], [1, "B/s"]],
  short: [[1e9, "Bil"], [1e6, "Mil"], [1e3, "K"], [1, ""]],
};
const SUFFIXES = { reqps: "req/s", ops: "ops/s", none: "" };

export function format(value, unit, decimals) {
  if (value === null || value === undefined) return "";
  if (unit === "percentunit") return `${rounded(value * 100, decimals)}%`;
  if (unit in SCALES) return scaled(value, SCALES[unit], decimals);
  const suffix = SUFFIXES[unit] ?? unit.replace(/^suffix:/, "");
  return `${rounded(value, decimals)} ${suffix}`.trimEnd();
}

function scaled(value, scale, decimals) {
  const size = Math.abs(value);
  const [factor, name] = scale.find(([factor]) => size >= factor) ?? (size === 0 ? scale.find(([f]) => f === 1) : scale.at(-1));
  return `${rounded(value / factor, decimals)} ${name}`.trimEnd();
}

// Three digits that count, unless the panel says how many follow the point.
function rounded(value, decimals) {
  if (decimals !== undefined) return value.toFixed(decimals);
  const size = Math.abs(value);
  const digits = size === 0 || size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : Math.min(6, 2 - Math.floor(Math.log10(size)));
  return String(Number(value.toFixed(digits)));
}
