"""The outcome of a replay for people: a summary, and with --explain every turn and every detection."""

from bot.guards.ladder import LADDERS
from bot.replay.replay import Episode, Outcome


def summary(outcome: Outcome) -> str:
    o = outcome
    share = f"{o.prompt_tokens / o.recorded_tokens:.0%}" if o.recorded_tokens else "no"
    rows = [
        f"{len(o.lines)} messages read, {o.unreadable} lines could not be read",
        (
            f"{len(o.started)} turns started ({o.turns_from_thoughts} from thoughts, {o.overlapping_turns} overlapping); "
            f"{len(o.kept_back)} messages kept back: nobody had given their agent the turn"
        ),
        f"{o.secrets_shown} secrets shown, {o.leaks_cut} pieces of reasoning cut out of speech",
        (
            f"{o.prompt_tokens:,} prompt tokens at most, {share} of the recorded design's {o.recorded_tokens:,} "
            f"({o.recorded_calls} calls; largest {o.largest_prompt:,} against {o.recorded_largest:,})"
        ),
    ]
    if o.first_intervention is None:
        rows.append("no guard would have stepped in")
    else:
        rows.append(
            f"first intervention behind message {o.first_intervention}; {o.messages_saved} messages of detected episodes came later"
        )
    rows += [f"  {_span(o, episode):>12}  {episode.guard}: {episode.text}" for episode in o.episodes]
    return "\n".join(rows)


def explained(outcome: Outcome) -> str:
    """Turn by turn and detection by detection."""
    o = outcome
    rows = [summary(o), "", "Turns started, and by what:"]
    rows += [f"  {turn.i:>6}  {turn.persona}: {' '.join(turn.why.split())[:100]}" for turn in o.started]
    rows += [
        "",
        "Messages kept back:",
        f"  {_ranges(o.kept_back) or 'none'}",
        "",
        "Detections, and what would be done:",
    ]
    for episode in o.episodes:
        rows.append(f"  {_span(o, episode)} {episode.guard}, {episode.times} times: {episode.text}")
        rows.append(f"      behind message {o.lines[episode.spoken].i}: {doing(episode)}")
        rows += [f"      · {' '.join(fact.split())[:140]}" for fact in episode.facts]
    return "\n".join(rows)


def doing(episode: Episode) -> str:
    """The way up of this guard's interventions, as far as the episode goes."""
    ladder = LADDERS[episode.guard]
    return ", then ".join(f"{rung.verb}" for rung in ladder[: max(1, min(episode.times, len(ladder)))])


def _span(outcome: Outcome, episode: Episode) -> str:
    start, end = outcome.lines[episode.start].i, outcome.lines[episode.end].i
    return f"{start}" if start == end else f"{start} to {end}"


def _ranges(numbers: tuple[int, ...]) -> str:
    """Numbers in order, runs joined: "3 to 9, 12"."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{one}" if one == other else f"{one} to {other}" for one, other in runs)
