"""Time zones by their IANA names, from the system's database or the `tzdata` package."""

import re
from datetime import tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# https://data.iana.org/time-zones/theory.html#naming: letters, digits and a few signs in at most three parts.
_NAME_RE = re.compile(r"[A-Za-z0-9_+-]{1,30}(?:/[A-Za-z0-9_+-]{1,30}){0,2}")


@lru_cache(maxsize=1_000)
def zone_named(name: str) -> tzinfo | None:
    """The zone, `None` if there is none of this name."""
    if _NAME_RE.fullmatch(name) is None:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None
