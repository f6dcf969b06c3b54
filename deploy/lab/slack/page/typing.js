// "Builder is working…": from typing events, gone after a few seconds without another.
import { el } from "./dom.js";
import { changed, nameOf, store } from "./store.js";

const KEEP_MS = 6000;

export function noteTyping(event) {
  const key = `${event.channel}:${event.thread_ts || ""}`;
  const list = (store.typing.get(key) || []).filter((t) => t.user !== event.user);
  if (event.status !== "") list.push({ user: event.user, status: event.status, until: Date.now() + KEEP_MS });
  store.typing.set(key, list);
  changed("messages");
  setTimeout(() => changed("messages"), KEEP_MS + 50);
}

/** A message of the same author ends its typing. */
export function endTyping(channel, thread, user) {
  const key = `${channel}:${thread || ""}`;
  if (store.typing.has(key)) store.typing.set(key, store.typing.get(key).filter((t) => t.user !== user));
}

export function typingLine(channel, thread) {
  const now = (store.typing.get(`${channel}:${thread || ""}`) || []).filter((t) => t.until > Date.now());
  if (!now.length) return null;
  const text = now.map((t) => `${nameOf(t.user)} ${t.status || "is typing"}`).join(", ");
  return el("span.typing-text", {}, el("span.dots", { "aria-hidden": "true" }, el("i"), el("i"), el("i")), text);
}
