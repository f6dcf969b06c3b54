// The pane at the right: one thread, followed live.
import { asksForDecision, titleOf } from "./blocks.js";
import { Composer } from "./composer.js";
import { el, icon, iconButton, ICONS, replace } from "./dom.js";
import { Feed } from "./feed.js";
import { divider, rowsOf } from "./messages.js";
import { channelOf, markRead, store, threadMessages, changed } from "./store.js";
import { typingLine } from "./typing.js";

export class ThreadView {
  constructor(node, splitter, go) {
    Object.assign(this, { node, splitter, go, shown: "", newSince: null });
    this.feed = new Feed({ label: "Thread", onRead: (key) => this.read(key) });
    this.feed.onMore = () => this.redraw();
    this.composer = new Composer({ where: () => ({ channel: store.channel, thread_ts: store.thread }), testid: "thread-composer", id: "thread-input", inThread: true });
    this.head = el("header.pane-head");
    this.typing = el("div.typing");
    this.waiting = el("button.waiting", { type: "button", hidden: true, "data-testid": "waiting", onclick: () => this.feed.show(this.open) });
    node.append(this.head, this.feed.node, this.typing, this.waiting, this.composer.node);
    this.watch = new IntersectionObserver((entries) => { this.waiting.hidden = !this.open || entries.at(-1).isIntersecting; }, { root: this.feed.scroller, threshold: 0.4 });
  }

  read(key) {
    if (!store.thread || key === "count" || !this.shown) return;
    markRead(store.channel, store.thread, key.replace(/^e/, ""));
    changed("channel-only");
  }

  redraw() {
    const show = Boolean(store.thread) && store.page === "channel";
    this.node.hidden = !show;
    this.splitter.hidden = !show;
    document.getElementById("app").classList.toggle("with-thread", show);
    if (!show) {
      if (!store.thread) this.shown = "";
      return;
    }
    const key = `${store.channel}:${store.thread}`;
    if (this.shown !== key) {
      this.composer.swap(this.shown, key);
      this.feed.reset();
      this.shown = key;
      this.newSince = store.read[key] || null;
    }
    const { root, replies } = threadMessages(store.channel, store.thread);
    replace(this.head, iconButton("back", "Back to the channel", () => this.go.closeThread(), { class: "only-small" }),
      el("div.pane-title", {}, el("h1", {}, "Thread"), el("span.topic", {}, `#${channelOf(store.channel)?.name || ""}`)),
      iconButton("close", "Close the thread (Esc)", () => this.go.closeThread(), { class: "only-large", "data-testid": "thread-close" }));
    const how = { channel: store.channel, edit: (m) => this.composer.edit(m), inThread: true };
    const rows = root ? rowsOf([root], how) : [];
    const count = replies.filter((m) => !m.ephemeral_for).length;
    if (count) rows.push({ ...divider("count", "count", `${count} ${count === 1 ? "reply" : "replies"}`) });
    this.feed.update([...rows, ...rowsOf(replies, how, this.newSince)]);
    this.composer.refresh();
    replace(this.typing, typingLine(store.channel, store.thread));
    this.point(replies);
  }

  /** A card that waits for a decision must not get lost above the fold. */
  point(replies) {
    const message = replies.filter((m) => asksForDecision(m.blocks) || (m.attachments || []).some((a) => asksForDecision(a.blocks))).at(-1);
    this.open = message ? (message.ephemeral_for ? `e${message.ts}` : message.ts) : null;
    this.watch.disconnect();
    if (!message) {
      this.waiting.hidden = true;
      return;
    }
    replace(this.waiting, icon(ICONS.down, { size: 14, className: "icon up" }), el("span", {}, "Waits for an answer: ", el("strong", {}, titleOf(message.blocks || message.attachments?.[0]?.blocks))));
    const row = this.feed.rows.get(this.open);
    if (row) this.watch.observe(row.node.querySelector(".card.decision .actions") || row.node);
  }
}

/** The splitter: drag it, or move it with the arrow keys; the width is remembered. */
export function mountSplitter(splitter, app) {
  const set = (px) => {
    const width = Math.round(Math.max(360, Math.min(px, window.innerWidth - 560)));
    app.style.setProperty("--thread-width", `${width}px`);
    splitter.setAttribute("aria-valuenow", String(width));
    localStorage.setItem("thread-width", String(width));
  };
  const right = () => document.getElementById("thread").getBoundingClientRect();
  const saved = Number(localStorage.getItem("thread-width"));
  if (saved) set(saved);
  splitter.addEventListener("pointerdown", (event) => {
    splitter.setPointerCapture(event.pointerId);
    splitter.onpointermove = (move) => set(right().right - move.clientX);
  });
  splitter.addEventListener("pointerup", () => { splitter.onpointermove = null; });
  splitter.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: 24, ArrowRight: -24 }[event.key];
    if (step) { event.preventDefault(); set(right().width + step); }
  });
}
