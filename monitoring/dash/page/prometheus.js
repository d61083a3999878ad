// Questions to Prometheus, through the server that served this page.

async function ask(question, parameters) {
  const answer = await fetch(`/dash/api/v1/${question}?${new URLSearchParams(parameters)}`);
  const text = await answer.text();
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    throw new Error(text.trim());
  }
  if (body.status !== "success") throw new Error(body.error);
  return body.data;
}

// Series of now: [{labels, value}], without those that are not a number.
export async function now(expr, at) {
  const { result, resultType } = await ask("query", { query: expr, time: at });
  const series = resultType === "scalar" ? [{ metric: {}, value: result }] : result;
  return series
    .map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }))
    .filter(({ value }) => !Number.isNaN(value));
}

// Series over time on one grid: {times, series: [{labels, values}]}; null where there is no sample.
export async function range(expr, { from, to, step }) {
  const { result } = await ask("query_range", { query: expr, start: from, end: to, step });
  const times = [];
  for (let at = from; at <= to; at += step) times.push(at);
  const series = result.map(({ metric, values }) => ({ labels: metric, values: onGrid(values, from, step, times.length) }));
  return { times, series: series.filter(({ values }) => values.some((value) => value !== null)) };
}

function onGrid(samples, from, step, length) {
  const values = new Array(length).fill(null);
  for (const [at, text] of samples) {
    const value = Number(text);
    if (Number.isFinite(value)) values[Math.round((at - from) / step)] = value;
  }
  return values;
}

// The values of a label of a Grafana variable's query, label_values(selector, label).
export async function labelValues(query, { from, to }) {
  const [, selector, label] = /^label_values\((.+),\s*(\w+)\)$/.exec(query);
  const series = await ask("series", { "match[]": selector, start: from, end: to });
  return [...new Set(series.map((labels) => labels[label]).filter(Boolean))].sort();
}
