// Elements made from data: text goes in as text, never as markup.

export function element(tag, { classes = "", text = "", style = {}, attributes = {} } = {}, children = []) {
  const made = document.createElement(tag);
  if (classes) made.className = classes;
  if (text !== "") made.textContent = text;
  Object.assign(made.style, style);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Links come from the dashboards' JSON: only web addresses and paths of our own become one.
export function link(text, address, attributes = {}) {
  const url = new URL(address, location.href);
  const safe = url.protocol === "https:" || url.origin === location.origin;
  return element("a", { text, attributes: safe ? { ...attributes, href: url.href } : attributes });
}
