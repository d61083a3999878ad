// Values over time by uPlot, with a legend that tells the values under the cursor.

import { color, palette } from "../colors.js";
import { element } from "../dom.js";
import { field, name } from "../fields.js";
import { format } from "../units.js";
import { axes, plot } from "./plot.js";
import { range } from "../prometheus.js";

const PATHS = { stepAfter: () => uPlot.paths.stepped({ align: 1 }) };
const PATTERNS = { dash: "dashed", dot: "dotted" };

export async function load(panel, context) {
  const answers = await Promise.all(panel.targets.map(({ expr }) => range(context.fill(expr), context)));
  return answers.flatMap(({ times, series }, index) => {
    const target = panel.targets[index];
    const config = field(panel, target.refId);
    return series.map(({ labels, values }) => ({ label: name(target.legendFormat, labels), times, values, config }));
  });
}

export function draw(panel, body, series, context) {
  const { unit, decimals, custom } = panel.fieldConfig.defaults;
  const lines = colored(series);
  const stacked = custom.stacking?.mode === "normal";
  const drawn = stacked ? stack(lines) : lines;
  const legend = element("div", { classes: "legend" });
  const area = element("div", { classes: "plot" });
  const readout = legendOf(legend, lines, (value) => format(value, unit, decimals));
  body.append(area, legend);
  plot(area, context, {
    series: [{}, ...drawn.map((line) => style(line, custom.drawStyle === "bars", stacked))],
    data: [lines[0].times, ...drawn.map(({ values }) => values)],
    axes: axes((value) => format(value, unit), unit),
    scales: { y: { range: bounds(custom.axisSoftMin) } },
    onCursor: readout,
  });
}

function colored(series) {
  let plain = 0;
  return series.map((line) => ({ ...line, color: color(line.config.color?.fixedColor ?? palette(plain++)) }));
}

// Running totals, the highest first: what is drawn later covers all but its own part of them.
function stack(lines) {
  const totals = lines[0].times.map(() => 0);
  const summed = lines.map((line) => ({ ...line, values: line.values.map((value, at) => (totals[at] += value ?? 0)) }));
  return summed.reverse();
}

function style({ color: stroke, config: { custom } }, bars, stacked) {
  const opacity = Math.round((255 * (stacked ? 100 : (custom.fillOpacity ?? 0))) / 100);
  return {
    stroke,
    width: bars ? 0 : (custom.lineWidth ?? 1),
    dash: custom.lineStyle?.dash,
    fill: opacity ? stroke + opacity.toString(16).padStart(2, "0") : undefined,
    paths: bars ? uPlot.paths.bars({ size: [0.9, 40] }) : PATHS[custom.lineInterpolation]?.(),
    points: { show: bars ? false : undefined, size: 4 },
    spanGaps: false,
  };
}

// From the soft minimum (or the lowest value) to a little above the highest; a flat line has room.
function bounds(soft) {
  return (_, low, high) => {
    if (low === null) return [0, 1];
    const least = Math.min(low, soft ?? low);
    const most = Math.max(high, soft ?? high);
    const room = (most - least) * 0.08 || Math.abs(most) * 0.1 || 1;
    return [least < 0 ? least - room : least, most + room];
  };
}

function legendOf(legend, lines, text) {
  const shown = lines.filter(({ config }) => !config.custom.hideFrom?.legend);
  const items = shown.map((line) => {
    const mark = element("i", { classes: pattern(line.config.custom.lineStyle), style: { borderColor: line.color } });
    const value = element("b");
    legend.append(element("span", {}, [mark, line.label, value]));
    return { line, value };
  });
  return (at) => {
    for (const { line, value } of items) value.textContent = at === null ? "" : text(line.values[at]);
  };
}

const pattern = (line) => (line?.dash?.[0] === 3 ? PATTERNS.dot : (PATTERNS[line?.fill] ?? ""));
