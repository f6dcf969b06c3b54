// The inline half of mrkdwn and Markdown: text → nodes. Entities are decoded last, into text nodes only.
import { el, safeHref } from "./dom.js";
import { emoji } from "./emoji.js";
import { bot, channelOf, person, store } from "./store.js";
import { format, full } from "./time.js";

export const decode = (text) => text.replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");

export function mention(id, label) {
  const who = bot(id) || person(id);
  return el("span.mention", { class: `${id === store.me ? "mine" : ""} ${bot(id) ? "app" : ""}`, "data-user": id }, `@${who?.name || label || id}`);
}

export function link(url, label) {
  const href = safeHref(url);
  const text = label?.length ? label : [url];
  if (!href) return el("span.dead-link", { title: "This address is not opened from here" }, text);
  return el("a", { href, target: "_blank", rel: "noopener noreferrer" }, text);
}

/** `<…>` of Slack: mention, channel, special, date or link. Returns null where it is none, so that the text stays visible. */
function angle(body, { style }) {
  const cut = body.indexOf("|");
  const head = cut < 0 ? body : body.slice(0, cut);
  const label = cut < 0 ? "" : decode(body.slice(cut + 1));
  if (/^@[UWB]\w+$/.test(head)) return mention(head.slice(1), label);
  if (/^#C\w+$/.test(head)) return el("span.mention.channel-ref", {}, `#${channelOf(head.slice(1))?.name || label || head.slice(1)}`);
  if (/^!(here|channel|everyone)$/.test(head)) return el("span.mention.wide", {}, `@${head.slice(1)}`);
  if (head.startsWith("!subteam^")) return el("span.mention", {}, label || `@${head.slice(9)}`);
  const when = /^!date\^(\d+)\^([^^]*)(?:\^(.*))?$/.exec(head);
  if (when) {
    const text = format(when[1], decode(when[2]));
    return when[3] ? link(decode(when[3]), [text]) : el("time", { title: full(when[1]), datetime: new Date(when[1] * 1000).toISOString() }, text);
  }
  if (head.startsWith("!")) return document.createTextNode(label || `<${head}>`);
  if (/^[a-z][a-z0-9+.-]*:/i.test(head)) return link(decode(head), label ? style(label) : [decode(head).replace(/^mailto:/, "")]);
  return null;
}

const SLACK = [["*", "strong", "*"], ["_", "em", "_"], ["~", "s", "~"]];
const MARKDOWN = [["**", "strong", "**"], ["__", "strong", "__"], ["~~", "s", "~~"], ["*", "em", "*"], ["_", "em", "_"]];
const FAR = 2000; // characters that a span may be long; keeps hostile input from costing time
const WORD = /[\p{L}\p{N}]/u;

/** Where a span that opens at `start` with `mark` closes, or -1. Marks bind to words: `2*3*4` and `snake_case_name` stay as typed. */
function closing(text, start, mark) {
  const before = text[start - 1];
  const first = text[start + mark.length];
  if ((before && WORD.test(before)) || !first || /\s/.test(first) || first === mark[0]) return -1;
  const end = Math.min(text.length, start + FAR);
  for (let at = start + mark.length; at < end; at += 1) {
    if (text[at] === "\n") return -1;
    if (text[at] === "`") {
      const shut = text.indexOf("`", at + 1);
      if (shut > 0) at = shut;
    } else if (text.startsWith(mark, at) && !/\s/.test(text[at - 1])) {
      const next = text[at + mark.length];
      if (!next || !(WORD.test(next) || next === mark[0])) return at;
    }
  }
  return -1;
}

function special(text, at, options) {
  const rest = text.slice(at);
  if (rest[0] === "`") {
    const end = text.indexOf("`", at + 1);
    if (end > at + 1 && !text.slice(at, end).includes("\n")) return [el("code", {}, decode(text.slice(at + 1, end))), end + 1];
  }
  if (rest[0] === "<") {
    const end = text.indexOf(">", at);
    const node = end > 0 && angle(text.slice(at + 1, end), options);
    if (node) return [node, end + 1];
  }
  if (options.marks === MARKDOWN && rest[0] === "[") {
    const hit = /^\[([^\]\n]+)\]\(([^)\s]+)\)/.exec(rest);
    if (hit) return [link(decode(hit[2]), spans(hit[1], options)), at + hit[0].length];
  }
  if (rest[0] === ":") {
    const hit = /^:([a-z0-9_+-]+):/.exec(rest);
    const node = hit && emoji(hit[1]);
    if (node) return [node, at + hit[0].length];
  }
  const url = /^https?:\/\/[^\s<>"'`|]*[^\s<>"'`|.,;:!?)*_~]/.exec(rest);
  if (url && !WORD.test(text[at - 1] || " ")) return [link(decode(url[0]), [decode(url[0])]), at + url[0].length];
  for (const [open, tag, close] of options.marks) {
    if (!rest.startsWith(open)) continue;
    const end = closing(text, at, close);
    if (end > 0) return [el(tag, {}, spans(text.slice(at + open.length, end), options)), end + close.length];
  }
  return null;
}

function spans(text, options) {
  const nodes = [];
  let plain = "";
  for (let at = 0; at < text.length;) {
    const hit = "`<[:h*_~".includes(text[at]) ? special(text, at, options) : null;
    if (hit) {
      if (plain) nodes.push(decode(plain));
      plain = "";
      nodes.push(hit[0]);
      [, at] = hit;
    } else {
      plain += text[at];
      at += 1;
    }
  }
  if (plain) nodes.push(decode(plain));
  return nodes;
}

function options(marks) {
  const made = { marks };
  made.style = (label) => spans(label.replace(/</g, "&lt;"), made);
  return made;
}
const slackOptions = options(SLACK);
const markdownOptions = options(MARKDOWN);
export const slackSpans = (text) => spans(text, slackOptions);
export const markdownSpans = (text) => spans(text, markdownOptions);

/** plain_text objects: emoji and line breaks, nothing else. */
export function plain(object) {
  const text = typeof object === "string" ? object : object?.text || "";
  return spans(text, options([])).map((node) => (node instanceof HTMLElement && !node.classList.contains("emoji") ? node.textContent : node));
}
