// Starts the page: reads the state, follows the stream, and wires the views together.
import { api, follow } from "./api.js";
import { ChannelView } from "./channel.js";
import { announce } from "./dom.js";
import { Drawer } from "./drawer.js";
import { HomeView, homeEvent, openHome } from "./home.js";
import { redrawViews, refreshViews, viewEvent } from "./modal.js";
import { applyTheme, sidebarView } from "./sidebar.js";
import { asEphemeral, author, changed, find, keepOnly, on, put, remove, store } from "./store.js";
import { mountSplitter, ThreadView } from "./thread.js";
import { endTyping, noteTyping } from "./typing.js";

const byId = (id) => document.getElementById(id);
const isReply = (m) => m.thread_ts && m.thread_ts !== m.ts;
const OPEN_SECONDS = 180; // a reply to a message younger than this opens its thread

const go = {
  channel(id) {
    Object.assign(store, { page: "channel", channel: id, thread: "" });
    remember();
    byId("app").classList.remove("menu-open");
    changed("all");
    load(id);
  },
  async thread(ts, focus = false) {
    Object.assign(store, { page: "channel", thread: ts });
    remember();
    changed("all");
    await loadThread(ts);
    if (focus || matchMedia("(min-width: 900px)").matches) threadView.composer.input.focus({ preventScroll: true });
  },
  closeThread() {
    const root = store.thread;
    store.thread = "";
    remember();
    changed("all");
    setTimeout(() => byId("channel").querySelector(`[data-ts="${CSS.escape(root)}"] .thread-line`)?.focus(), 40);
  },
  home(app) {
    Object.assign(store, { page: "home", homeApp: app });
    byId("app").classList.remove("menu-open");
    changed("all", "home");
    openHome(app);
  },
  me(id) {
    if (id === store.me) return;
    store.me = id;
    sessionStorage.setItem("me", id);
    store.views = [];
    changed("all", "views", "home");
    loadPersonal();
    if (store.page === "home") openHome(store.homeApp);
    announce(`You are now ${store.people.find((p) => p.id === id)?.name}`);
  },
  menu() { byId("app").classList.toggle("menu-open"); },
  drawer() {
    store.drawer = !store.drawer;
    byId("app").classList.remove("menu-open");
    changed("all", "drawer");
  },
};

let channelView;
let threadView;
let homeView;
let drawer;

function remember() {
  const hash = `#${store.channel}${store.thread ? `/${store.thread}` : ""}`;
  if (location.hash !== hash) history.replaceState(null, "", hash);
}

/** Reads everything again; called at the start and after every lost connection. */
async function load(channel = store.channel) {
  const state = await api.state(channel);
  if (state.ok === false) return false;
  for (const name of ["team", "people", "bots", "channels", "commands", "suggestions"]) if (state[name]) store[name] = state[name];
  store.choices = state.me_choices || state.people || [];
  if (!store.choices.some((p) => p.id === store.me)) store.me = store.choices[0]?.id || "";
  store.channel ||= channel || store.channels[0]?.id || "";
  document.title = `#${store.channels.find((c) => c.id === store.channel)?.name || ""} · ${store.team.name || "Lab"}`;
  if (channel === store.channel || !channel) {
    for (const message of state.messages || []) take(store.channel, message);
    keepOnly(store.channel, (state.messages || []).map((m) => m.ts));
  }
  store.ready = true;
  changed("all", "views");
  await Promise.all([loadPersonal(), store.thread ? loadThread(store.thread) : null]);
  return true;
}

/** A message goes where it belongs; a deleted one leaves, or leaves a line behind where a thread hangs on it. */
function take(channel, message) {
  if (message.deleted && message.reply_count) {
    return put(channel, { ts: message.ts, thread_ts: message.ts, user: message.user, reply_count: message.reply_count, latest_reply: message.latest_reply, text: "_This message was deleted._" });
  }
  if (message.deleted) return remove(channel, message.ts);
  return put(channel, message);
}

async function loadThread(ts) {
  const { channel } = store;
  const answer = await api.thread(channel, ts);
  for (const message of answer.messages || (Array.isArray(answer) ? answer : [])) take(channel, message);
  changed("all");
}

async function loadPersonal() {
  const me = store.me;
  const [answer] = await Promise.all([api.ephemerals(me), refreshViews()]);
  const list = Array.isArray(answer) ? answer : answer.messages || answer.ephemerals || [];
  for (const message of list) putEphemeral(message.channel || store.channel, asEphemeral(message, me));
  changed("all");
}

const dismissed = new Set();
function putEphemeral(channel, message) {
  if (dismissed.has(message.ts)) return;
  message.dismiss = () => { dismissed.add(message.ts); remove(channel, message.ts); changed("all"); };
  put(channel, message);
}

