// The values of now beside each other; a full track is the largest of them, or 1 of a ratio.

import { element } from "../dom.js";
import { baseColor, name } from "../fields.js";
import { color } from "../colors.js";
import { format } from "../units.js";
import { now } from "../prometheus.js";

export async function load(panel, context) {
  const [target] = panel.targets;
  const series = await now(context.fill(target.expr), context.to);
  return series.map(({ labels, value }) => ({ label: name(target.legendFormat, labels), value }));
}

export function draw(panel, body, bars) {
  const { unit, decimals } = panel.fieldConfig.defaults;
  const most = Math.max(...bars.map(({ value }) => value), unit === "percentunit" ? 1 : 0) || 1;
  const background = color(baseColor(panel));
  const rows = bars.flatMap(({ label, value }) => [
    element("span", { classes: "name", text: label }),
    element("div", { classes: "track" }, [
      element("div", { classes: "bar", style: { width: `${(100 * value) / most}%`, background } }),
    ]),
    element("span", { text: format(value, unit, decimals) }),
  ]);
  body.append(element("div", { classes: "gauges" }, rows));
}
