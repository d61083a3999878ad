// The bar: links to the other dashboards and elsewhere, and what can be chosen.

import { element, link } from "./dom.js";
import { SPANS, spanName } from "./time.js";
import { shown } from "./variables.js";

export function links(dashboard, boards, chosen) {
  return dashboard.links.flatMap((item) =>
    item.type === "dashboards"
      ? boards.map(({ uid, title }) => {
          const current = uid === dashboard.uid ? { "aria-current": "page" } : {};
          return link(title.replace(/^Stocks: /, ""), `/dash/d/${encodeURIComponent(uid)}?${chosen}`, current);
        })
      : [link(item.title, item.url, { target: "_blank", rel: "noopener", title: item.tooltip })],
  );
}

export function controls(variables, chosen) {
  const choices = variables.map(({ name, label, options, current }) =>
    choice(label, `var-${name}`, options, current, shown),
  );
  return [...choices, choice("Time", "from", Object.keys(SPANS), chosen.get("from") ?? "now-1h", spanName)];
}

function choice(label, parameter, options, current, text) {
  const select = element("select", { attributes: { "aria-label": label, title: label } });
  select.append(...options.map((value) => new Option(text(value), value, false, value === current)));
  select.addEventListener("change", () => {
    const changed = new URLSearchParams(location.search);
    changed.set(parameter, select.value);
    location.search = changed;
  });
  return select;
}