function onMessage(event) {
  const { channel, message } = event;
  if (!message) return;
  if (event.type === "message_deleted") take(channel, { ...message, deleted: true });
  else if (event.type === "ephemeral" || message.ephemeral_for) {
    const note = asEphemeral(message, event.user);
    putEphemeral(channel, note);
    if (note.ephemeral_for === store.me) announce(`Only to you, from ${author(note).name}: ${note.text || ""}`);
  } else {
    const fresh = take(channel, message);
    if (fresh && event.type === "message") arrived(channel, message);
  }
  changed("all");
}

function arrived(channel, message) {
  endTyping(channel, message.thread_ts, message.user);
  if (message.user === store.me && !message.bot_id) return;
  if (channel === store.channel) announce(`${author(message).name}: ${(message.text || "").slice(0, 200)}`);
  if (channel === store.channel && message.bot_id && isReply(message)) maybeOpen(message);
}

/** A thread in which an app starts to answer opens by itself, unless another one is being written in. */
function maybeOpen(reply) {
  const root = find(reply.channel || store.channel, reply.thread_ts);
  if (store.thread === reply.thread_ts || store.page !== "channel") return;
  const young = Date.now() / 1000 - Number(reply.thread_ts) < OPEN_SECONDS;
  const first = !opened.has(reply.thread_ts);
  opened.add(reply.thread_ts);
  if (!young || !first || (store.thread && (root?.bot_id || !threadView.composer.empty))) return;
  const typing = document.activeElement;
  store.thread = reply.thread_ts;
  remember();
  changed("all");
  loadThread(reply.thread_ts);
  typing?.focus?.({ preventScroll: true });
}
const opened = new Set();

function onEvent(event) {
  switch (event.type) {
    case "message": case "message_changed": case "message_deleted": case "ephemeral": return onMessage(event);
    case "view_opened": case "view_updated": case "view_closed": return viewEvent(event);
    case "home_updated": return homeEvent(event);
    case "typing": return noteTyping(event);
    case "control": return load();
    default: return undefined;
  }
}

/** Apps connect and vanish without an event; their dots follow within seconds. */
async function watchPresence() {
  if (document.hidden || !store.ready) return;
  const { bots } = await api.presence();
  if (!bots || JSON.stringify(bots) === JSON.stringify(store.bots)) return;
  store.bots = bots;
  changed("sidebar", "messages");
}

let opens = 0;
async function onState(state) {
  const banner = byId("connection");
  if (state === "lost") {
    banner.textContent = "Reconnecting to the lab…";
    banner.hidden = false;
    return;
  }
  opens += 1;
  if (await load()) banner.hidden = true;
  if (opens > 1) changed("all");
}

function keys(event) {
  const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey) return;
  const digit = /^Digit([1-9])$/.exec(event.code)?.[1] || (/^[1-9]$/.test(event.key) ? event.key : "");
  if (digit && (!typing || event.altKey)) {
    const who = store.choices?.[Number(digit) - 1];
    if (who) { event.preventDefault(); go.me(who.id); }
  } else if (event.key === "Escape" && !(typing && typing.value)) {
    if (store.drawer) go.drawer();
    else if (byId("app").classList.contains("menu-open")) go.menu();
    else if (store.thread) go.closeThread();
  } else if (event.key === "/" && !typing) {
    event.preventDefault();
    channelView.composer.input.focus();
  }
}

function start() {
  applyTheme();
  const [, channel, thread] = /^#(C\w+)(?:\/([\d.]+))?$/.exec(location.hash) || [];
  Object.assign(store, { page: "channel", channel: channel || "", thread: thread || "", choices: [] });
  sidebarView.mount(byId("sidebar"), go);
  channelView = new ChannelView(byId("channel"), go);
  threadView = new ThreadView(byId("thread"), byId("splitter"), go);
  homeView = new HomeView(go);
  drawer = new Drawer(byId("drawer"), go);
  mountSplitter(byId("splitter"), byId("app"));
  const redraw = () => { channelView.redraw(); threadView.redraw(); };
  on("all", () => { sidebarView.redraw(); redraw(); homeView.redraw(); });
  on("messages", redraw);
  on("channel-only", () => { channelView.redraw(); sidebarView.redraw(); });
  on("sidebar", () => sidebarView.redraw());
  on("home", () => homeView.redraw());
  on("views", redrawViews);
  on("drawer", () => drawer.redraw());
  document.addEventListener("keydown", keys);
  document.addEventListener("click", (event) => { if (event.target === byId("app")) byId("app").classList.remove("menu-open"); });
  setInterval(() => changed("messages"), 30000); // "last … ago"
  setInterval(watchPresence, 4000);
  follow({ onEvent, onState });
}

start();
