// Standard Markdown, as the `markdown` block takes it: headings, lists, quotes, code, tables, rules.
import { el } from "./dom.js";
import { markdownSpans } from "./inline.js";
import { codeBlock } from "./mrkdwn.js";

const LIST = /^(\s*)([-*+]|\d{1,3}[.)])\s+(.*)$/;
const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());

function list(lines, start) {
  const first = LIST.exec(lines[start]);
  const ordered = /\d/.test(first[2]);
  const node = el(ordered ? "ol" : "ul", ordered ? { start: parseInt(first[2], 10) } : {});
  let i = start;
  while (i < lines.length) {
    const hit = LIST.exec(lines[i]);
    if (!hit || hit[1].length < first[1].length) break;
    if (hit[1].length > first[1].length && node.lastChild) {
      const [inner, next] = list(lines, i);
      node.lastChild.append(inner);
      i = next;
      continue;
    }
    if (/\d/.test(hit[2]) !== ordered) break;
    const task = /^\[([ xX])\]\s+(.*)$/.exec(hit[3]);
    node.append(el("li", {}, task ? [task[1] === " " ? "☐ " : "☑ ", markdownSpans(task[2])] : markdownSpans(hit[3])));
    i += 1;
  }
  return [node, i];
}

function table(lines, start) {
  const head = cells(lines[start]);
  const body = [];
  let i = start + 2;
  for (; i < lines.length && lines[i].includes("|"); i += 1) body.push(cells(lines[i]));
  const node = el("table.data", {}, el("thead", {}, el("tr", {}, head.map((cell) => el("th", { scope: "col" }, markdownSpans(cell))))),
    el("tbody", {}, body.map((row) => el("tr", {}, row.map((cell) => el("td", {}, markdownSpans(cell)))))));
  return [el("div.table-wrap", { tabindex: 0 }, node), i];
}

export function markdown(source) {
  const lines = String(source ?? "").split("\n");
  const out = [];
  let text = [];
  const flush = () => {
    if (text.length) out.push(el("p", {}, text.map((line, i) => [markdownSpans(line), i < text.length - 1 ? el("br") : null])));
    text = [];
  };
  for (let i = 0; i < lines.length;) {
    const line = lines[i];
    const fence = /^```/.exec(line);
    const heading = /^(#{1,6})\s+(.*)$/.exec(line);
    if (fence) {
      flush();
      const end = lines.findIndex((other, at) => at > i && other.startsWith("```"));
      out.push(codeBlock(lines.slice(i + 1, end < 0 ? undefined : end).join("\n")));
      i = end < 0 ? lines.length : end + 1;
    } else if (heading) {
      flush();
      out.push(el(`div.md-heading.level-${heading[1].length}`, { role: "heading", "aria-level": heading[1].length + 2 }, markdownSpans(heading[2])));
      i += 1;
    } else if (/^\s*([-*_])(\s*\1){2,}\s*$/.test(line)) {
      flush();
      out.push(el("hr"));
      i += 1;
    } else if (line.includes("|") && /^[\s|:-]*-[\s|:-]*$/.test(lines[i + 1] || "")) {
      flush();
      const [node, next] = table(lines, i);
      out.push(node);
      i = next;
    } else if (LIST.test(line)) {
      flush();
      const [node, next] = list(lines, i);
      out.push(node);
      i = next;
    } else if (/^>\s?/.test(line)) {
      flush();
      let end = i;
      while (end < lines.length && /^>\s?/.test(lines[end])) end += 1;
      out.push(el("blockquote", {}, markdown(lines.slice(i, end).map((quoted) => quoted.replace(/^>\s?/, "")).join("\n"))));
      i = end;
    } else {
      if (line.trim()) text.push(line);
      else flush();
      i += 1;
    }
  }
  flush();
  return out;
}
