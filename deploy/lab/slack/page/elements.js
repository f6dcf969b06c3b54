// Interactive elements of Block Kit. In a message they act at once; in a modal they also report their value on submit.
import { act } from "./actions.js";
import { el, icon, ICONS } from "./dom.js";
import { plain } from "./inline.js";
import { store } from "./store.js";

const optionsOf = (element) => element.options || (element.option_groups || []).flatMap((group) => group.options);
const bare = (option) => ({ text: option.text, value: option.value });
const busyOf = (ctx) => (ctx.ts ? store.busy.get(`${ctx.channel}:${ctx.ts}`) : undefined);
const keyFor = (ctx, block, element) => `${ctx.channel || ctx.view?.id}:${ctx.ts || ""}:${block.block_id}:${element.action_id}`;
const chosen = new Map(); // what was picked in a menu outlives the redrawing of its message

const hooks = (block, element) => ({ "data-action-id": element.action_id, "data-block-id": block.block_id });
const kept = (ctx, block, element) => ctx.kept?.[block.block_id]?.[element.action_id];

/** Registers how to read an element's value for view_submit and for state.values. */
function register(ctx, block, element, node, read) {
  ctx.inputs?.push({ block_id: block.block_id, action_id: element.action_id, node, read: () => ({ type: element.type, ...read() }) });
  return node;
}

function button(element, ctx, block) {
  const busy = busyOf(ctx);
  const mine = busy && busy.action_id === element.action_id && busy.block_id === block.block_id;
  return el("button.btn", {
    type: "button", class: `${element.style || ""} ${mine ? "busy" : ""}`, ...hooks(block, element), "aria-busy": mine ? "true" : undefined,
    "aria-label": element.accessibility_label, disabled: Boolean(busy),
    onclick: async (event) => {
      const node = event.currentTarget;
      if (ctx.view) node.setAttribute("aria-busy", "true");
      await act(ctx, element, block, element.value);
      node.removeAttribute("aria-busy");
    },
  }, el("span", {}, plain(element.text)));
}

function select(element, ctx, block, list) {
  const key = keyFor(ctx, block, element);
  const initial = kept(ctx, block, element)?.selected_option?.value ?? chosen.get(key) ?? element.initial_option?.value
    ?? element.initial_user ?? element.initial_channel ?? element.initial_conversation ?? "";
  const option = (o) => el("option", { value: o.value, selected: o.value === initial }, plain(o.text).map((n) => n.textContent ?? n).join(""));
  const node = el("select.select", {
    ...hooks(block, element), "aria-label": element.placeholder?.text || block.label?.text || "Choose", disabled: Boolean(busyOf(ctx)),
    onchange: () => {
      chosen.set(key, node.value);
      if (!ctx.inputs || block.dispatch_action || block.type !== "input") act(ctx, element, block, node.value);
    },
  },
  el("option", { value: "", disabled: true, selected: !initial }, element.placeholder?.text || "Choose…"),
  element.option_groups ? element.option_groups.map((group) => el("optgroup", { label: group.label?.text }, group.options.map(option))) : list.map(option));
  node.value = initial;
  const pick = () => list.find((o) => o.value === node.value);
  const field = { users_select: "selected_user", channels_select: "selected_channel", conversations_select: "selected_conversation" }[element.type];
  return register(ctx, block, element, node, () => (field ? { [field]: node.value || null } : { selected_option: pick() ? bare(pick()) : null }));
}

function choices(element, ctx, block, type) {
  const list = optionsOf(element);
  const before = kept(ctx, block, element);
  const initial = new Set((before ? before.selected_options || [before.selected_option] : element.initial_options || [element.initial_option])
    .filter(Boolean).map((o) => o.value));
  const name = `${block.block_id}-${element.action_id}-${ctx.ts || ctx.view?.id || ""}`;
  const dispatches = !ctx.inputs || block.dispatch_action || block.type !== "input";
  const inputs = list.map((option) => el("input", { type, name, value: option.value, checked: initial.has(option.value),
    onchange: () => { if (dispatches) act(ctx, element, block, type === "radio" ? option.value : picked().map((o) => o.value)); } }));
  const node = el("div.choices", { role: type === "radio" ? "radiogroup" : "group", "aria-label": block.label?.text, ...hooks(block, element) },
    list.map((option, i) => el("label.choice", {}, inputs[i],
      el("span", {}, plain(option.text), option.description ? el("small", {}, plain(option.description)) : null))));
  const picked = () => list.filter((_, i) => inputs[i].checked).map(bare);
  return register(ctx, block, element, node, () => (type === "radio" ? { selected_option: picked()[0] || null } : { selected_options: picked() }));
}

