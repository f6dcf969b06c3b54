"""The outcome of a replay as one self-contained page: a lane for every agent, the interventions marked."""

from html import escape

from bot.replay.recording import Line
from bot.replay.replay import Episode, Outcome
from bot.replay.words import doing

LANE, LEFT, TOP, BAR = 120, 56, 34, 11
TALL, LOW = 12, 4  # pixels of a message: few of them, many of them
MANY = 1500
LABEL_EVERY = 30  # pixels between two marks' labels at least
COLOURS = {
    "human": "#2563eb", "system": "#94a3b8", "speech": "#0f766e", "call": "#c4b5fd", "result": "#ddd6fe",
    "error": "#f59e0b", "no_tool": "#f59e0b", "turn": "#cbd5e1", "step": "#e2e8f0", "thought": "#e2e8f0",
    "aborted": "#94a3b8",
}  # fmt: skip
NAMES = {"human": "human", "speech": "speech", "call": "call", "result": "result", "error": "error", "step": "thought"}
STYLE = """
:root{color-scheme:light}body{margin:0;font:14px/1.45 system-ui,sans-serif;color:#0f172a;background:#f8fafc}
main{max-width:1180px;margin:0 auto;padding:24px}h1{font-size:20px;margin:0 0 4px}h2{font-size:16px;margin:28px 0 8px}
.tiles{display:flex;flex-wrap:wrap;gap:10px;margin:16px 0}.tile{background:#fff;border:1px solid #e2e8f0;border-radius:8px;padding:10px 14px}
.tile b{display:block;font-size:19px;font-variant-numeric:tabular-nums}.tile span{color:#64748b;font-size:12px}
.legend span{display:inline-flex;align-items:center;gap:5px;margin-right:14px;color:#475569;font-size:12px}
.legend i{width:12px;height:12px;border-radius:3px;display:inline-block}
.board{background:#fff;border:1px solid #e2e8f0;border-radius:8px;overflow-x:auto;padding:8px}
svg text{font:11px system-ui,sans-serif;fill:#475569}svg .lane{font-weight:600;fill:#0f172a;font-size:12px}
svg .mark{fill:#b91c1c;font-weight:600}svg rect.kept{opacity:.35}
table{border-collapse:collapse;width:100%;background:#fff;border:1px solid #e2e8f0;border-radius:8px}
th,td{text-align:left;padding:6px 10px;border-bottom:1px solid #eef2f7;vertical-align:top}th{font-size:12px;color:#64748b}
td.n{white-space:nowrap;font-variant-numeric:tabular-nums}td small{color:#64748b;display:block}
"""


def page(outcome: Outcome, name: str) -> str:
    """The whole page. Every text in it is redacted and escaped."""
    title = f"Replay of {escape(name)}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{STYLE}</style><main><h1>{title}</h1>"
        f"<div>What our router and guards would have made of this conversation. Time runs downwards.</div>"
        f"{_tiles(outcome)}{_legend()}<div class=board>{_board(outcome)}</div><h2>Detections</h2>{_table(outcome)}</main></html>"
    )


def _tiles(o: Outcome) -> str:
    share = f"{o.prompt_tokens / o.recorded_tokens:.0%}" if o.recorded_tokens else "–"
    first = "none" if o.first_intervention is None else f"behind {o.first_intervention}"
    rows = (
        (f"{len(o.lines):,}", "messages"),
        (
            f"{len(o.started):,}",
            f"turns started, {o.turns_from_thoughts} from thoughts, {o.overlapping_turns} overlapping",
        ),
        (f"{len(o.kept_back):,}", "messages kept back"),
        (f"{o.secrets_shown}", "secrets shown"),
        (f"{len(o.episodes):,}", "detections"),
        (first, "first intervention"),
        (f"{o.messages_saved:,}", "messages saved"),
        (share, f"of the recorded design's {o.recorded_tokens:,} prompt tokens"),
    )
    return (
        "<div class=tiles>"
        + "".join(f"<div class=tile><b>{n}</b><span>{what}</span></div>" for n, what in rows)
        + "</div>"
    )


def _legend() -> str:
    spans = "".join(f'<span><i style="background:{COLOURS[kind]}"></i>{name}</span>' for kind, name in NAMES.items())
    more = '<span><i style="background:#dc2626"></i>detected</span><span><i style="background:#0f766e;opacity:.35"></i>kept back</span>'
    return f"<p class=legend>{spans}{more}</p>"


