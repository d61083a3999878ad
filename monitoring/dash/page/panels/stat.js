// The value of now, large, on its colour.

import { element } from "../dom.js";
import { baseColor, word } from "../fields.js";
import { color } from "../colors.js";
import { format } from "../units.js";
import { now } from "../prometheus.js";

export async function load(panel, context) {
  const asked = panel.targets.map(({ expr }) => now(context.fill(expr), context.to));
  return (await Promise.all(asked)).flat();
}

export function draw(panel, body, series) {
  const { unit, decimals } = panel.fieldConfig.defaults;
  const values = series.map(({ value }) => {
    const mapped = word(panel, value);
    const text = mapped?.text ?? format(value, unit, decimals);
    const background = color(mapped?.color ?? baseColor(panel));
    return element("div", { classes: text.length > 10 ? "value long" : "value", text, style: { background } });
  });
  body.append(element("div", { classes: "values" }, values));
}
