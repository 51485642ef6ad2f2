"""Whether the values of a config are of a size that somebody wrote: no loops, no billions of aliases."""

from __future__ import annotations

from typing import Any

from mmseg.utils.errors import UserError

MAX_VALUES = 1_000_000
MAX_DEPTH = 60


def check_size(values: dict[str, Any], name: str) -> None:
    """Refuse values that would never end, or fill the memory, once they are copied.

    In YAML a line may name an earlier one any number of times, so that ten lines become a billion values.

    Args:
        values: What the file ``name`` says.

    Raises:
        UserError: a value holds itself, is nested too deep, or unfolds to too many.
    """
    done: dict[int, int] = {}  # id of a container: how many values it unfolds to; 0 while it is open

    def visit(value: Any, depth: int) -> int:
        if not isinstance(value, (dict, list, tuple)) or not value:
            return 1
        known = done.get(id(value))
        if known == 0:
            raise UserError(f"{name}: a value holds itself; write it out without the loop")
        if known is not None:
            return known
        if depth > MAX_DEPTH:
            raise UserError(f"{name}: values are nested more than {MAX_DEPTH} deep; check the brackets")
        done[id(value)] = 0
        parts = value.values() if isinstance(value, dict) else value
        count = 1 + sum(visit(part, depth + 1) for part in parts)
        if count > MAX_VALUES:
            raise UserError(f"{name}: it unfolds to more than {MAX_VALUES:,} values; write fewer aliases")
        done[id(value)] = count
        return count

    try:
        visit(values, 0)
    except RecursionError:  # deep inside somebody's program
        raise UserError(f"{name}: values are nested too deep; check the brackets") from None
