// rich_text blocks: already a tree, so no parsing of text at all.
import { el } from "./dom.js";
import { emoji } from "./emoji.js";
import { link, mention } from "./inline.js";
import { codeBlock } from "./mrkdwn.js";
import { channelOf } from "./store.js";
import { format } from "./time.js";

const STYLES = [["code", "code"], ["bold", "strong"], ["italic", "em"], ["strike", "s"]];

function styled(node, style = {}) {
  return STYLES.reduce((inner, [name, tag]) => (style[name] ? el(tag, {}, inner) : inner), node);
}

function lines(text) {
  return String(text ?? "").split("\n").flatMap((line, i) => (i ? [el("br"), line] : [line]));
}

function leaf(item) {
  switch (item.type) {
    case "text": return styled(el("span", {}, lines(item.text)), item.style);
    case "link": return styled(link(item.url, [item.text || item.url]), item.style);
    case "user": return mention(item.user_id);
    case "usergroup": return el("span.mention", {}, `@${item.usergroup_id}`);
    case "channel": return el("span.mention.channel-ref", {}, `#${channelOf(item.channel_id)?.name || item.channel_id}`);
    case "broadcast": return el("span.mention.wide", {}, `@${item.range}`);
    case "emoji": return emoji(item.name) || `:${item.name}:`;
    case "date": return el("time", {}, format(item.timestamp, item.format || "{date_short} {time}"));
    default: return item.text || "";
  }
}

const rawText = (items = []) => items.map((item) => item.text || item.url || "").join("");

function part(item) {
  switch (item.type) {
    case "rich_text_section": return el("span.lines", {}, (item.elements || []).map(leaf));
    case "rich_text_preformatted": return codeBlock(rawText(item.elements));
    case "rich_text_quote": return el("blockquote", {}, (item.elements || []).map(leaf));
    case "rich_text_list": {
      const node = el(item.style === "ordered" ? "ol" : "ul", { class: `depth-${Math.min(4, item.indent || 0)}`, start: item.offset ? item.offset + 1 : undefined });
      for (const entry of item.elements || []) node.append(el("li", {}, (entry.elements || []).map(leaf)));
      return node;
    }
    default: return null;
  }
}

export const richText = (block) => (block.elements || []).map(part);
