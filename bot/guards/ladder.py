"""What is done about each dysfunction, weakest first, and how often in one mission. Every ladder ends with people."""

from collections.abc import Mapping
from enum import Enum

from bot.domain.guarding import GuardName, How


class Rung(Enum):
    """One step of a ladder: how the intervention is recorded, and what it does in words."""

    TELL = ("told", "tell the agent")
    REFUSE = ("refused", "refuse the step and say what would be accepted")
    MOVE = ("moved", "give the turn to another agent with the attempts")
    DECIDE = ("decided", "decide by rule")
    ASK = ("asked", "ask a human once")
    PARK = ("parked", "park the mission")

    def __init__(self, how: How, verb: str) -> None:
        self.how: How = how
        self.verb = verb


Ladder = tuple[Rung, ...]
END: Ladder = (Rung.ASK, Rung.PARK)
LADDERS: Mapping[GuardName, Ladder] = {
    "approval_loop": (Rung.DECIDE, *END),
    "bare_approval": (Rung.TELL, Rung.MOVE, *END),
    "claimed_action": (Rung.REFUSE, Rung.MOVE, *END),
    "claimed_done": (Rung.REFUSE, Rung.MOVE, *END),
    "escalation_cascade": (Rung.TELL, *END),
    "goal_drift": (Rung.TELL, *END),
    "hallucinated_tool": (Rung.TELL, Rung.MOVE, *END),
    "laundered_approval": (Rung.REFUSE, Rung.MOVE, *END),
    "no_progress": (Rung.MOVE, *END),
    "option_menu": (Rung.REFUSE, Rung.DECIDE, *END),
    "ping_pong": (Rung.DECIDE, *END),
    "plan_bloat": (Rung.TELL, *END),
    "rate_limit_broadcast": (Rung.REFUSE, Rung.PARK),
    "repeated_tool_error": (Rung.MOVE, *END),
    "secret_leak": (Rung.REFUSE, Rung.PARK),
    "stop_loop": (Rung.DECIDE, *END),
    "string_vs_list": (Rung.TELL, Rung.MOVE, *END),
    "think_leak": (Rung.TELL, Rung.MOVE, *END),
    "wrong_provider": (Rung.TELL, Rung.MOVE, *END),
}
# How often in one mission: a crew that needs more of the weak ones than this needs people.
BUDGETS: Mapping[Rung, int] = {Rung.TELL: 8, Rung.REFUSE: 8, Rung.MOVE: 4, Rung.DECIDE: 4, Rung.ASK: 2}
# Dysfunctions that the tool's own refusal answers: so many are left to it.
ANSWERED: Mapping[GuardName, int] = {"hallucinated_tool": 1, "wrong_provider": 1, "think_leak": 2}
# What is looked at before an agent's words are posted: they go nowhere where one of these sees something.
BEFORE_SPEECH: frozenset[GuardName] = frozenset(
    {
        "option_menu",
        "claimed_action",
        "claimed_done",
        "laundered_approval",
        "rate_limit_broadcast",
        "secret_leak",
        "hallucinated_tool",
    }
)
