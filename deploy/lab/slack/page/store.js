// What this tab knows: people, apps, messages, who one is, what one has read.

const listeners = new Map();
export function on(name, run) {
  if (!listeners.has(name)) listeners.set(name, new Set());
  listeners.get(name).add(run);
}
const pending = new Set();
/** Listeners run once per frame per name, however many events arrive. */
export function changed(...names) {
  for (const name of names) {
    if (pending.has(name)) continue;
    pending.add(name);
    setTimeout(() => { pending.delete(name); for (const run of listeners.get(name) || []) run(); }, 12);
  }
}

export const store = {
  team: { name: "Lab" }, people: [], bots: [], channels: [], commands: [], suggestions: [],
  me: sessionStorage.getItem("me") || "", channel: "", thread: "", ready: false,
  messages: new Map(), // channel → Map(ts → message)
  views: [], home: new Map(), // app or "" → view
  typing: new Map(), // `${channel}:${thread}` → [{user, status, until}]
  busy: new Map(), errors: new Map(), // `${channel}:${ts}` → …
  read: JSON.parse(sessionStorage.getItem("read") || "{}"),
};

export const person = (id) => store.people.find((p) => p.id === id);
export const bot = (id) => store.bots.find((b) => b.user_id === id || b.bot_id === id || b.app_id === id);
export const channelOf = (id) => store.channels.find((c) => c.id === id);
export const keyOf = (p) => (p.key || p.handle || p.name || "").toLowerCase().split(/\s/)[0];

/** Who a message shows: {id, name, kind, color, key, title}. A bot's `username` wins over its app's name, as in Slack. */
export function author(message) {
  const app = (message.bot_id && bot(message.bot_id)) || bot(message.user);
  if (app || message.bot_id) {
    const name = message.username || app?.name || "App";
    return { id: app?.user_id || message.bot_id, name, kind: "app", key: name.toLowerCase() };
  }
  const who = person(message.user);
  return { id: message.user, name: who?.name || message.user || "Unknown", kind: "person", color: who?.color, title: who?.title };
}

export const nameOf = (id) => person(id)?.name || bot(id)?.name || id;

function messagesOf(channel) {
  if (!store.messages.has(channel)) store.messages.set(channel, new Map());
  return store.messages.get(channel);
}

/** Returns true when the message is new here. */
export function put(channel, message) {
  const all = messagesOf(channel);
  const key = message.ephemeral_for ? `e${message.ts}` : message.ts;
  const known = all.get(key);
  const next = { ...message, channel };
  // The same again keeps its object, so that its row is not drawn again under the reader's eyes.
  if (known && JSON.stringify(known) === JSON.stringify(next)) return false;
  all.set(key, next);
  clearClick(channel, message.ts);
  return !known;
}

export function remove(channel, ts) {
  messagesOf(channel).delete(ts);
  messagesOf(channel).delete(`e${ts}`);
}

/** After a full reading: whatever is no longer on the server goes, notes to single people stay. */
export function keepOnly(channel, stamps) {
  const all = messagesOf(channel);
  const oldest = Math.min(...stamps.map(Number));
  const kept = new Set(stamps);
  for (const [key, message] of all) {
    if (!message.ephemeral_for && !kept.has(message.ts) && (!stamps.length || Number(message.ts) >= oldest)) all.delete(key);
  }
}
export const find = (channel, ts) => messagesOf(channel).get(ts);

const isReply = (m) => m.thread_ts && m.thread_ts !== m.ts;
const visible = (m) => !m.deleted && (!m.ephemeral_for || m.ephemeral_for === store.me);
const byTime = (a, b) => Number(a.ts) - Number(b.ts);

export function channelMessages(channel) {
  return [...messagesOf(channel).values()]
    .filter((m) => visible(m) && (!isReply(m) || m.subtype === "thread_broadcast")).sort(byTime);
}

export function threadMessages(channel, root) {
  const all = [...messagesOf(channel).values()].filter((m) => visible(m) && m.thread_ts === root && m.ts !== root);
  const first = find(channel, root);
  return { root: first, replies: all.sort(byTime) };
}

/** {count, latest, users, unread} or null; counts what is known here against what the server says. */
export function summary(channel, message) {
  const replies = threadMessages(channel, message.ts).replies.filter((m) => !m.ephemeral_for);
  const count = Math.max(replies.length, message.reply_count || 0);
  if (!count) return null;
  const latest = replies.at(-1)?.ts || message.latest_reply || message.ts;
  const seen = Number(store.read[`${channel}:${message.ts}`] || 0);
  const unread = replies.filter((m) => Number(m.ts) > seen && m.user !== store.me).length;
  const users = [...new Map(replies.map((m) => [author(m).name, m])).values()].slice(0, 5);
  return { count, latest, users, unread };
}

export function markRead(channel, root, ts) {
  const key = root ? `${channel}:${root}` : channel;
  if (Number(store.read[key] || 0) >= Number(ts)) return;
  store.read[key] = ts;
  sessionStorage.setItem("read", JSON.stringify(store.read));
}

export function unreadIn(channel) {
  const seen = Number(store.read[channel] || 0);
  return channelMessages(channel).filter((m) => Number(m.ts) > seen && m.user !== store.me && !m.ephemeral_for).length;
}

export function lastOwn(channel, root) {
  const list = root ? threadMessages(channel, root).replies : channelMessages(channel);
  return list.filter((m) => m.user === store.me && !m.bot_id && !m.ephemeral_for).at(-1);
}

export function setBusy(channel, ts, element) {
  store.busy.set(`${channel}:${ts}`, element);
  store.errors.delete(`${channel}:${ts}`);
}
export function clearClick(channel, ts) {
  store.busy.delete(`${channel}:${ts}`);
  store.errors.delete(`${channel}:${ts}`);
}
export function failClick(channel, ts, text) {
  store.busy.delete(`${channel}:${ts}`);
  store.errors.set(`${channel}:${ts}`, text);
}

/** Ephemeral posts of an API answer or an event may come bare; this makes them one shape. */
export function asEphemeral(message, user) {
  return { ...message, ephemeral_for: message.ephemeral_for || user, ts: message.ts || message.message_ts };
}
