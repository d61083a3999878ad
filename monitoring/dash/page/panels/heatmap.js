// How the events of a histogram spread over its buckets: the warmer, the more.

import { axes, plot } from "./plot.js";
import { element } from "../dom.js";
import { format } from "../units.js";
import { range } from "../prometheus.js";

export async function load(panel, context) {
  const { times, series } = await range(context.fill(panel.targets[0].expr), context);
  const cumulative = series
    .map(({ labels, values }) => ({ edge: Number(labels.le.replace("+Inf", "Infinity")), values }))
    .sort((one, other) => one.edge - other.edge);
  const buckets = cumulative.map(({ edge, values }, index) => ({
    edge,
    counts: values.map((value, at) => Math.max(0, (value ?? 0) - (cumulative[index - 1]?.values[at] ?? 0))),
  }));
  const most = Math.max(0, ...buckets.flatMap(({ counts }) => counts));
  return most > 0 ? [{ times, buckets, most }] : [];
}

export function draw(panel, body, [{ times, buckets, most }], context) {
  const area = element("div", { classes: "plot" });
  body.append(area);
  const [x, y] = axes((index) => label(buckets, index, panel.options.yAxis.unit));
  plot(area, context, {
    series: [{}, { points: { show: false } }],
    data: [times, times.map(() => null)],
    axes: [x, { ...y, splits: () => buckets.map((_, index) => index) }],
    scales: { y: { range: [0, buckets.length] } },
    onDraw: (chart) => drawCells(chart, times, buckets, most, context.step),
    marks: false,
  });
}

// From a dark brown to a bright yellow; the root lets few events be seen beside many.
function heat(part) {
  const warmth = Math.sqrt(part);
  return `hsl(${18 + 30 * warmth} 90% ${14 + 50 * warmth}%)`;
}

// The line below a row of cells is the upper edge of the bucket before.
function label(buckets, index, unit) {
  const edge = buckets[index - 1]?.edge;
  return edge === undefined ? "0" : format(edge, unit);
}

function drawCells({ ctx, valToPos }, times, buckets, most, step) {
  buckets.forEach(({ counts }, row) => {
    const [bottom, top] = [row, row + 1].map((at) => valToPos(at, "y", true));
    counts.forEach((count, at) => {
      if (count <= 0) return;
      const [left, right] = [times[at] - step, times[at]].map((time) => valToPos(time, "x", true));
      ctx.fillStyle = heat(count / most);
      ctx.fillRect(left, top + 1, Math.max(1, right - left - 0.5), bottom - top - 1);
    });
  });
}
