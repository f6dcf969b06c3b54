// Where one writes: grows with the text, completes, sends, edits the last own message.
import { api } from "./api.js";
import { asWho, avatar } from "./avatar.js";
import { Completion, typed } from "./completion.js";
import { el, icon, iconButton, ICONS } from "./dom.js";
import { channelOf, lastOwn, person, store } from "./store.js";

const SAY = {
  operation_timeout: "Nobody acknowledged this command within 3 s. Is the program running?",
  dispatch_failed: "No program is connected for this command.",
};
const THREAD_COMMAND = "Slash commands do not work in threads, as in Slack. Use the channel, or mention @Watchbill with the same words.";

export class Composer {
  /** where: () → {channel, thread_ts?}; testid names the input, the button is `${testid}-send`. */
  constructor({ where, testid, id, inThread = false, onChange }) {
    Object.assign(this, { where, inThread, onChange, editing: null, sending: false, drafts: new Map() });
    this.input = el("textarea", { id, rows: 1, "data-testid": testid, spellcheck: "true", enterkeyhint: "send", role: "combobox",
      oninput: () => this.changed(), onkeydown: (event) => this.key(event), onclick: () => this.completion.refresh(),
      onblur: () => this.completion.close() });
    this.completion = new Completion(this.input, { slash: !inThread, id: `${id}-list`, onPick: () => this.changed() });
    this.send = el("button.send", { type: "button", "data-testid": `${testid}-send`, "aria-label": "Send", title: "Send (Enter)", onclick: () => this.submit() },
      icon(ICONS.send, { size: 17 }));
    this.mode = el("div.composer-mode", { hidden: true });
    this.problem = el("div.composer-problem", { role: "alert", hidden: true, "data-testid": `${testid}-problem` });
    this.me = el("span.composer-me");
    this.node = el("div.composer", {}, this.completion.node, this.mode,
      el("div.composer-box", {}, this.me, this.input, this.send), this.problem,
      el("div.composer-foot", {}, el("span", {}, "Enter sends, Shift+Enter breaks the line"), inThread ? null : el("span", {}, "@ people and agents   / commands")));
  }

  refresh() {
    const place = this.where();
    const me = person(store.me);
    const name = channelOf(place.channel)?.name || "";
    this.input.placeholder = this.inThread ? "Reply…" : `Message #${name}`;
    this.input.setAttribute("aria-label", this.inThread ? "Reply in the thread" : `Message #${name}`);
    if (me && this.me.dataset.me !== me.id) {
      this.me.dataset.me = me.id;
      this.me.replaceChildren(avatar(asWho(me), 24));
      this.me.title = `You write as ${me.name}`;
    }
    this.button();
  }

  get empty() { return !this.input.value.trim(); }

  /** Keep what is typed while another channel or thread is shown. */
  swap(from, to) {
    if (this.editing) this.stopEditing();
    if (from) this.drafts.set(from, this.input.value);
    this.set(this.drafts.get(to) || "");
    this.fail("");
  }

  set(text, focus = false) {
    this.input.value = text;
    this.grow();
    this.button();
    if (focus) {
      this.input.focus();
      this.input.setSelectionRange(text.length, text.length);
    }
    this.onChange?.();
  }

  changed() {
    this.grow();
    this.button();
    this.completion.refresh();
    this.fail("");
    this.onChange?.();
  }

  grow() {
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight, 220)}px`;
  }

  button() { this.send.disabled = this.empty || this.sending; }

  fail(text) {
    this.problem.textContent = text;
    this.problem.hidden = !text;
  }

  key(event) {
    if (event.isComposing) return;
    if (this.completion.key(event)) {
      event.preventDefault();
      event.stopPropagation();
    } else if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      this.submit();
    } else if (event.key === "ArrowUp" && !this.input.value && !this.editing) {
      const last = lastOwn(this.where().channel, this.where().thread_ts);
      if (last) {
        event.preventDefault();
        this.edit(last);
      }
    } else if (event.key === "Escape" && this.editing) {
      event.stopPropagation();
      this.stopEditing();
      this.set("");
    }
  }

  edit(message) {
    this.editing = message;
    this.mode.hidden = false;
    this.mode.replaceChildren(icon(ICONS.edit, { size: 13 }), "Editing your message. Enter saves, Esc leaves it as it was.",
      iconButton("close", "Stop editing", () => { this.stopEditing(); this.set(""); }));
    this.set(typed(message.text || ""), true);
  }

  stopEditing() {
    this.editing = null;
    this.mode.hidden = true;
  }

  async submit() {
    const text = this.input.value.replace(/\s+$/, "");
    if (!text.trim() || this.sending) return;
    if (/^\/[a-z]/.test(text) && !this.editing) {
      await this.command(text);
      return;
    }
    const message = { as: store.me, text, ...this.where() };
    if (this.editing) Object.assign(message, { subtype: "edit", ts: this.editing.ts });
    await this.deliver(text, () => api.post(message));
  }

  async command(text) {
    const [, command, rest] = /^(\/\S+)\s*([\s\S]*)$/.exec(text);
    if (this.inThread) this.fail(THREAD_COMMAND);
    else if (!store.commands.some((c) => c.command === command)) this.fail(`${command} is not a command here. Type / to see them. A leading space sends it as text.`);
    else await this.deliver(text, () => api.command({ as: store.me, channel: this.where().channel, command, text: rest }));
  }

  /** What was typed comes back if it did not arrive. */
  async deliver(text, run) {
    const editing = this.editing;
    this.sending = true;
    this.stopEditing();
    this.set("");
    const answer = await run();
    this.sending = false;
    if (!answer.ok) {
      if (this.empty) {
        this.editing = editing;
        this.mode.hidden = !editing;
        this.set(text);
      }
      this.fail(SAY[answer.error] || `Not sent: ${answer.error || "the lab refused it"}`);
    } else this.onSent?.(answer);
    this.button();
  }
}
