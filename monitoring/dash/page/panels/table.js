// The series of now, a row each. Several queries are merged by their labels.

import { element } from "../dom.js";
import { format } from "../units.js";
import { now } from "../prometheus.js";

export async function load(panel, context) {
  const answers = await Promise.all(panel.targets.map(({ expr }) => now(context.fill(expr), context.to)));
  const merged = new Map();
  answers.forEach((series, index) => {
    const heading = answers.length > 1 ? `Value #${panel.targets[index].refId}` : "Value";
    for (const { labels, value } of series) {
      const key = JSON.stringify(Object.entries(labels).sort());
      merged.set(key, { ...(merged.get(key) ?? labels), [heading]: value });
    }
  });
  return [...merged.values()];
}

export function draw(panel, body, rows) {
  const { unit, decimals } = panel.fieldConfig.defaults;
  const { indexByName, renameByName } = panel.transformations.find(({ id }) => id === "organize").options;
  const columns = Object.keys(indexByName).sort((one, other) => indexByName[one] - indexByName[other]);
  const isNumber = (column) => column.startsWith("Value");
  const cell = (tag, column, text) => element(tag, { classes: isNumber(column) ? "number" : "", text });
  const value = (row, column) => (isNumber(column) ? format(row[column], unit, decimals) : (row[column] ?? ""));
  const head = element("tr", {}, columns.map((column) => cell("th", column, renameByName[column] ?? column)));
  const lines = sorted(rows, columns).map((row) =>
    element("tr", {}, columns.map((column) => cell("td", column, value(row, column)))),
  );
  const table = element("table", {}, [element("thead", {}, [head]), element("tbody", {}, lines)]);
  body.append(element("div", { classes: "scroll" }, [table]));
}

function sorted(rows, columns) {
  const key = (row) => columns.map((column) => String(row[column] ?? "")).join(" ");
  return [...rows].sort((one, other) => key(one).localeCompare(key(other)));
}
