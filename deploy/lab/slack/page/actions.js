// What a press of a button, a choice in a menu, or a command does. One place asks the lab and one place shows what went wrong.
import { api } from "./api.js";
import { confirmDialog } from "./dialog.js";
import { toast } from "./dom.js";
import { changed, clearClick, failClick, setBusy, store } from "./store.js";

const SAY = {
  operation_timeout: "Nobody acknowledged this click within 3 s. Is the program running? You can press it again.",
  no_such_element: "This card has changed meanwhile; what you pressed is no longer on it.",
  dispatch_failed: "No program is connected for this app, so nobody received the click.",
};

function problem(answer) {
  if (answer.ok && answer.acked !== false) return "";
  const error = answer.error || "";
  if (SAY[error]) return SAY[error];
  if (answer.acked === false && (!error || /ack|time/i.test(error))) return SAY.operation_timeout;
  return error ? `The click did not arrive: ${error}` : SAY.operation_timeout;
}

/** Presses `element` of `ctx` (a message or a view); asks first where the element says so. */
export async function act(ctx, element, block, value) {
  if (element.confirm && !(await confirmDialog(element.confirm))) return;
  if (element.url) window.open(element.url, "_blank", "noopener");
  const click = { as: store.me, action_id: element.action_id, block_id: block.block_id };
  if (value !== undefined) click.value = value;
  if (ctx.view) {
    Object.assign(click, { view_id: ctx.view.id, values: ctx.values?.() });
    const text = problem(await api.click(click));
    if (text) toast(text);
    return;
  }
  Object.assign(click, { channel: ctx.channel, ts: ctx.ts });
  if (ctx.ephemeral) click.ephemeral = true;
  setBusy(ctx.channel, ctx.ts, { action_id: element.action_id, block_id: block.block_id, value });
  changed("messages");
  const text = problem(await api.click(click));
  if (text) failClick(ctx.channel, ctx.ts, text);
  else if (store.busy.has(`${ctx.channel}:${ctx.ts}`)) clearClick(ctx.channel, ctx.ts);
  changed("messages");
  // What went wrong must be in view, wherever the card is scrolled to.
  if (text) setTimeout(() => document.querySelectorAll(".click-error").forEach((node) => node.scrollIntoView({ block: "nearest" })), 60);
}
