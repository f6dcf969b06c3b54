// One message as a row: avatar, name, text or blocks, files, reactions, thread summary, what can be done with it.
import { avatar, colourOf } from "./avatar.js";
import { asksForDecision, blocks, isCard } from "./blocks.js";
import { openDialog } from "./dialog.js";
import { el, icon, iconButton, ICONS } from "./dom.js";
import { emoji } from "./emoji.js";
import { files } from "./files.js";
import { mrkdwn } from "./mrkdwn.js";
import { author, store, summary } from "./store.js";
import { ago, clock, dayKey, dayName, full } from "./time.js";

const GROUP_SECONDS = 300;

function card(list, ctx, className) {
  const node = el("div.card", { class: className }, blocks(list, ctx));
  if (asksForDecision(list)) node.classList.add("decision");
  return node;
}

function attachment(item, ctx) {
  const node = el("div.card.attached", {}, item.pretext ? el("div.prose", {}, mrkdwn(item.pretext)) : null,
    item.blocks ? blocks(item.blocks, ctx)
      : [item.title ? el("strong", {}, item.title) : null, el("div.prose", {}, mrkdwn(item.text || item.fallback || ""))]);
  const colour = { good: "var(--ok)", warning: "var(--warn)", danger: "var(--bad)" }[item.color] || (/^#?[0-9a-f]{6}$/i.test(item.color || "") ? `#${item.color.replace("#", "")}` : "");
  if (colour) node.style.setProperty("--edge", colour);
  if (asksForDecision(item.blocks)) node.classList.add("decision");
  return node;
}

function content(message, ctx) {
  const attached = (message.attachments || []).map((item) => attachment(item, ctx));
  const list = message.blocks;
  // People's own messages carry rich_text beside the text; the text says the same and needs one parser less.
  if (!list?.length || (!message.bot_id && list.every((item) => item.type === "rich_text"))) {
    return [message.text ? el("div.prose.text", {}, mrkdwn(message.text), edited(message)) : null, attached];
  }
  return [isCard(list) ? card(list, ctx) : el("div.plain-blocks", {}, blocks(list, ctx)), edited(message), attached];
}

const edited = (message) => (message.edited && !message.bot_id ? el("span.edited", { title: full(message.edited.ts) }, " (edited)") : null);

function reactions(list) {
  if (!list?.length) return null;
  return el("div.reactions", {}, list.map((r) => el("span.reaction", { title: `:${r.name}:` }, emoji(r.name) || `:${r.name}:`, ` ${r.count ?? r.users?.length ?? 1}`)));
}

function threadLine(message, sum, openThread) {
  return el("button.thread-line", { type: "button", "data-testid": "open-thread", onclick: () => openThread(message.ts) },
    el("span.faces", {}, sum.users.map((m) => avatar(author(m), 20))),
    el("span.replies", {}, `${sum.count} ${sum.count === 1 ? "reply" : "replies"}`),
    sum.unread && store.thread !== message.ts ? el("span.badge", {}, `${sum.unread} new`) : null,
    el("span.last", {}, `last reply ${ago(sum.latest)}`));
}

function showJson(message) {
  openDialog({ title: "This message as data", wide: true, body: el("pre", { tabindex: 0 }, JSON.stringify(message, null, 2)) });
}

function tools(message, how) {
  const own = message.user === store.me && !message.bot_id && !message.ephemeral_for;
  return el("div.tools", { role: "toolbar", "aria-label": "Message" },
    how.openThread && !message.ephemeral_for ? iconButton("reply", "Reply in the thread", () => how.openThread(message.ts, true)) : null,
    own ? iconButton("edit", "Edit", () => how.edit(message)) : null,
    iconButton("braces", "Show as data", () => showJson(message)));
}

function ephemeralNote(message) {
  if (!message.ephemeral_for) return null;
  return el("div.ephemeral-note", {}, icon(ICONS.eye, { size: 13 }), "Only visible to you",
    el("button.link", { type: "button", onclick: () => message.dismiss?.() }, "Dismiss"));
}

/** how: {channel, openThread?, edit, compact, inThread} */
export function messageRow(message, how) {
  const who = author(message);
  const ctx = { channel: how.channel, ts: message.ts, ephemeral: Boolean(message.ephemeral_for), mode: "message" };
  const error = store.errors.get(`${how.channel}:${message.ts}`);
  const sum = how.openThread && !message.ephemeral_for ? summary(how.channel, message) : null;
  const node = el("article.message", { "data-ts": message.ts, "data-user": who.id, "data-name": who.name, tabindex: -1, class: how.compact ? "compact" : "",
    "aria-label": `${who.name} at ${clock(message.ts)}` });
  node.style.setProperty("--name", colourOf(who));
  if (message.ephemeral_for) {
    node.classList.add("ephemeral");
    node.dataset.ephemeral = "true";
  }
  const time = el("time.time", { datetime: new Date(Number(message.ts) * 1000).toISOString(), title: full(message.ts) }, clock(message.ts));
  node.append(
    el("div.gutter", {}, how.compact ? time : avatar(who)),
    el("div.body", {}, ephemeralNote(message),
      how.compact ? null : el("div.byline", {}, el("span.name", {}, who.name), who.kind === "app" ? el("span.tag", {}, "APP") : null, time),
      content(message, ctx), files(message.files), reactions(message.reactions),
      error ? el("div.click-error", { role: "alert", "data-testid": "click-error" }, error) : null,
      sum ? threadLine(message, sum, how.openThread) : null),
    tools(message, how));
  return node;
}

/** Feed rows: day dividers, the "New" line before the first unread, and messages grouped by author. */
export function rowsOf(messages, how, newSince) {
  const rows = [];
  let before = null;
  let marked = false;
  for (const message of messages) {
    if (how.days && (!before || dayKey(before.ts) !== dayKey(message.ts))) rows.push(divider(`day-${dayKey(message.ts)}`, "day", dayName(message.ts)));
    const isNew = !marked && newSince && Number(message.ts) > Number(newSince) && message.user !== store.me && before;
    if (isNew) {
      marked = true;
      rows.push(divider("new", "new", "New"));
    }
    const compact = Boolean(before && !isNew && before.user === message.user && author(before).name === author(message).name
      && !before.ephemeral_for && !message.ephemeral_for && dayKey(before.ts) === dayKey(message.ts)
      && Number(message.ts) - Number(before.ts) < GROUP_SECONDS && !(how.openThread && summary(how.channel, before)));
    const sum = how.openThread ? summary(how.channel, message) : null;
    const click = `${how.channel}:${message.ts}`;
    rows.push({
      key: message.ephemeral_for ? `e${message.ts}` : message.ts, counts: true, own: message.user === store.me && !message.bot_id,
      stamp: [message, compact, store.me, store.people, store.busy.get(click), store.errors.get(click),
        sum ? `${sum.count} ${sum.latest} ${sum.unread} ${store.thread === message.ts} ${ago(sum.latest)}` : ""],
      build: () => messageRow(message, { ...how, compact }),
    });
    before = message;
  }
  return rows;
}

export function divider(key, kind, text) {
  return { key, stamp: [text], build: () => el(`div.divider.${kind}`, { role: "separator" }, el("span", {}, text)) };
}

