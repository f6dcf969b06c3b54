// The lab drawer: what the lab counts about the program, and faults to play with.
import { api } from "./api.js";
import { el, iconButton, replace, toast } from "./dom.js";
import { store } from "./store.js";

const COUNTERS = [
  ["thoughts_posted", "thoughts posted", true], ["secrets_seen", "secrets seen", true], ["overlapping_turns", "turns overlapping", true],
  ["duplicates", "duplicate posts", true], ["invalid_blocks", "invalid blocks", true], ["posts", "posts"], ["updates", "updates"], ["rate_limited", "rate limited"],
];
const FAULTS = [
  ["Drop the socket", "Cuts Watchbill's connection now; it must come back and lose nothing.", { kind: "drop_socket", app: "watchbill" }],
  ["Drop all sockets", "Cuts all five at once.", { kind: "drop_socket", app: null }],
  ["Ask to reconnect", "Slack's polite way: a disconnect with refresh_requested.", { kind: "disconnect", reason: "refresh_requested" }],
  ["Deliver 5 twice", "The next five events arrive two times; nothing may run twice.", { kind: "duplicate", count: 5 }],
  ["Delay 5 by 2 s", "The next five events come late.", { kind: "delay", ms: 2000, count: 5 }],
  ["Rate limit 3 posts", "chat.postMessage answers 429, retry after 2 s.", { kind: "fail", method: "chat.postMessage", error: "ratelimited", count: 3, retry_after: 2 }],
  ["Fail 2 posts", "chat.postMessage answers HTTP 500.", { kind: "fail", method: "chat.postMessage", error: "http_500", count: 2 }],
];

export class Drawer {
  constructor(node, go) {
    Object.assign(this, { node, go, timer: null });
    this.counts = el("div.counters", { "data-testid": "counters", role: "group", "aria-label": "What the lab counted" });
    const faults = FAULTS.map(([name, says, fault]) => el("button.fault", { type: "button", "data-fault": fault.kind, onclick: () => this.plant(name, fault) },
      el("strong", {}, name), el("span", {}, says)));
    node.append(
      el("header.pane-head", {}, el("div.pane-title", {}, el("h1", {}, "Lab")), iconButton("close", "Close", () => go.drawer())),
      el("div.drawer-scroll", {},
        el("h2", {}, "Counted by the lab"), el("p.note", {}, "From what it received over the wire, not from what the program says about itself. The first five should stay 0."), this.counts,
        el("h2", {}, "Faults"), el("p.note", {}, "Press one while the crew works and watch it recover."), el("div.faults", {}, faults),
        el("p.note", {}, "Everything received, in order: ", el("a", { href: "/lab/record", target: "_blank" }, "/lab/record"))));
  }

  redraw() {
    this.node.hidden = !store.drawer;
    document.getElementById("app").classList.toggle("with-drawer", Boolean(store.drawer));
    clearInterval(this.timer);
    if (this.node.hidden) return;
    this.count();
    this.timer = setInterval(() => { if (!document.hidden) this.count(); }, 2500);
  }

  async count() {
    const report = await api.report();
    if (report.ok === false) {
      replace(this.counts, el("p.note", {}, "The counters do not answer."));
      return;
    }
    replace(this.counts, COUNTERS.map(([key, label, zero]) => {
      const value = report[key];
      const known = value !== null && value !== undefined;
      return el("div.counter", { class: zero && known ? (value ? "bad" : "ok") : "", "data-counter": key }, el("b", {}, known ? value : "–"), el("span", {}, label));
    }));
  }

  async plant(name, fault) {
    const answer = await api.fault(fault);
    toast(answer.ok === false ? `${name}: ${answer.error}` : `${name}: done`, { kind: answer.ok === false ? "error" : "info", ms: 3000 });
  }
}
