// Slack's mrkdwn: code blocks, quotes and lists by line, the rest inline.
import { el } from "./dom.js";
import { decode, slackSpans } from "./inline.js";

/** A code block; lines of a plan (+ - ~) get their colour, since that is what one looks for first. */
export function codeBlock(text) {
  const lines = text.replace(/^\n/, "").replace(/\n$/, "").split("\n");
  const marked = lines.some((line) => /^\s*[+~−-]\s/.test(line));
  const kind = (line) => (!marked ? "" : /^\s*\+\s/.test(line) ? "add" : /^\s*[−-]\s/.test(line) ? "del" : /^\s*~\s/.test(line) ? "chg" : "");
  const code = el("code", {}, lines.map((line, i) => [el("span", { class: kind(line) }, line), i < lines.length - 1 ? "\n" : ""]));
  return el("pre", { tabindex: 0 }, code);
}

// Lines that begin with a list mark, a sign of a plan (+ ~ −) or a status mark hang, so that a wrapped line stays readable.
const ITEM = /^(\s*)([•◦▪·*+~−-]|[○●◐✓✔✗✘☐☑→]|:[a-z_]+:|\d{1,3}[.)])\s+(.*)$/;
const SIGNS = { "+": "add", "~": "chg", "−": "del" };

function paragraph(lines) {
  const out = [];
  lines.forEach((line, i) => {
    const item = ITEM.exec(line);
    if (item && !/^\s*\*[^\s]/.test(line)) {
      const depth = Math.min(4, Math.floor(item[1].length / 2));
      const mark = /^[*-]$/.test(item[2]) ? "•" : slackSpans(item[2]);
      out.push(el(`span.item.depth-${depth}`, {}, el("span.bullet", { class: SIGNS[item[2]] || "" }, mark), el("span.item-text", {}, slackSpans(item[3]))));
    } else {
      out.push(slackSpans(line));
      if (i < lines.length - 1) out.push(el("br"));
    }
  });
  return out;
}

function textBlocks(text) {
  const out = [];
  const lines = text.split("\n");
  let run = [];
  const flush = () => { if (run.length && run.some((line) => line.trim())) out.push(el("span.lines", {}, paragraph(run))); run = []; };
  for (let i = 0; i < lines.length; i += 1) {
    const rest = /^(?:&gt;|>){3}\s?(.*)$/.exec(lines[i]);
    const one = /^(?:&gt;|>)\s?(.*)$/.exec(lines[i]);
    if (rest) {
      flush();
      out.push(el("blockquote", {}, paragraph([rest[1], ...lines.slice(i + 1)])));
      return out;
    }
    if (one) {
      flush();
      const quoted = [];
      for (; i < lines.length; i += 1) {
        const hit = /^(?:&gt;|>)\s?(.*)$/.exec(lines[i]);
        if (!hit) break;
        quoted.push(hit[1]);
      }
      i -= 1;
      out.push(el("blockquote", {}, paragraph(quoted)));
    } else run.push(lines[i]);
  }
  flush();
  return out;
}

export function mrkdwn(text) {
  const out = [];
  // Odd parts are between ``` pairs; an unpaired ``` stays text.
  const parts = String(text ?? "").split("```");
  if (parts.length % 2 === 0) {
    const last = parts.pop();
    parts[parts.length - 1] += `\`\`\`${last}`;
  }
  parts.forEach((part, i) => {
    if (i % 2) out.push(codeBlock(decode(part)));
    else if (part.trim()) out.push(textBlocks(part.replace(/^\n/, "").replace(/\n$/, "")));
  });
  return out.flat();
}

