// Native <dialog>: the browser keeps the focus inside, returns it afterwards, and closes on Esc.
import { el, iconButton } from "./dom.js";
import { plain } from "./inline.js";
import { mrkdwn } from "./mrkdwn.js";

/** Opens a dialog; `onclose(reason)` runs once, reason "esc" | "button" | "code". */
export function openDialog({ title, body, footer, testid, onclose, wide, className = "" }) {
  const node = el("dialog.dialog", { class: `${wide ? "wide" : ""} ${className}`, "data-testid": testid, "aria-labelledby": "dialog-title" });
  let open = true;
  const dismiss = (why) => {
    if (!open) return;
    open = false;
    node.close();
    node.remove();
    onclose?.(why);
  };
  node.append(
    el("header", {}, el("h2", { id: "dialog-title" }, title), iconButton("close", "Close", () => dismiss("button"))),
    el("div.dialog-body", {}, body), ...(footer ? [el("footer", {}, footer)] : []));
  node.addEventListener("cancel", (event) => { event.preventDefault(); dismiss("esc"); });
  node.addEventListener("close", () => dismiss("esc"));
  node.addEventListener("mousedown", (event) => { if (event.target === node && !footer) dismiss("button"); });
  document.body.append(node);
  node.showModal();
  return { node, close: () => dismiss("code"), dismiss };
}

/** Resolves true when the person confirms. */
export function confirmDialog(confirm) {
  return new Promise((resolve) => {
    let yes = false;
    const danger = confirm.style === "danger";
    const dialog = openDialog({
      title: plain(confirm.title || "Are you sure?"), testid: "confirm",
      body: el("div.prose", {}, confirm.text?.type === "plain_text" ? plain(confirm.text) : mrkdwn(confirm.text?.text || "")),
      footer: [
        el("button.btn", { type: "button", onclick: () => dialog.close(), "data-testid": "confirm-no" }, plain(confirm.deny || "Cancel")),
        el("button.btn", { class: danger ? "danger solid" : "primary", type: "button", autofocus: true, "data-testid": "confirm-yes",
          onclick: () => { yes = true; dialog.close(); } }, plain(confirm.confirm || "Yes")),
      ],
      onclose: () => resolve(yes),
    });
  });
}
