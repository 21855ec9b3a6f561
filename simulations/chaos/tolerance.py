"""Whether what a probe found is within its tolerance, by the Chaos Toolkit's rules.

https://chaostoolkit.org/reference/api/experiment/#steady-state-probe-tolerance.
"""

import re
from collections.abc import Mapping
from typing import Any

from domain.errors import TerminalError


def is_within(tolerance: Any, value: Any) -> bool:  # noqa: ANN401 - JSON, both of them
    """Whether the value fits.

    A number, a text or a boolean is equal; of an HTTP answer the status is. Two numbers in a list are a range, longer
    lists hold what is right. `{"type": "regex", "pattern", "target"?}` and `{"type": "range", "range", "target"?}` look
    at the value, or at the named part of it. Raises `TerminalError` for a tolerance that is none of these.
    """
    match tolerance:
        case bool() | str():
            return bool(value == tolerance)
        case int() | float():
            return bool(_status_of(value) == tolerance)
        case list():
            return _is_in(tolerance, value)
        case {"type": "regex", "pattern": str(pattern), **more}:
            return re.search(pattern, str(_part(value, more))) is not None
        case {"type": "range", "range": [low, high], **more}:
            try:
                return bool(low <= float(_part(value, more)) <= high)
            except (TypeError, ValueError):
                return False
        case _:
            raise TerminalError(f"a tolerance of {tolerance!r} is not understood: a value, a list, a regex or a range")


def _is_in(tolerance: list[Any], value: Any) -> bool:  # noqa: ANN401 - JSON
    if isinstance(value, dict) and "status" in value:
        return value["status"] in tolerance
    if len(tolerance) == 2:
        try:
            return bool(tolerance[0] <= value <= tolerance[1])
        except TypeError:
            return False
    return value in tolerance


def _status_of(value: Any) -> Any:  # noqa: ANN401 - JSON
    return value["status"] if isinstance(value, dict) and "status" in value else value


def _part(value: Any, more: Mapping[Any, Any]) -> Any:  # noqa: ANN401 - JSON
    target = more.get("target")
    return value.get(target, value) if target and isinstance(value, dict) else value
