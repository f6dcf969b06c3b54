// The middle: a channel with its composer and the missions that are offered.
import { asWho, avatar } from "./avatar.js";
import { Composer } from "./composer.js";
import { el, icon, iconButton, ICONS, replace } from "./dom.js";
import { Feed } from "./feed.js";
import { rowsOf } from "./messages.js";
import { changed, channelMessages, channelOf, markRead, store } from "./store.js";
import { typingLine } from "./typing.js";

function welcome(channel) {
  const crew = store.bots.filter((b) => b.key !== "watchbill");
  return el("div.welcome", {},
    el("div.faces.big", {}, crew.map((b) => avatar(asWho(b), 44))),
    el("h2", {}, `#${channel?.name || ""} is quiet`),
    el("p", {}, "Write what you want built and mention @Architect. The crew works in the thread below your message; you approve what can hurt. "
      + "You can be anybody: ask as ana, approve as bo. "), el("p", {}, el("span.only-large", {}, "The people are at the left, or keys 1 to 4."), el("span.only-small", {}, "The people are behind the button at the top left.")),
    store.bots.some((b) => b.connections) || store.bots[0]?.connections === undefined ? null
      : el("p.offline", { role: "status" }, "No program is connected yet, so nobody will answer. The dots beside the apps turn green when it is."));
}

export class ChannelView {
  constructor(node, go) {
    Object.assign(this, { node, go, shown: "", newSince: null });
    this.feed = new Feed({ label: "Messages", onRead: (ts) => this.read(ts) });
    this.feed.onMore = () => this.redraw();
    this.composer = new Composer({ where: () => ({ channel: store.channel }), testid: "composer", id: "composer-input", onChange: () => this.offer() });
    this.offers = el("div.offers", { role: "group", "aria-label": "Missions to start with", hidden: true });
    this.typing = el("div.typing", { "aria-live": "off" });
    this.head = el("header.pane-head");
    node.append(this.head, this.feed.node, this.typing, this.offers, this.composer.node);
  }

  read(key) {
    if (store.page !== "channel") return;
    markRead(store.channel, "", key.replace(/^e/, ""));
    changed("sidebar");
  }

  redraw() {
    const channel = channelOf(store.channel);
    this.node.hidden = store.page !== "channel";
    if (this.node.hidden) return;
    if (this.shown !== store.channel) {
      this.composer.swap(this.shown, store.channel);
      this.feed.reset();
      this.shown = store.channel;
      this.newSince = store.read[store.channel] || null;
    }
    replace(this.head, iconButton("menu", "Channels and people", () => this.go.menu(), { class: "only-small", "data-testid": "menu" }),
      el("div.pane-title", {}, el("h1", {}, icon(ICONS.hash, { size: 16, width: 2.2 }), channel?.name || ""), el("span.topic", { title: channel?.topic || "" }, channel?.topic || "")));
    const list = channelMessages(store.channel);
    const how = { channel: store.channel, days: true, openThread: this.go.thread, edit: (m) => this.composer.edit(m) };
    const rows = rowsOf(list, how, this.newSince);
    if (!list.length && store.ready) rows.push({ key: "welcome", stamp: [store.bots, channel], build: () => welcome(channel) });
    this.feed.update(rows);
    this.composer.refresh();
    replace(this.typing, typingLine(store.channel, ""));
    this.offer();
  }

  /** Missions to start with: cards while the channel is quiet, one line of chips later, nothing while one types. */
  offer() {
    const list = store.suggestions || [];
    const show = list.length > 0 && (this.composer.empty || this.composer.input.value === this.prefilled) && !this.composer.editing;
    const quiet = channelMessages(store.channel).length < 3 && !store.thread;
    if (list.length && quiet && store.ready && !this.prefilled) {
      this.prefilled = list[0].text; // once: what a newcomer is invited to send
      if (this.composer.empty && !channelMessages(store.channel).length) {
        this.composer.set(this.prefilled, true);
        requestAnimationFrame(() => this.composer.grow()); // its height is known once it is drawn
      }
    }
    const stamp = `${show} ${quiet} ${JSON.stringify(list)}`;
    if (stamp === this.offered) return;
    this.offered = stamp;
    this.offers.hidden = !show;
    this.offers.classList.toggle("chips", !quiet);
    if (!show) return;
    replace(this.offers, el("span.offers-label", {}, "Try"), list.map((one, i) => el("button.offer", { type: "button", "data-testid": `suggestion-${i}`, title: one.text,
      onclick: () => this.composer.set(one.text, true) }, el("strong", {}, one.title), quiet ? el("span", {}, one.text) : null)));
  }
}
