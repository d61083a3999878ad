// States over time: equal values that follow each other are one piece.

import { element } from "../dom.js";
import { baseColor, name, word } from "../fields.js";
import { clock } from "../time.js";
import { color, palette } from "../colors.js";
import { format } from "../units.js";
import { range } from "../prometheus.js";

const TICKS = 4;
const CHARACTER = 8; // pixels, at this size of text

export async function load(panel, context) {
  const answers = await Promise.all(panel.targets.map(({ expr }) => range(context.fill(expr), context)));
  return answers.flatMap(({ times, series }, index) =>
    series.map(({ labels, values }) => ({
      label: name(panel.targets[index].legendFormat, labels),
      pieces: pieces(times, values, context.step),
    })),
  );
}

export function draw(panel, body, lines, context) {
  const width = body.clientWidth * 0.6; // the rest is the names'
  const rows = lines
    .sort((one, other) => one.label.localeCompare(other.label))
    .flatMap(({ label, pieces: parts }, index) => [
      element("span", { classes: "name", text: label }),
      element("div", { classes: "track" }, parts.map((part) => piece(panel, part, index, context, width))),
    ]);
  body.append(element("div", { classes: "timeline" }, [...rows, element("span"), times(context)]));
}

function pieces(times, values, step) {
  const found = [];
  values.forEach((value, index) => {
    const last = found.at(-1);
    if (value === null) return;
    if (last?.value === value && last.to === times[index]) last.to += step;
    else found.push({ value, from: times[index], to: times[index] + step });
  });
  return found;
}

function piece(panel, { value, from, to }, index, context, width) {
  const mapped = word(panel, value);
  const mappings = panel.fieldConfig.defaults.mappings ?? [];
  const background = color(mapped?.color ?? (mappings.length ? baseColor(panel) : palette(index)));
  const { unit, decimals } = panel.fieldConfig.defaults;
  const text = mapped?.text ?? format(value, unit, decimals);
  const part = (to - from) / (context.to - context.from);
  const style = { left: percent(from, context), width: `${100 * part}%`, background };
  const fits = part * width > CHARACTER * text.length;
  return element("div", { classes: "piece", text: fits ? text : "", style, attributes: { title: text } });
}

function times(context) {
  const marks = Array.from({ length: TICKS }, (_, index) => context.from + ((index + 0.5) * (context.to - context.from)) / TICKS);
  const labels = marks.map((at) => element("span", { text: clock(at), style: { left: percent(at, context) } }));
  return element("div", { classes: "times" }, labels);
}

const percent = (at, { from, to }) => `${(100 * (at - from)) / (to - from)}%`;