def _board(o: Outcome) -> str:
    senders = list(dict.fromkeys(line.sender for line in o.lines))[:12]
    row = TALL if len(o.lines) <= MANY else LOW
    right = LEFT + LANE * len(senders) + 12
    bars, columns = _bars(o, row, right)
    width, height = right + columns * BAR + 190, TOP + row * len(o.lines) + 12
    parts = [f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" aria-label="lanes">']
    for number, sender in enumerate(senders):
        x = LEFT + LANE * number
        parts.append(f'<text class=lane x="{x + 4}" y="18">{escape(sender[:17])}</text>')
        parts.append(f'<line x1="{x}" y1="{TOP - 6}" x2="{x}" y2="{height}" stroke="#eef2f7"/>')
    parts += _messages(o, senders, row)
    parts += bars
    parts += _marks(o, row, right, right + columns * BAR + 6)
    return "".join([*parts, "</svg>"])


def _messages(o: Outcome, senders: list[str], row: int) -> list[str]:
    lanes, kept = {sender: k for k, sender in enumerate(senders)}, frozenset(o.kept_back)
    parts: list[str] = []
    for place, line in enumerate(o.lines):
        x, y = LEFT + LANE * lanes.get(line.sender, len(senders) - 1) + 3, TOP + row * place
        width = {"speech": LANE - 12, "human": LANE - 12, "call": 40, "result": 40, "error": 40, "no_tool": 40}.get(
            line.kind, 14
        )
        faint = " class=kept" if line.i in kept else ""
        tip = escape(f"{line.i} {line.sender}, {line.kind}: {_tip(o, line)}")
        parts.append(
            f'<rect{faint} x="{x}" y="{y}" width="{width}" height="{max(2, row - 2)}" rx="2" fill="{COLOURS[line.kind]}"><title>{tip}</title></rect>'
        )
        if place % (10 if row == TALL else 100) == 0:
            parts.append(f'<text x="4" y="{y + 9}">{line.i}</text>')
    return parts


def _tip(o: Outcome, line: Line) -> str:
    text = line.text[:4000] or line.subject
    return " ".join(o.redact(text).split())[:200]


def _bars(o: Outcome, row: int, right: int) -> tuple[list[str], int]:
    """One bar for each episode, beside those it overlaps; and how many columns that takes."""
    ends: list[int] = []
    bars: list[str] = []
    for episode in sorted(o.episodes, key=lambda one: one.start):
        column = next((k for k, end in enumerate(ends) if end < episode.start), len(ends))
        ends[column:] = [episode.end, *ends[column + 1 :]]
        y, height = TOP + row * episode.start, max(4, row * (episode.end - episode.start + 1) - 2)
        tip = escape(f"{episode.guard}: {episode.text}")
        bars.append(
            f'<rect x="{right + column * BAR}" y="{y}" width="{BAR - 3}" height="{height}" rx="3" fill="#fca5a5"><title>{tip}</title></rect>'
        )
    return bars, len(ends)


def _marks(o: Outcome, row: int, right: int, labels: int) -> list[str]:
    """Where a guard would have spoken."""
    parts: list[str] = []
    free = 0
    for episode in sorted(o.episodes, key=lambda one: one.spoken):
        y = TOP + row * episode.spoken + row // 2
        parts.append(f'<line x1="{LEFT}" y1="{y}" x2="{right}" y2="{y}" stroke="#dc2626" stroke-dasharray="3 3"/>')
        if y >= free:
            parts.append(f'<text class=mark x="{labels}" y="{y + 4}">{escape(episode.guard)}</text>')
            free = y + min(LABEL_EVERY, TALL)
    return parts


def _table(o: Outcome) -> str:
    if not o.episodes:
        return "<p>None.</p>"
    head = "<tr><th>messages<th>guard<th>times<th>what was seen<th>what would be done</tr>"
    return f"<table>{head}{''.join(_row(o, episode) for episode in o.episodes)}</table>"


def _row(o: Outcome, episode: Episode) -> str:
    start, end = o.lines[episode.start].i, o.lines[episode.end].i
    span = f"{start}" if start == end else f"{start} – {end}"
    facts = "".join(f"<small>{escape(' '.join(fact.split())[:160])}</small>" for fact in episode.facts)
    return (
        f"<tr><td class=n>{span}<td>{episode.guard}<td class=n>{episode.times}<td>{escape(episode.text)}{facts}"
        f"<td>behind {o.lines[episode.spoken].i}: {escape(doing(episode))}</tr>"
    )
