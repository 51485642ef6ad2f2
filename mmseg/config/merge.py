"""Merge the values of one config into another: what a file says over what its bases say."""

from __future__ import annotations

from typing import Any

from mmseg.utils.errors import UserError

DELETE_KEY = "_delete_"


def merge(child: dict[str, Any], base: Any, *, where: str, key: str = "", list_keys: bool = False) -> Any:
    """Return ``base`` with the values of ``child``: dictionaries merge, everything else replaces.

    Args:
        child: The newer values. ``_delete_=True`` in a dictionary makes it replace the base's.
        base: A dictionary or, with ``list_keys``, a list or tuple.
        where: What to name in messages: the child's file.
        key: The dotted path of ``base``.
        list_keys: Whether keys of digits are indices where the base has a list.

    Raises:
        UserError: a dictionary meets something that is none, an index is out of range, or ``_delete_``
            is no boolean.
    """
    merged = list(base) if isinstance(base, (list, tuple)) else dict(base)
    for name, value in child.items():
        path = f"{key}.{name}" if key else str(name)
        name = _existing_key(base, name, path, where)
        if not isinstance(value, dict):
            merged[name] = strip_delete(value, path, where)
            continue
        exists = isinstance(merged, list) or name in merged
        if not exists or _deletes(value, path, where):
            merged[name] = strip_delete(value, path, where)
            continue
        value = {k: v for k, v in value.items() if k != DELETE_KEY}
        old = merged[name]
        if not isinstance(old, dict) and not (list_keys and isinstance(old, (list, tuple))):
            remedy = f"; `{DELETE_KEY}=True` in it replaces the value" if not list_keys else ""
            raise UserError(
                f"{where}: `{path}` is {_describe(old)}, so {_keys(value)} cannot be set in it{remedy}"
            )
        merged[name] = merge(value, old, where=where, key=path, list_keys=list_keys)
    return tuple(merged) if isinstance(base, tuple) else merged


def _existing_key(holder: Any, name: Any, path: str, where: str) -> Any:
    """``name`` as a key of the dictionary or an index of the list that ``holder`` is."""
    digits = isinstance(name, str) and name.isdecimal()
    if isinstance(holder, dict):
        return int(name) if digits and name not in holder and int(name) in holder else name
    parent = path.rpartition(".")[0]
    if not digits or int(name) >= len(holder):
        span = f"0 to {len(holder) - 1}" if holder else "none, it is empty"
        raise UserError(f"{where}: `{path}`: `{parent}` is {_describe(holder)}; its indices are {span}")
    return int(name)


def _deletes(value: dict[str, Any], path: str, where: str) -> bool:
    delete = value.get(DELETE_KEY, False)
    if not isinstance(delete, bool):
        raise UserError(f"{where}: `{path}.{DELETE_KEY}` is True or False, not {delete!r}")
    return delete


def strip_delete(value: Any, path: str, where: str) -> Any:
    """Return ``value`` without ``_delete_`` at any depth: there is nothing below it to delete."""
    if isinstance(value, dict):
        _deletes(value, path, where)
        return {k: strip_delete(v, f"{path}.{k}", where) for k, v in value.items() if k != DELETE_KEY}
    if type(value) in (list, tuple):
        return type(value)(strip_delete(v, f"{path}.{i}", where) for i, v in enumerate(value))
    return value


def _describe(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"a {type(value).__name__} of {len(value)}"
    plain = value is None or isinstance(value, (bool, int, float, str))
    return f"`{value!r}`" if plain else f"a {type(value).__name__}"


def _keys(value: dict[str, Any]) -> str:
    return ", ".join(f"`{k}`" for k in value) or "keys"
