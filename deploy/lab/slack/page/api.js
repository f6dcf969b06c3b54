// The lab's control API and its event stream.

async function call(path, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    return { ok: false, error: "The lab does not answer." };
  }
  try {
    const answer = await response.json();
    if (!response.ok && answer.ok === undefined) return { ok: false, error: answer.error || `HTTP ${response.status}` };
    return answer;
  } catch {
    return { ok: false, error: `The lab answered HTTP ${response.status} without JSON.` };
  }
}

const q = (values) => new URLSearchParams(values).toString();

export const api = {
  presence: () => call("/lab/state?limit=1"),
  state: (channel) => call(`/lab/state${channel ? `?${q({ channel })}` : ""}`),
  thread: (channel, ts) => call(`/lab/thread?${q({ channel, ts })}`),
  ephemerals: (as) => call(`/lab/ephemerals?${q({ as })}`),
  views: (as) => call(`/lab/views?${q({ as })}`),
  report: () => call("/lab/report"),
  post: (message) => call("/lab/post", message),
  command: (command) => call("/lab/command", command),
  click: (click) => call("/lab/click", click),
  submitView: (submit) => call("/lab/view_submit", submit),
  closeView: (close) => call("/lab/view_close", close),
  homeOpened: (home) => call("/lab/home_opened", home),
  fault: (fault) => call("/lab/fault", fault),
};

/** Keeps one socket open for ever; `onState` gets "open" | "lost", and the caller reads the state again after "open". */
export function follow({ onEvent, onState }) {
  let wait = 400;
  let socket;
  const open = () => {
    socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/lab/stream`);
    socket.onopen = () => { wait = 400; onState("open"); };
    socket.onmessage = (message) => {
      let event;
      try { event = JSON.parse(message.data); } catch { return; }
      onEvent(event);
    };
    socket.onclose = () => {
      onState("lost");
      setTimeout(open, wait);
      wait = Math.min(wait * 1.7, 4000);
    };
  };
  open();
}
