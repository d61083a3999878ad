// The time that is shown, and steps in it.

const HOUR = 3600;
// As Grafana writes them in an address.
export const SPANS = { "now-15m": HOUR / 4, "now-30m": HOUR / 2, "now-1h": HOUR, "now-3h": 3 * HOUR, "now-12h": 12 * HOUR, "now-2d": 48 * HOUR };

// Prometheus is asked for at most so many points a series, and never closer than it scrapes.
const POINTS = 240;
const SCRAPE = 15;

export function window(from, end = Date.now() / 1000) {
  const span = SPANS[from] ?? HOUR;
  const step = Math.max(SCRAPE, Math.ceil(span / POINTS / SCRAPE) * SCRAPE);
  const to = Math.floor(end / step) * step; // the same grid at every refresh, so lines don't quiver
  return { from: to - span, to, step, rateInterval: Math.max(4 * SCRAPE, step + SCRAPE) };
}

export const spanName = (from) => `Last ${from.replace("now-", "")}`;

export function clock(seconds) {
  return new Date(1000 * seconds).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
}
