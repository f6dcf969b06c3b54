"""Rate limits: one message a second and channel per app, and Slack's tiers a minute for the rest."""

import math
import time

POST_PER_SECOND = 1.0
POST_BURST = 3
TIER_PER_MINUTE = {1: 1, 2: 20, 3: 50, 4: 100}
TIERS = {
    "chat.update": 3,
    "chat.delete": 3,
    "chat.postEphemeral": 4,
    "conversations.history": 3,
    "conversations.replies": 3,
    "conversations.info": 3,
    "conversations.list": 2,
    "conversations.members": 4,
    "conversations.open": 3,
    "conversations.join": 3,
    "users.info": 4,
    "users.list": 2,
    "users.conversations": 3,
    "usergroups.users.list": 2,
    "usergroups.list": 2,
    "views.open": 4,
    "views.update": 4,
    "views.push": 4,
    "views.publish": 4,
    "reactions.add": 3,
    "reactions.remove": 2,
    "reactions.get": 3,
    "files.getUploadURLExternal": 4,
    "files.completeUploadExternal": 4,
    "files.info": 4,
    "bots.info": 3,
    "team.info": 3,
}


class Buckets:
    """Token buckets by key. `scale` multiplies every rate; 0 switches the limits off."""

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale
        self._levels: dict[tuple[str, ...], tuple[float, float]] = {}

    def take(self, app: str, method: str, channel: str) -> int:
        """0 where the call may go on, else the whole seconds to wait (Retry-After)."""
        if method == "chat.postMessage":
            return self._drain((app, method, channel), POST_PER_SECOND, POST_BURST)
        tier = TIERS.get(method)
        if tier is None:
            return 0
        per_minute = TIER_PER_MINUTE[tier]
        return self._drain((app, method), per_minute / 60, per_minute)

    def _drain(self, key: tuple[str, ...], rate: float, burst: float) -> int:
        if self._scale <= 0:
            return 0
        rate *= self._scale
        burst *= max(self._scale, 1)
        now = time.monotonic()
        level, since = self._levels.get(key, (burst, now))
        level = min(burst, level + (now - since) * rate)
        if level >= 1:
            self._levels[key] = (level - 1, now)
            return 0
        self._levels[key] = (level, now)
        return max(1, math.ceil((1 - level) / rate))