function textInput(element, ctx, block) {
  const before = kept(ctx, block, element);
  const field = { datepicker: "selected_date", timepicker: "selected_time" }[element.type] || "value";
  const kind = { email_text_input: "email", url_text_input: "url", number_input: "number", datepicker: "date", timepicker: "time" }[element.type] || "text";
  const value = before?.[field] ?? element.initial_value ?? element.initial_date ?? element.initial_time ?? "";
  const common = { class: "text-input", ...hooks(block, element), placeholder: element.placeholder?.text, maxlength: element.max_length,
    minlength: element.min_length, autofocus: Boolean(element.focus_on_load), autocomplete: "off" };
  const node = element.multiline ? el("textarea", { ...common, rows: 4 }) : el("input", { ...common, type: kind, step: element.is_decimal_allowed ? "any" : undefined });
  node.value = value;
  return register(ctx, block, element, node, () => ({ [field]: node.value === "" ? null : node.value }));
}

function overflow(element, ctx, block) {
  const menu = el("div.menu", { role: "menu", hidden: true });
  const toggle = el("button.btn.overflow", { type: "button", ...hooks(block, element), "aria-haspopup": "menu", "aria-expanded": "false",
    "aria-label": "More", disabled: Boolean(busyOf(ctx)) }, icon(ICONS.more, { width: 3 }));
  const show = (open) => {
    menu.hidden = !open;
    toggle.setAttribute("aria-expanded", String(open));
    if (open) menu.firstChild?.focus();
  };
  toggle.onclick = () => show(menu.hidden);
  for (const option of element.options || []) {
    menu.append(el("button", { type: "button", role: "menuitem", "data-value": option.value,
      onclick: () => { show(false); toggle.focus(); act(ctx, element, block, option.value); } }, plain(option.text)));
  }
  const wrap = el("span.menu-wrap", {}, toggle, menu);
  wrap.addEventListener("focusout", (event) => { if (!wrap.contains(event.relatedTarget)) show(false); });
  wrap.addEventListener("keydown", (event) => {
    const items = [...menu.children];
    const at = items.indexOf(document.activeElement);
    if (event.key === "Escape" && !menu.hidden) { event.stopPropagation(); show(false); toggle.focus(); }
    if (event.key === "ArrowDown" && !menu.hidden) { event.preventDefault(); items[(at + 1) % items.length].focus(); }
    if (event.key === "ArrowUp" && !menu.hidden) { event.preventDefault(); items[(at + items.length - 1) % items.length].focus(); }
  });
  return wrap;
}

const people = () => store.people.map((p) => ({ text: { type: "plain_text", text: p.name }, value: p.id }));
const channels = () => store.channels.map((c) => ({ text: { type: "plain_text", text: `#${c.name}` }, value: c.id }));

export function element(item, ctx, block) {
  switch (item.type) {
    case "button": case "workflow_button": return button(item, ctx, block);
    case "static_select": case "external_select": return select(item, ctx, block, optionsOf(item));
    case "users_select": return select(item, ctx, block, people());
    case "channels_select": case "conversations_select": return select(item, ctx, block, channels());
    case "radio_buttons": return choices(item, ctx, block, "radio");
    case "checkboxes": case "multi_static_select": return choices(item, ctx, block, "checkbox");
    case "plain_text_input": case "email_text_input": case "url_text_input": case "number_input": case "datepicker": case "timepicker":
      return textInput(item, ctx, block);
    case "overflow": return overflow(item, ctx, block);
    default: return el("span.unsupported", {}, `element “${item.type}” is not drawn here`);
  }
}
