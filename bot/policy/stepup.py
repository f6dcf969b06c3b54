"""A second proof that the approver is who they are: a code of their authenticator (TOTP, RFC 6238), good once."""

import hmac
import stat
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pyotp.totp import TOTP

from bot.domain.ids import UserId
from bot.domain.ports import Clock
from bot.domain.storage import UsedCodes
from bot.policy.loading import read_yaml
from bot.policy.people import SLACK_ID
from bot.policy.problems import PolicyError

STEP_S = 30
MOST_WRONG = 5  # in a row, in the time that the store remembers them
MEND = "Write `secrets:` with one line per person: U0123456789: BASE32SECRET (python -c 'import pyotp; print(pyotp.random_base32())')"
SECRET = Annotated[str, Field(pattern=r"^[A-Z2-7]{16,128}=*$")]


class SecretsFile(BaseModel):
    """The file that WATCHBILL_TOTP_SECRETS names."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    secrets: dict[SLACK_ID, SECRET]


def read_totp_secrets(path: Path | None, policies: Path) -> Mapping[UserId, str]:
    """Secrets by person, {} without a file. Raises PolicyError for a file that others can read, or that lies among the
    policies: those are shown to people and kept in git.
    """
    if path is None:
        return {}
    if path.resolve().is_relative_to(policies.resolve()):
        raise PolicyError(str(path), "", "secrets do not belong among the policies", "Move the file elsewhere")
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as error:
        raise PolicyError(
            str(path), "", f"it cannot be read ({error.strerror})", "See WATCHBILL_TOTP_SECRETS"
        ) from error
    if mode & 0o077:
        raise PolicyError(str(path), "", f"its mode is {mode:04o}, so others can read it", f"chmod 0600 {path}")
    return {UserId(user): secret for user, secret in read_yaml(path, SecretsFile, MEND).secrets.items()}


def step_of(secret: str, code: str, now: datetime) -> int | None:
    """The 30-second step whose code this is: the present one, or one beside it (clocks differ). None: it is wrong."""
    totp, present = TOTP(secret), int(now.timestamp()) // STEP_S
    digits = code.replace(" ", "").encode()
    steps = (present, present - 1, present + 1)
    return next((step for step in steps if hmac.compare_digest(totp.at(step * STEP_S).encode(), digits)), None)


class TotpCodes:
    """The gate's Codes port. Who has no secret cannot give a code: where a policy asks for one, they cannot approve."""

    def __init__(self, read: Callable[[], Mapping[UserId, str]], used: UsedCodes, clock: Clock) -> None:
        """`read` raises PolicyError where the file is unreadable: no code is right then."""
        self._read = read
        self._used = used
        self._clock = clock

    async def check(self, user: UserId, code: str) -> str:
        """Empty where the code is theirs and was not used before: it is used up now. Else why not, for them."""
        try:
            secret = self._read().get(user)
        except PolicyError:
            return "Codes cannot be checked now: the operator has to mend the file of secrets (python -m bot check)."
        if secret is None:
            return "This takes a code of an authenticator, and none is set up for you. The operator does that."
        if await self._used.wrong(user) >= MOST_WRONG:
            return "Too many wrong codes. Try again in 5 minutes."
        step = step_of(secret, code, self._clock.now())
        if step is None:
            await self._used.note_wrong(user)
            return "Wrong code. Nothing changed; press Approve again."
        if not await self._used.take(user, step):
            return "This code was used before. Wait for the next one, then press Approve again."
        return ""
