// The list over a composer: people, apps and channels after @ or #, slash commands with their hints.
import { asWho, avatar } from "./avatar.js";
import { el } from "./dom.js";
import { bot, store } from "./store.js";

const WIDE = [["here", "everyone who is here now"], ["channel", "everyone in the channel"]];

function mentions(prefix) {
  const low = prefix.toLowerCase();
  const fits = (name) => name.toLowerCase().startsWith(low);
  const apps = store.bots.filter((b) => fits(b.name)).map((b) => ({ insert: `@${b.name} `, label: b.name, note: "App", who: asWho(b) }));
  const people = store.people.filter((p) => fits(p.name) && p.id !== store.me)
    .map((p) => ({ insert: `@${p.name} `, label: p.name, note: p.title, who: asWho(p) }));
  const wide = WIDE.filter(([name]) => low && fits(name)).map(([name, note]) => ({ insert: `@${name} `, label: `@${name}`, note }));
  return [...crewFirst(apps), ...people, ...wide];
}

/** Agents before Watchbill: they are whom one speaks to. */
const crewFirst = (apps) => [...apps].sort((a, b) => (a.who.key === "watchbill") - (b.who.key === "watchbill"));

const channels = (prefix) => store.channels.filter((c) => c.name?.startsWith(prefix))
  .map((c) => ({ insert: `#${c.name} `, label: `#${c.name}`, note: c.topic }));

const commands = (prefix) => store.commands.filter((c) => c.command.startsWith(prefix))
  .map((c) => ({ insert: `${c.command} `, label: c.command, hint: c.usage_hint, note: c.description }));

/** What completes at the caret: {start, items} or null. */
export function candidates(text, caret, { slash }) {
  const before = text.slice(0, caret);
  const command = slash && /^\/[\w-]*$/.exec(before);
  if (command) return { start: 0, items: commands(command[0]) };
  const word = /(?:^|[\s(])([@#])([\p{L}\p{N}_.-]*)$/u.exec(before);
  if (!word) return null;
  const items = word[1] === "@" ? mentions(word[2]) : channels(word[2]);
  return items.length ? { start: caret - word[2].length - 1, items: items.slice(0, 9) } : null;
}

export class Completion {
  constructor(input, { slash, onPick, id }) {
    Object.assign(this, { input, slash, onPick, id, at: 0, open: null });
    this.node = el("div.completion", { role: "listbox", id, hidden: true, "aria-label": "Suggestions" });
    input.setAttribute("aria-controls", id);
    input.setAttribute("aria-autocomplete", "list");
  }

  refresh() {
    const found = candidates(this.input.value, this.input.selectionStart, { slash: this.slash });
    this.open = found?.items.length ? found : null;
    this.at = 0;
    this.draw();
  }

  close() { this.open = null; this.draw(); }

  draw() {
    this.node.hidden = !this.open;
    this.input.setAttribute("aria-expanded", String(Boolean(this.open)));
    if (!this.open) {
      this.input.removeAttribute("aria-activedescendant");
      return;
    }
    this.node.replaceChildren(...this.open.items.map((item, i) => el("div.option", {
      role: "option", id: `${this.id}-${i}`, "aria-selected": String(i === this.at), "data-testid": "completion-option",
      onmousedown: (event) => { event.preventDefault(); this.pick(i); },
      onmousemove: () => { if (this.at !== i) { this.at = i; this.mark(); } },
    }, item.who ? avatar(item.who, 22) : null, el("span.option-label", {}, item.label),
    item.hint ? el("span.option-hint", {}, item.hint) : null, el("span.option-note", {}, item.note || ""))));
    this.mark();
  }

  mark() {
    [...this.node.children].forEach((option, i) => option.setAttribute("aria-selected", String(i === this.at)));
    this.node.children[this.at]?.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", `${this.id}-${this.at}`);
  }

  pick(i) {
    const { start, items } = this.open;
    const caret = this.input.selectionStart;
    const { value } = this.input;
    const rest = value.slice(caret).replace(/^ /, "");
    this.input.value = value.slice(0, start) + items[i].insert + rest;
    const end = start + items[i].insert.length;
    this.input.setSelectionRange(end, end);
    this.close();
    this.onPick();
  }

  /** True when the key was for the list. */
  key(event) {
    if (!this.open) return false;
    const { length } = this.open.items;
    if (event.key === "ArrowDown") this.at = (this.at + 1) % length;
    else if (event.key === "ArrowUp") this.at = (this.at + length - 1) % length;
    else if (event.key === "Tab" || event.key === "Enter") {
      // What is typed in full is sent, not completed once more.
      const word = this.input.value.slice(this.open.start, this.input.selectionStart);
      if (event.key === "Enter" && this.open.items[this.at].insert.trim().toLowerCase() === word.toLowerCase()) { this.close(); return false; }
      this.pick(this.at);
      return true;
    } else if (event.key === "Escape") { this.close(); return true; } else return false;
    this.mark();
    return true;
  }
}

/** A stored text as its author would type it again. */
export function typed(text) {
  return text.replace(/<@([UW]\w+)(?:\|[^>]*)?>/g, (_, id) => `@${(store.people.find((p) => p.id === id) || bot(id))?.name || id}`)
    .replace(/<#(C\w+)(?:\|([^>]*))?>/g, (_, id, label) => `#${store.channels.find((c) => c.id === id)?.name || label || id}`)
    .replace(/<!(here|channel|everyone)>/g, "@$1").replace(/<(https?:[^|>]+)(?:\|[^>]*)?>/g, "$1")
    .replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
}
