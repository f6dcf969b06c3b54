// Block Kit: one function per block type. An unknown type is named, never dropped in silence.
import { element } from "./elements.js";
import { el } from "./dom.js";
import { plain } from "./inline.js";
import { markdown } from "./markdown.js";
import { mrkdwn } from "./mrkdwn.js";
import { richText } from "./richtext.js";

export function textObject(object) {
  if (!object) return null;
  return object.type === "mrkdwn" ? mrkdwn(object.text) : el("span.as-typed", {}, plain(object));
}

/** Only this server's own files and data: an address elsewhere becomes a link, so that the page loads nothing from outside. */
export function picture(url, alt, className = "") {
  const own = /^data:image\/(png|jpeg|gif|webp|svg\+xml)[;,]/i.test(url || "") || sameOrigin(url);
  if (!own) return el("a", { href: /^https?:/i.test(url || "") ? url : undefined, target: "_blank", rel: "noopener noreferrer" }, `image: ${alt || url}`);
  return el("img", { src: url, alt: alt || "", class: className, loading: "lazy" });
}

function sameOrigin(url) {
  try { return Boolean(url) && new URL(url, location.href).origin === location.origin; } catch { return false; }
}

function section(block, ctx) {
  const text = el("div.section-text", {}, block.text ? el("div.prose", {}, textObject(block.text)) : null,
    block.fields ? el("div.fields", {}, block.fields.map((field) => el("div.field.prose", {}, textObject(field)))) : null);
  if (!block.accessory) return el("div.block.section", {}, text);
  const extra = block.accessory.type === "image" ? picture(block.accessory.image_url, block.accessory.alt_text, "thumb") : element(block.accessory, ctx, block);
  return el("div.block.section.with-accessory", {}, text, el("div.accessory", {}, extra));
}

function context(block) {
  return el("div.block.context", {}, (block.elements || []).map((item) => (item.type === "image"
    ? picture(item.image_url, item.alt_text, "context-image") : el("span.prose", {}, textObject(item)))));
}

function image(block) {
  const url = block.image_url || block.slack_file?.url || (block.slack_file?.id ? `/lab/files/${encodeURIComponent(block.slack_file.id)}` : "");
  return el("figure.block.image", {}, block.title ? el("figcaption", {}, plain(block.title)) : null, picture(url, block.alt_text));
}

function input(block, ctx) {
  const id = `in-${ctx.view?.id || ctx.ts || "m"}-${block.block_id}`;
  const inner = element(block.element, ctx, block);
  const control = inner.matches("input,textarea,select") ? inner : null;
  if (control) control.id = id;
  const error = ctx.errors?.[block.block_id];
  if (error) {
    inner.setAttribute("aria-invalid", "true");
    inner.setAttribute("aria-describedby", `${id}-error`);
  }
  return el("div.block.input", { class: error ? "invalid" : "", "data-block-id": block.block_id },
    el("label.input-label", control ? { for: id } : {}, plain(block.label), block.optional ? el("span.optional", {}, " optional") : null),
    inner, block.hint ? el("div.hint", {}, plain(block.hint)) : null,
    error ? el("div.field-error", { id: `${id}-error`, role: "alert", "data-testid": "field-error" }, error) : null);
}

function table(block) {
  const settings = block.column_settings || [];
  const cell = (item, i, tag) => {
    const node = el(tag, tag === "th" ? { scope: "col" } : {}, item?.type === "rich_text" ? richText(item) : String(item?.text ?? ""));
    if (["center", "right"].includes(settings[i]?.align)) node.style.textAlign = settings[i].align;
    return node;
  };
  const [head, ...rows] = block.rows || [];
  return el("div.block.table-wrap", { tabindex: 0 }, el("table.data", {},
    el("thead", {}, el("tr", {}, (head || []).map((item, i) => cell(item, i, "th")))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((item, i) => cell(item, i, "td")))))));
}

const SIGN = { complete: "✓", in_progress: "…", pending: "○", error: "✕" };
function taskCard(block) {
  return el("div.block.task", {}, el("span.task-sign", {}, SIGN[block.status] || "○"),
    el("div", {}, el("div", {}, block.title || ""), block.details ? richText(block.details) : null, block.output ? richText(block.output) : null));
}

export function block(item, ctx) {
  switch (item.type) {
    case "header": return el("div.block.header", { role: "heading", "aria-level": 3 }, plain(item.text));
    case "section": return section(item, ctx);
    case "divider": return el("hr.block");
    case "context": return context(item);
    case "actions": return el("div.block.actions", {}, (item.elements || []).map((one) => element(one, ctx, item)));
    case "image": return image(item);
    case "rich_text": return el("div.block.prose", {}, richText(item));
    case "input": return input(item, ctx);
    case "markdown": return el("div.block.prose.markdown", {}, markdown(item.text));
    case "table": return table(item);
    case "task_card": return taskCard(item);
    case "plan": return el("div.block.plan", {}, el("strong", {}, item.title || ""), (item.tasks || []).map(taskCard));
    case "alert": return el("div.block.prose", {}, textObject(item.text));
    default: return el("div.block.unsupported", {}, `block “${item.type}” is not drawn here`);
  }
}

export const blocks = (list, ctx) => (list || []).map((item) => block(item, ctx));

const buttonsOf = (list) => (list || []).flatMap((item) => [...(item.elements || []), item.accessory].filter((e) => e?.type === "button"));
/** A card asks for a decision while it has a primary button. */
export const asksForDecision = (list) => buttonsOf(list).some((e) => e.style === "primary");
export const isCard = (list) => (list || []).some((item) => ["header", "actions", "divider"].includes(item.type));
export const titleOf = (list) => {
  const header = (list || []).find((item) => item.type === "header");
  return header?.text?.text || (list || []).find((item) => item.type === "section")?.text?.text?.split("\n")[0].replace(/[*_`]/g, "") || "";
};
