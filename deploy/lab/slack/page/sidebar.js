// Workspace, channels, apps, and who one is.
import { asWho, avatar } from "./avatar.js";
import { el, icon, iconButton, ICONS, replace } from "./dom.js";
import { keyOf, store, unreadIn } from "./store.js";

const themeNow = () => localStorage.getItem("theme") || "auto";

export function applyTheme(theme = themeNow()) {
  document.documentElement.dataset.theme = theme;
}

function themeButton() {
  const dark = themeNow() === "dark" || (themeNow() === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
  return iconButton(dark ? "sun" : "moon", dark ? "Light colours" : "Dark colours", () => {
    localStorage.setItem("theme", dark ? "light" : "dark");
    applyTheme();
    sidebarView.redraw();
  }, { "data-testid": "theme" });
}

function channelItem(channel, go) {
  const unread = unreadIn(channel.id);
  const here = store.page === "channel" && store.channel === channel.id;
  return el("button.side-item", { type: "button", "data-channel": channel.id, "aria-current": here ? "page" : undefined, class: unread && !here ? "unread" : "",
    onclick: () => go.channel(channel.id) },
  icon(ICONS.hash, { size: 15 }), el("span.side-name", {}, channel.name), unread && !here ? el("span.badge", {}, unread) : null);
}

function appItem(entry, go) {
  const here = store.page === "home" && store.homeApp === entry.app_id;
  return el("button.side-item", { type: "button", "data-app": keyOf(entry), "aria-current": here ? "page" : undefined, onclick: () => go.home(entry.app_id) },
    avatar(asWho(entry), 20), el("span.side-name", {}, entry.name),
  entry.connections === undefined ? null : el("span.presence", { class: entry.connections ? "on" : "", role: "img",
    "aria-label": entry.connections ? "connected" : "not connected", title: entry.connections ? "Connected over Socket Mode" : "No program is connected" }));
}

function meItem(who, i, go) {
  const mine = who.id === store.me;
  return el("button.me", { type: "button", role: "radio", "aria-checked": String(mine), tabindex: mine ? 0 : -1, "data-testid": `me-${keyOf(who)}`, "data-user": who.id,
    title: `Be ${who.name} (key ${i + 1})`, onclick: () => go.me(who.id) },
  avatar(asWho(who), 26), el("span.me-text", {}, el("span.me-name", {}, who.name), el("span.me-title", {}, who.title || "")), i < 9 ? el("kbd", {}, i + 1) : null);
}

function meKeys(event, go) {
  const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const list = store.choices;
  const at = list.findIndex((p) => p.id === store.me);
  go.me(list[(at + step + list.length) % list.length].id);
  requestAnimationFrame(() => document.querySelector(`[data-testid="me-${keyOf(list[(at + step + list.length) % list.length])}"]`)?.focus());
}

export const sidebarView = {
  mount(node, go) {
    this.node = node;
    this.go = go;
  },
  redraw() {
    const { go } = this;
    const focused = this.node.contains(document.activeElement) ? document.activeElement.dataset : null;
    replace(this.node,
      el("header.side-head", {}, el("span.workspace", {}, el("strong", {}, store.team.name || "Lab"), el("span.where", {}, "pretend Slack on this machine")), themeButton()),
      el("div.side-scroll", {},
        el("h2", {}, "Channels"), store.channels.filter((c) => !c.is_im).map((c) => channelItem(c, go)),
        el("h2", {}, "Apps"), store.bots.map((b) => appItem(b, go))),
      el("div.side-me", {},
        el("h2", { id: "me-label" }, "You are"),
        el("div", { role: "radiogroup", "aria-labelledby": "me-label", onkeydown: (event) => meKeys(event, go) }, store.choices.map((p, i) => meItem(p, i, go)))),
      el("footer.side-foot", {}, el("button.side-item", { type: "button", "data-testid": "lab-toggle", "aria-expanded": String(Boolean(store.drawer)), onclick: () => go.drawer() },
        icon(ICONS.flask, { size: 16 }), el("span.side-name", {}, "Lab: faults and counters"))));
    if (focused?.testid) this.node.querySelector(`[data-testid="${focused.testid}"]`)?.focus();
    else if (focused?.channel) this.node.querySelector(`[data-channel="${focused.channel}"]`)?.focus();
    else if (focused?.app) this.node.querySelector(`[data-app="${focused.app}"]`)?.focus();
  },
};
