// Building DOM nodes. Every string becomes a text node or an attribute: nothing from a message is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** el("button.primary", {onclick, "data-ts": "1"}, "Text", node, [nodes]) */
export function el(spec, props = {}, ...children) {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(props || {})) assign(node, name, value);
  append(node, children);
  return node;
}

function assign(node, name, value) {
  if (value === undefined || value === null || value === false) return;
  if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
  else if (name === "class") node.classList.add(...value.split(" ").filter(Boolean));
  else if (name === "value") node.value = value;
  else if (value === true) node.setAttribute(name, "");
  else node.setAttribute(name, String(value));
}

export function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false || child === "") continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

export function replace(node, ...children) {
  node.replaceChildren();
  return append(node, children);
}

/** Draws strokes in a 24 x 24 box; `paths` are our own constants. */
export function icon(paths, { size = 16, width = 1.8, label = "", className = "icon" } = {}) {
  const svg = document.createElementNS(SVG, "svg");
  const attributes = { viewBox: "0 0 24 24", width: size, height: size, class: className, fill: "none",
    stroke: "currentColor", "stroke-width": width, "stroke-linecap": "round", "stroke-linejoin": "round" };
  for (const [name, value] of Object.entries(attributes)) svg.setAttribute(name, value);
  if (label) {
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", label);
    const title = document.createElementNS(SVG, "title");
    title.textContent = label;
    svg.append(title);
  } else svg.setAttribute("aria-hidden", "true");
  for (const d of [paths].flat()) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

export const ICONS = {
  close: "M6 6l12 12M18 6L6 18",
  menu: "M4 7h16M4 12h16M4 17h16",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  reply: "M5 5h14v10h-7l-5 4v-4H5z",
  edit: "M5 19l1-4L16 5l3 3L9 18z",
  braces: "M9 5c-3 0-2 3-2 5 0 1-1 2-2 2 1 0 2 1 2 2 0 2-1 5 2 5M15 5c3 0 2 3 2 5 0 1 1 2 2 2-1 0-2 1-2 2 0 2 1 5-2 5",
  send: "M5 12l14-7-5 14-3-6z",
  down: "M12 5v14M6 13l6 6 6-6",
  eye: "M3 12s3.5-6 9-6 9 6 9 6-3.5 6-9 6-9-6-9-6zM12 10a2 2 0 1 0 0 4 2 2 0 0 0 0-4",
  flask: "M9 4h6M10 4v6l-5 8a1.5 1.5 0 0 0 1.3 2h11.4a1.5 1.5 0 0 0 1.3-2l-5-8V4M7.5 15h9",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1 1M17.4 17.4l1 1M18.4 5.6l-1 1M6.6 17.4l-1 1",
  moon: "M19 14.5A7.5 7.5 0 0 1 9.5 5a7.5 7.5 0 1 0 9.5 9.5z",
  home: "M4 11l8-6 8 6M6 10v9h12v-9M10 19v-5h4v5",
  file: "M7 3h7l4 4v14H7zM14 3v4h4",
  back: "M14 6l-6 6 6 6",
  hash: "M9 4L7 20M17 4l-2 16M4 9h16M3.5 15h16",
  plug: "M9 3v5M15 3v5M7 8h10v3a5 5 0 0 1-10 0zM12 16v5",
  copies: "M8 8h11v11H8zM5 16V5h11",
  keyboard: "M3 7h18v10H3zM7 11h.01M11 11h.01M15 11h.01M8 14h8",
};

export function iconButton(name, label, onclick, extra = {}) {
  return el("button.icon-button", { type: "button", "aria-label": label, title: label, onclick, ...extra }, icon(ICONS[name]));
}

/** The url, or null for javascript: and every other scheme that could act. */
export function safeHref(url) {
  return /^(https?:|mailto:)/i.test(url) || /^\/(?!\/)/.test(url) ? url : null;
}

let timer;
export function announce(text) {
  const region = document.getElementById("announcer");
  clearTimeout(timer);
  timer = setTimeout(() => { region.textContent = text; }, 60);
}

export function toast(text, { kind = "error", ms = 7000 } = {}) {
  const node = el("div.toast", { class: kind, "data-testid": "toast" }, el("span", {}, text),
    iconButton("close", "Dismiss", () => node.remove()));
  document.getElementById("toasts").append(node);
  setTimeout(() => node.remove(), ms);
}
