// uPlot as all graphs here use it: its size, its axes, one cursor for all, and alerts as bands.

import { clock } from "../time.js";

const DIM = "#8e8e9c";
const GRID = { stroke: "#25282e", width: 1 };
const FONT = '11px "DejaVu Sans", Inter, sans-serif';
const CHARACTER = 7; // pixels, at that size

// Between the marks of an axis: powers of 2 for bytes, else what uPlot takes for round.
const BINARY = Array.from({ length: 50 }, (_, power) => 2 ** power);

export function axes(format, unit) {
  return [
    { stroke: DIM, grid: GRID, ticks: GRID, font: FONT, values: (_, at) => at.map(clock), space: 60, size: 26 },
    {
      stroke: DIM, grid: GRID, ticks: GRID, font: FONT, values: (_, values) => values.map(format), space: 26,
      ...(unit === "bytes" ? { incrs: BINARY } : {}),
      size: (_, labels) => 20 + CHARACTER * Math.max(3, ...(labels ?? []).map(({ length }) => length)),
    },
  ];
}

export function plot(area, context, { series, data, axes: both, scales, onCursor, onDraw, marks = true }) {
  const hooks = {
    drawClear: marks ? [(chart) => drawAlerts(chart, context.alerts)] : [],
    draw: onDraw ? [onDraw] : [],
    setCursor: onCursor ? [(chart) => onCursor(chart.cursor.idx)] : [],
  };
  const options = {
    width: area.clientWidth,
    height: area.clientHeight,
    padding: [10, 12, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: "dash" }, y: false, drag: { setScale: false } },
    scales: { x: { time: true, range: [context.from, context.to] }, ...scales },
    axes: both,
    series,
    hooks,
  };
  return new uPlot(options, data, area);
}

function drawAlerts(chart, alerts) {
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  for (const { from, to, color } of alerts) {
    const [left, right] = [from, to].map((at) => chart.valToPos(at, "x", true));
    ctx.fillStyle = `${color}1e`;
    ctx.fillRect(left, bbox.top, right - left, bbox.height);
    ctx.fillStyle = color;
    ctx.fillRect(left, bbox.top, right - left, 2 * devicePixelRatio);
  }
  ctx.restore();
}
