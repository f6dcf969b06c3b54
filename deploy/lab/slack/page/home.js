// An app's Home tab, as it last published it for the person one is.
import { api } from "./api.js";
import { asWho, avatar } from "./avatar.js";
import { blocks } from "./blocks.js";
import { el, iconButton, replace } from "./dom.js";
import { bot, changed, store } from "./store.js";

const keyFor = (app, user) => `${app}:${user}`;

export function homeEvent(event) {
  const app = event.view?.app_id || event.app || event.app_id || "";
  store.home.set(keyFor(app, event.user || store.me), event.view);
  changed("home");
}

export async function openHome(app) {
  const answer = await api.homeOpened({ as: store.me, app: bot(app)?.key, app_id: app });
  if (answer.view) homeEvent({ view: answer.view, user: store.me, app });
}

export class HomeView {
  constructor(go) {
    this.go = go;
    this.node = el("main.pane.home", { id: "home", "aria-label": "App home", hidden: true, "data-testid": "home" });
    document.getElementById("channel").after(this.node);
  }

  redraw() {
    this.node.hidden = store.page !== "home";
    if (this.node.hidden) return;
    const app = bot(store.homeApp);
    const view = store.home.get(keyFor(store.homeApp, store.me)) || store.home.get(keyFor("", store.me));
    const ctx = { view, mode: "home" };
    replace(this.node,
      el("header.pane-head", {}, iconButton("menu", "Channels and people", () => this.go.menu(), { class: "only-small" }),
        app ? avatar(asWho(app), 26) : null, el("div.pane-title", {}, el("h1", {}, app?.name || "App"), el("span.topic", {}, "Home"))),
      el("div.home-scroll", {}, view && (view.blocks || []).length
        ? el("div.home-body", {}, blocks(view.blocks, ctx))
        : el("div.welcome", {}, app ? avatar(asWho(app), 56) : null, el("h2", {}, app?.name || ""),
          el("p", {}, app?.key === "watchbill" ? "Nothing is published here yet. It appears when the program is running." : `Mention @${app?.name} in a channel to speak to it. It has no home page of its own.`))));
  }
}
