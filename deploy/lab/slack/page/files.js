// Attached files: name, size, open; text and pictures can be looked at here.
import { openDialog } from "./dialog.js";
import { el, icon, ICONS } from "./dom.js";

const MAX_PREVIEW = 200000;
const TEXT = /^(text\/|application\/(json|x-yaml|yaml|xml|x-sh|toml))|\+json$/;
const TEXT_NAME = /\.(txt|md|log|json|ya?ml|tf|tfvars|hcl|diff|patch|csv|sh|py|toml|ini|cfg)$/i;

export function size(bytes) {
  if (bytes === undefined || bytes === null) return "";
  if (bytes < 1000) return `${bytes} B`;
  return bytes < 1e6 ? `${(bytes / 1000).toFixed(bytes < 1e4 ? 1 : 0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

const address = (file) => `/lab/files/${encodeURIComponent(file.id)}`;
const isImage = (file) => /^image\/(png|jpeg|gif|webp|svg\+xml)$/.test(file.mimetype || "") || /\.(png|jpe?g|gif|webp|svg)$/i.test(file.name || "");
const isText = (file) => TEXT.test(file.mimetype || "") || TEXT_NAME.test(file.name || "");

async function preview(file) {
  const body = el("div.preview", {}, "Reading…");
  openDialog({ title: file.title || file.name, body, wide: true, testid: "file-preview",
    footer: [el("a.btn", { href: address(file), target: "_blank", rel: "noopener", download: file.name }, "Download")] });
  if (isImage(file)) {
    body.replaceChildren(el("img", { src: address(file), alt: file.alt_txt || file.name }));
    return;
  }
  try {
    const response = await fetch(address(file));
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const text = await response.text();
    const cut = text.length > MAX_PREVIEW ? `\n… ${size(text.length - MAX_PREVIEW)} more: download it` : "";
    body.replaceChildren(el("pre", { tabindex: 0 }, text.slice(0, MAX_PREVIEW) + cut));
  } catch (error) {
    body.replaceChildren(`This file cannot be read: ${error.message}`);
  }
}

export function files(list) {
  if (!list?.length) return null;
  return el("div.files", {}, list.map((file) => {
    const name = file.title || file.name || file.id;
    const look = isImage(file) || isText(file);
    const meta = el("span.file-text", {}, el("span.file-name", {}, name), el("span.file-size", {}, size(file.size)));
    const inner = isImage(file) ? [el("img.file-thumb", { src: address(file), alt: file.alt_txt || name, loading: "lazy" }), meta] : [icon(ICONS.file, { size: 20 }), meta];
    return look
      ? el("button.file", { type: "button", "data-file": file.id, class: isImage(file) ? "picture" : "", onclick: () => preview(file) }, inner)
      : el("a.file", { href: address(file), "data-file": file.id, download: file.name, target: "_blank", rel: "noopener" }, inner);
  }));
}
