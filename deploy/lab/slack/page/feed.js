// A scrolling list that follows its end, keeps still while one reads above, and says how much came below meanwhile.
import { el, icon, ICONS } from "./dom.js";

const NEAR = 48; // px from the end that still count as "at the end"
const MOST = 400; // rows kept in the page; older ones behind a button

export class Feed {
  /** `onRead(key)` is called with the last row's key whenever the end is in view. */
  constructor({ label, onRead }) {
    this.onRead = onRead;
    this.rows = new Map();
    this.following = true;
    this.most = MOST;
    this.belowSince = null;
    this.list = el("div.rows", { role: "feed", "aria-label": label });
    this.scroller = el("div.scroller", { tabindex: 0, "aria-label": label, onkeydown: (event) => this.step(event) }, this.list);
    this.jump = el("button.jump", { type: "button", hidden: true, "data-testid": "new-below", onclick: () => this.toEnd(true) });
    this.node = el("div.feed", {}, this.scroller, this.jump);
    this.scroller.addEventListener("scroll", () => this.scrolled(), { passive: true });
    // Pictures that load and cards that grow must not push the end out of view.
    const watch = new ResizeObserver(() => { if (this.following) this.pin(); });
    watch.observe(this.list);
    watch.observe(this.scroller);
    document.addEventListener("visibilitychange", () => this.read());
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    this.following = scrollHeight - scrollTop - clientHeight < NEAR;
    if (this.following) this.read();
  }

  /** Arrows go from message to message; Tab then reaches what is in it. */
  step(event) {
    const move = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!move || !event.target.matches(".scroller, article")) return;
    const all = [...this.list.querySelectorAll("article")];
    const at = all.indexOf(event.target);
    const next = at < 0 ? all.at(-1) : all[at + move];
    if (!next) return;
    event.preventDefault();
    next.focus({ preventScroll: true });
    next.scrollIntoView({ block: "nearest" });
  }

  pin() { this.scroller.scrollTop = this.scroller.scrollHeight; }

  toEnd(smooth) {
    this.following = true;
    this.scroller.scrollTo({ top: this.scroller.scrollHeight, behavior: smooth ? "smooth" : "auto" });
    this.read();
  }

  read() {
    if (!this.following || document.hidden) return;
    this.belowSince = null;
    this.jump.hidden = true;
    const last = [...this.rows.keys()].at(-1);
    if (last) this.onRead?.(last);
  }

  /** Forget everything, for another channel or thread. */
  reset() {
    this.rows.clear();
    this.list.replaceChildren();
    this.following = true;
    this.belowSince = null;
    this.jump.hidden = true;
    this.most = MOST;
  }

  /** rows: [{key, stamp: [any, …], own, build()}]; a row is built again only when its stamp differs. */
  update(all) {
    const rows = all.slice(-this.most);
    const wasEmpty = this.rows.size === 0;
    const focus = focusOf(this.list);
    const next = new Map();
    let fresh = 0;
    let own = false;
    for (const row of rows) {
      const before = this.rows.get(row.key);
      if (before && same(before.stamp, row.stamp)) next.set(row.key, before);
      else {
        next.set(row.key, { stamp: row.stamp, node: row.build(), counts: row.counts });
        if (!before && row.counts && !wasEmpty) {
          fresh += 1;
          own ||= row.own;
        }
      }
    }
    this.rows = next;
    this.place(all.length > rows.length);
    restoreFocus(this.list, focus);
    if (this.following || own) this.toEnd(false);
    else if (fresh) {
      this.belowSince = (this.belowSince || 0) + fresh;
      this.jump.replaceChildren(icon(ICONS.down, { size: 14 }), `${this.belowSince} new below`);
      this.jump.hidden = false;
    }
  }

  place(more) {
    const wanted = [...this.rows.values()].map((row) => row.node);
    if (more) wanted.unshift(this.earlier ||= el("button.earlier", { type: "button", onclick: () => { this.most += MOST; this.onMore?.(); } }, "Show earlier messages"));
    let at = this.list.firstChild;
    for (const node of wanted) {
      if (node === at) at = at.nextSibling;
      else this.list.insertBefore(node, at);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }

  show(key) {
    const row = this.rows.get(key);
    if (!row) return;
    row.node.scrollIntoView({ block: "center", behavior: "smooth" });
    row.node.classList.remove("flash");
    requestAnimationFrame(() => row.node.classList.add("flash"));
    row.node.querySelector?.("button.primary")?.focus({ preventScroll: true });
  }
}

const same = (a, b) => a.length === b.length && a.every((value, i) => value === b[i]);

function focusOf(list) {
  const at = document.activeElement;
  if (!list.contains(at)) return null;
  return { ts: at.closest("[data-ts]")?.dataset.ts, action: at.dataset.actionId, self: at.matches("[data-ts]") };
}

function restoreFocus(list, focus) {
  if (!focus?.ts || list.contains(document.activeElement)) return;
  const row = list.querySelector(`[data-ts="${CSS.escape(focus.ts)}"]`);
  const target = focus.action ? row?.querySelector(`[data-action-id="${CSS.escape(focus.action)}"]`) : null;
  (target && !target.disabled ? target : row)?.focus({ preventScroll: true });
}
