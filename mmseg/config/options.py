"""Values on the command line: ``--cfg-options a.b=1 c.0.d="[1,2]"``."""

from __future__ import annotations

import argparse
import ast
import logging
from collections.abc import Sequence
from typing import Any

from mmseg.utils.errors import UserError

BRACKETS = {"(": ")", "[": "]", "{": "}"}


class DictAction(argparse.Action):
    """Parse ``a.b=1 c.0.d="[1,2]" e="(1,2)" f=None g=True h=x,y`` into ``{'a.b': 1, 'c.0.d': [1, 2], ...}``.

    Values are None, true or false, integers, floats, text, or lists and tuples of them, nested at will;
    ``x,y`` is a list, ``{...}`` a dictionary written in Python. Given twice, the later keys win.
    ``--options``, the old name of ``--cfg-options``, warns.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        if option_string == "--options":
            logging.getLogger("mmseg").warning("--options is deprecated; use --cfg-options")
        options = dict(getattr(namespace, self.dest, None) or {})
        for item in [values] if isinstance(values, str) else values or []:
            key, equals, value = item.partition("=")
            where = f"{option_string or self.dest}: `{item}`"
            if not equals or not key:
                raise UserError(f"{where} is not of the form key=value")
            options[key] = parse_value(value, where)
        setattr(namespace, self.dest, options)


def parse_value(text: str, where: str) -> Any:
    """Parse the value of one command line option (see :class:`DictAction`).

    Raises:
        UserError: it is a list of some kind whose brackets do not match; ``where`` names the option.
    """
    text = text.strip().strip("'\"").strip()
    if text[:1] not in BRACKETS and "," not in text:
        return _parse_scalar(text)
    parts, enclosed = _split(text, where)
    if enclosed and text[0] == "{":
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError):  # TypeError: a set of lists
            return text
    if not enclosed and len(parts) == 1:
        return _parse_scalar(text)
    if enclosed:
        parts, _ = _split(text[1:-1], where)
    if not parts[-1].strip():  # nothing between the brackets, or after a last comma
        parts.pop()
    values = [parse_value(part, where) for part in parts]
    return tuple(values) if enclosed and text[0] == "(" else values


def _parse_scalar(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"true": True, "false": False}.get(text.lower(), None if text == "None" else text)


def _split(text: str, where: str) -> tuple[list[str], bool]:
    """Split at the commas outside brackets; also tell whether one pair of brackets encloses it all."""
    parts: list[str] = []
    awaited: list[str] = []  # the closing brackets, innermost last
    start = 0
    enclosed = text[0] in BRACKETS if text else False
    for i, char in enumerate(text):
        if char in BRACKETS:
            awaited.append(BRACKETS[char])
        elif char in BRACKETS.values():
            if not awaited or awaited.pop() != char:
                raise UserError(f"{where}: the brackets of `{text}` do not match")
        elif char == "," and not awaited:
            parts.append(text[start:i])
            start = i + 1
        enclosed = enclosed and (bool(awaited) or i == len(text) - 1)
    if awaited:
        raise UserError(f"{where}: the brackets of `{text}` do not match")
    return [*parts, text[start:]], enclosed
