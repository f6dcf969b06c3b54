"""Whatever Slack (or somebody in its name) sends: parsing never raises, gives the same answer twice, invents nothing."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bot.slack.commands import by_words
from bot.slack.mentions import Crew, hear
from bot.slack.parse import Dropped, Known, Spoken, Urgent, parse
from bot.slack.spans import cut, escape, visible

TITLES = {"watchbill": "Watchbill", "architect": "Architect", "builder": "Builder", "qa": "QA"}
USERS = {f"U0{name.upper()}": name for name in TITLES}
KNOWN = Known("T0LAB00001", Crew(USERS, TITLES), frozenset({"B0QA"}), {"A0W": "watchbill", "A0A": "architect"})

text = st.one_of(
    st.text(max_size=60),
    st.lists(
        st.sampled_from(
            ["<@U0ARCHITECT>", "<@U0QA|qa>", "@Builder", "stop", "STOP", "&lt;", "&amp;", "&gt; ", "`", "```", "\n", " ",
             "<https://a.lab|x>", "<!channel>", "crew", "\u202e", "@", "<", ">", "@Watchbill"]
        )
    ).map("".join),
)  # fmt: skip
words = st.sampled_from(
    ["event_callback", "block_actions", "view_submission", "message", "app_mention", "message_changed", "T0LAB00001",
     "A0W", "A0A", "C0LAB00001", "U0ANA00001", "100.000001", "approve", "answer:1", "/mission", "deny", ""]
)  # fmt: skip
keys = st.sampled_from(
    ["type", "event", "team_id", "api_app_id", "channel", "user", "ts", "thread_ts", "text", "subtype", "message", "view",
     "previous_message", "edited", "team", "actions", "action_id", "value", "container", "command", "trigger_id", "id",
     "callback_id", "private_metadata", "state", "values", "channel_id", "user_id", "message_ts", "authorizations"]
)  # fmt: skip
leaf = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=True), st.text(max_size=5), words, text)
junk: st.SearchStrategy[Any] = st.recursive(
    leaf, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=8)), max_leaves=25
)


@given(junk, st.sampled_from(["watchbill", "architect", "nobody"]))
def test_junk_never_raises_and_never_becomes_something(payload: Any, app: str) -> None:
    parsed = parse(payload, KNOWN, app)
    assert parsed == parse(payload, KNOWN, app)
    if not isinstance(payload, dict):
        assert parsed == Dropped("malformed")


@given(text, st.sampled_from(["message", "app_mention"]))
def test_rule_4_a_message_reads_the_same_however_it_arrives(typed: str, kind: str) -> None:
    def through(app: str, event_type: str) -> Any:
        event = {"type": event_type, "channel": "C0LAB00001", "user": "U0ANA00001", "ts": "100.000001", "text": typed}
        api_app_id = {"watchbill": "A0W", "architect": "A0A"}[app]
        outer = {"type": "event_callback", "team_id": "T0LAB00001", "api_app_id": api_app_id, "event": event}
        return parse(outer, KNOWN, app)

    first, second = through("watchbill", kind), through("architect", "message")
    assert first == second
    if isinstance(first, Spoken):
        assert first.said.text.strip()
        assert set(first.said.to) <= set(TITLES)
    elif isinstance(first, Urgent):
        assert first.once == "message:T0LAB00001/C0LAB00001/100.000001"


@given(text)
def test_rule_3_only_mentions_outside_code_and_quotes_address(typed: str) -> None:
    assert hear(f"```{typed.replace('`', '')}```", KNOWN.crew).to == ()
    quoted = typed.replace("\n", " ")
    assert hear(f"&gt; {quoted}", KNOWN.crew).to == ()


@given(st.text(alphabet=st.characters(exclude_characters="<>@`&")))
def test_text_without_marks_stays_as_it_is(typed: str) -> None:
    heard = hear(typed.replace("&", "&amp;"), KNOWN.crew)
    assert (heard.text, heard.to, heard.bare) == (typed, (), typed)


@given(st.text())
def test_what_goes_out_cannot_ping_and_hides_nothing(typed: str) -> None:
    shown = escape(typed)
    assert "<" not in shown
    assert ">" not in shown
    assert visible(visible(typed)) == visible(typed)
    assert "\u202e" not in visible(typed)
    assert "\n" not in cut(typed, 40)
    assert len(cut(typed, 40)) <= 40


@given(st.text(max_size=30))
def test_commands_are_known_names_only(typed: str) -> None:
    found = by_words(typed, "wb-")
    assert found is None or found[0] in {"cluster-status", "mission", "approvals", "crew", "cost", "audit"}
