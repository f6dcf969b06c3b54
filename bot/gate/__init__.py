"""The one door to side effects (rule 9): what is proposed is classified, authorised, asked for, run, redacted here."""

from bot.gate.door import Gate
from bot.gate.ledger import ExecutionLedger
from bot.gate.parts import Parts

__all__ = ["ExecutionLedger", "Gate", "Parts"]
