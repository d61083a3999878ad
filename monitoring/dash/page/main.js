// Draws the dashboard that the address names, and again every few seconds.

import * as bargauge from "./panels/bargauge.js";
import * as heatmap from "./panels/heatmap.js";
import * as stat from "./panels/stat.js";
import * as statetimeline from "./panels/statetimeline.js";
import * as table from "./panels/table.js";
import * as timeseries from "./panels/timeseries.js";
import * as variables from "./variables.js";
import { color } from "./colors.js";
import { controls, links } from "./header.js";
import { element, link } from "./dom.js";
import { range } from "./prometheus.js";
import { window as timeWindow } from "./time.js";

const KINDS = { bargauge, heatmap, stat, "state-timeline": statetimeline, table, timeseries };
const REFRESH = 15_000;

const chosen = new URLSearchParams(location.search);
const uid = decodeURIComponent(location.pathname.split("/").at(-1));

async function fetched(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}

async function render(dashboard, boards) {
  const time = timeWindow(chosen.get("from") ?? dashboard.time.from, chosen.has("to") ? Number(chosen.get("to")) : undefined);
  const selected = await variables.load(dashboard, time, chosen);
  const context = contextOf(time, variables.values(selected));
  context.alerts = await alertBands(dashboard, context);
  document.getElementById("links").replaceChildren(...links(dashboard, boards, chosen));
  document.getElementById("controls").replaceChildren(...controls(selected, chosen));
  const panels = picked(dashboard.panels);
  const places = panels.map((panel) => place(panel));
  document.getElementById("grid").replaceChildren(...places);
  await Promise.all(panels.map((panel, index) => show(panel, places[index], context)));
}

// What the panels need of the time and the variables.
function contextOf(time, given) {
  const builtIn = { __rate_interval: `${time.rateInterval}s`, __range: `${time.to - time.from}s`, __interval: `${time.step}s` };
  return { ...time, fill: (expr) => variables.interpolate(expr, { ...builtIn, ...given }) };
}

// ?viewPanel=7&viewPanel=9: these alone, each as wide as the page.
function picked(panels) {
  const wanted = chosen.getAll("viewPanel").map(Number);
  if (!wanted.length) return panels;
  let y = 0;
  return wanted
    .map((id) => panels.find((panel) => panel.id === id))
    .map((panel) => {
      const gridPos = { x: 0, y, w: 24, h: panel.gridPos.h };
      y += gridPos.h;
      return { ...panel, gridPos };
    });
}

function place(panel) {
  const { x, y, w, h } = panel.gridPos;
  const style = { gridColumn: `${x + 1} / span ${w}`, gridRow: `${y + 1} / span ${h}` };
  if (panel.type === "row") return element("h2", { text: panel.title, style });
  const title = element("h3", { text: panel.title, attributes: { title: panel.description } });
  title.prepend(...(panel.links ?? []).map(({ title: text, url }) => link("runbook", url, { target: "_blank", rel: "noopener", title: text })));
  const body = element("div", { classes: "body" });
  return element("section", { classes: panel.type, style, attributes: { "data-panel": panel.title } }, [title, body]);
}

// data-state tells what became of it: drawn, empty, or failed.
async function show(panel, section, context) {
  if (panel.type === "row") return;
  const body = section.querySelector(".body");
  try {
    const loaded = await KINDS[panel.type].load(panel, context);
    if (loaded.length) KINDS[panel.type].draw(panel, body, loaded, context);
    else body.append(element("p", { classes: "empty", text: panel.fieldConfig.defaults.noValue || "no data" }));
    section.dataset.state = loaded.length ? "drawn" : "empty";
  } catch (error) {
    body.replaceChildren(element("p", { classes: "failed", text: error.message }));
    section.dataset.state = "failed";
  }
}

async function alertBands(dashboard, context) {
  const bands = [];
  for (const { expr, iconColor } of dashboard.annotations.list) {
    const { times, series } = await range(context.fill(expr), context);
    const fires = times.map((_, at) => series.some(({ values }) => values[at] !== null));
    fires.forEach((on, at) => {
      if (on && fires[at - 1]) bands.at(-1).to = times[at];
      else if (on) bands.push({ from: times[at], to: times[at] + context.step, color: color(iconColor) });
    });
  }
  return bands;
}

async function turn(dashboard, boards) {
  const problem = document.getElementById("problem");
  try {
    await render(dashboard, boards);
    problem.hidden = true;
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
  }
  document.documentElement.dataset.ready = problem.hidden;
}

async function start() {
  const [dashboard, boards] = await Promise.all([fetched(`/dash/dashboards/${encodeURIComponent(uid)}`), fetched("/dash/dashboards")]);
  document.title = document.getElementById("title").textContent = dashboard.title;
  for (;;) {
    await turn(dashboard, boards);
    if (chosen.get("refresh") === "off") return;
    await new Promise((resolve) => setTimeout(resolve, REFRESH));
  }
}

start();
