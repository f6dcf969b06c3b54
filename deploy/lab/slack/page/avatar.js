// Drawn avatars: people are round with their initial, apps are square with a sign of their trade.
import { el, icon } from "./dom.js";

const APPS = {
  watchbill: ["#0e6e6a", ["M6.5 16.5h11l-1.6-2.6V11a3.9 3.9 0 0 0-7.8 0v2.9z", "M10.4 19h3.2M12 4.6v2"]],
  architect: ["#4257b2", ["M12 4v2M12 6a1.6 1.6 0 1 0 0 3.2A1.6 1.6 0 0 0 12 6", "M11.3 9L6.5 19M12.7 9l4.8 10M7.8 14.6c2.6 1.6 5.8 1.6 8.4 0"]],
  builder: ["#a85c12", ["M5 9.2c2-3 5.2-4 8.6-3.4L11 8.4l2.2 2.2M11.4 9.6L18.6 17l-1.8 1.8-7.4-7.2", "M5 9.2l2.2 2.2 2-2"]],
  sentinel: ["#8a3a5e", ["M12 4l7 2.6v5c0 4.3-3.3 7-7 8.4-3.7-1.4-7-4.1-7-8.4v-5z", "M9 11.8l2.2 2.2 4-4.2"]],
  qa: ["#3f7d2c", ["M11 5.2a5.6 5.6 0 1 0 0 11.2 5.6 5.6 0 0 0 0-11.2", "M15.2 15.2L19 19M8.6 10.9l1.8 1.8 3-3.2"]],
};
const SPARE = ["#5b6470", ["M6 8h12v10H6z", "M12 5v3M9.5 12h.01M14.5 12h.01M9.5 15h5"]];
const COLOURS = ["#7a4fb0", "#1c7c54", "#b0432f", "#37658f", "#96701b"];

const hash = (text) => [...String(text)].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) >>> 0, 7);

export function colourOf(who) {
  if (who.kind === "app") return (APPS[who.key] || SPARE)[0];
  return /^#[0-9a-f]{3,8}$/i.test(who.color || "") ? who.color : COLOURS[hash(who.id || who.name) % COLOURS.length];
}

export function avatar(who, size = 36) {
  const node = el("span.avatar", { class: who.kind, "aria-hidden": "true" });
  node.style.setProperty("--size", `${size}px`);
  node.style.setProperty("--colour", colourOf(who));
  if (who.kind === "app") node.append(icon((APPS[who.key] || SPARE)[1], { size: Math.round(size * 0.66), width: 1.7 }));
  else node.append((who.name || "?").replace(/^@/, "").slice(0, 1).toUpperCase());
  return node;
}

export const asWho = (entry) => (entry.bot_id || entry.app_id
  ? { kind: "app", key: (entry.key || entry.name).toLowerCase(), name: entry.name, id: entry.user_id }
  : { kind: "person", ...entry });
