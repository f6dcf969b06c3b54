// Views: the modals an app opens for one person.
import { api } from "./api.js";
import { blocks } from "./blocks.js";
import { openDialog } from "./dialog.js";
import { el } from "./dom.js";
import { plain } from "./inline.js";
import { changed, store } from "./store.js";

let shown = null; // {id, stamp, dialog, ctx}

function valuesOf(ctx) {
  const values = {};
  for (const input of ctx.inputs) (values[input.block_id] ||= {})[input.action_id] = input.read();
  return values;
}

const isEmpty = (value) => Object.entries(value).every(([name, v]) => name === "type" || v === null || v === "" || (Array.isArray(v) && !v.length));

/** Required fields are asked for here, as Slack's client does, before the app hears anything. */
function missing(view, ctx) {
  const errors = {};
  for (const block of view.blocks || []) {
    if (block.type !== "input" || block.optional) continue;
    const input = ctx.inputs.find((one) => one.block_id === block.block_id);
    if (input && isEmpty(input.read())) errors[block.block_id] = "Please fill this in.";
    else if (input?.node.matches?.("input,textarea") && !input.node.checkValidity()) errors[block.block_id] = input.node.validationMessage;
  }
  return errors;
}

async function submit(view, ctx, button) {
  const errors = missing(view, ctx);
  ctx.kept = valuesOf(ctx);
  if (Object.keys(errors).length) return redraw(view, errors, ctx.kept);
  button.setAttribute("aria-busy", "true");
  button.disabled = true;
  const answer = await api.submitView({ as: store.me, view_id: view.id, values: ctx.kept });
  button.removeAttribute("aria-busy");
  button.disabled = false;
  if (answer.errors && Object.keys(answer.errors).length) return redraw(view, answer.errors, ctx.kept);
  if (!answer.ok) {
    ctx.problem.textContent = !answer.error || /ack|timeout/.test(answer.error) ? "Nobody acknowledged this within 3 s. Nothing was sent; you can try again." : `Not sent: ${answer.error}`;
    ctx.problem.hidden = false;
    return undefined;
  }
  // The server closes or updates the view; its event may come before or after this answer.
  return refreshViews();
}

function draw(view, errors = {}, kept = null) {
  const ctx = { view, mode: "modal", inputs: [], errors, kept };
  ctx.values = () => valuesOf(ctx);
  ctx.problem = el("div.field-error", { role: "alert", hidden: true });
  const submitButton = view.submit || (view.blocks || []).some((b) => b.type === "input")
    ? el("button.btn.primary", { type: "submit", form: "view-form", "data-testid": "modal-submit" }, el("span", {}, plain(view.submit || "Submit"))) : null;
  const form = el("form.view", { id: "view-form", novalidate: true, onsubmit: (event) => { event.preventDefault(); submit(view, ctx, submitButton); },
    onkeydown: (event) => { if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) form.requestSubmit(); } }, blocks(view.blocks, ctx), ctx.problem);
  const cancel = el("button.btn", { type: "button", "data-testid": "modal-close" }, plain(view.close || (submitButton ? "Cancel" : "Close")));
  const dialog = openDialog({ title: plain(view.title), body: form, footer: [cancel, submitButton], testid: "modal", className: "modal-view",
    onclose: (reason) => { if (reason !== "code") dismissed(view); } });
  cancel.onclick = () => dialog.dismiss("button");
  dialog.node.dataset.viewId = view.id;
  shown = { id: view.id, stamp: stampOf(view), dialog, ctx };
  const first = dialog.node.querySelector("[aria-invalid] , .invalid input, .invalid textarea, [autofocus]") || dialog.node.querySelector("form input, form textarea, form select");
  first?.focus();
}

const stampOf = (view) => `${view.id} ${view.hash || ""} ${JSON.stringify(view.blocks)}`;

function redraw(view, errors, kept) {
  hide();
  draw(view, errors, kept);
}

function hide() {
  if (!shown) return;
  const { dialog } = shown;
  shown = null;
  dialog.close();
}

async function dismissed(view) {
  if (shown?.id === view.id) shown = null;
  store.views = store.views.filter((v) => v.id !== view.id);
  await api.closeView({ as: store.me, view_id: view.id });
  changed("views");
}

/** Shows the topmost open view of the person one is. */
export function redrawViews() {
  const top = store.views.at(-1);
  if (!top) return hide();
  if (shown?.id === top.id && shown.stamp === stampOf(top)) return undefined;
  const kept = shown?.id === top.id ? valuesOf(shown.ctx) : null;
  return redraw(top, {}, kept);
}

export async function refreshViews() {
  const me = store.me;
  const answer = await api.views(me);
  const list = Array.isArray(answer) ? answer : answer.views;
  if (me !== store.me || !list) return;
  store.views = list.filter((view) => !view.type || view.type === "modal");
  changed("views");
}

export function viewEvent(event) {
  if (event.user && event.user !== store.me) return;
  const view = event.view || { id: event.view_id };
  if (view.type && view.type !== "modal") return;
  const rest = store.views.filter((v) => v.id !== view.id);
  if (event.type === "view_closed") store.views = rest;
  else if (event.type === "view_updated") store.views = store.views.map((v) => (v.id === view.id ? view : v));
  else store.views = [...rest, view];
  changed("views");
}
