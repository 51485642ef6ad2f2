"""Read the text of a config without running it: for configs that came inside a checkpoint.

A config file is a program, and who starts it has chosen it. The text in a checkpoint's ``meta`` came along
with weights, of which nothing may run. What is saved there is resolved: names and values, nothing to compute.
"""

from __future__ import annotations

import ast
from typing import Any

from mmseg.config.config import Config
from mmseg.config.size import check_size
from mmseg.utils.errors import UserError


def literal_config(text: str, name: str) -> Config:
    """Return the config that ``text`` writes out.

    Args:
        text: Lines ``key = value`` in Python; values are numbers, text, None, booleans, lists, tuples, sets
            and dictionaries (``dict(a=1)`` too). ``custom_imports`` stay what they are: nothing is imported.
        name: What to call it in messages.

    Raises:
        UserError: it is no Python, or holds something else than values.
    """
    try:
        tree = ast.parse(text, name)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise UserError(
            f"{name} is no config: {' '.join(str(error).split())}; give one with --config"
        ) from None
    values: dict[str, Any] = {}
    try:
        for statement in tree.body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue  # a docstring
            target = statement.targets[0] if isinstance(statement, ast.Assign) else None
            if not isinstance(target, ast.Name) or len(statement.targets) != 1:
                raise _Program(statement)
            values[target.id] = _value(statement.value)
        check_size(values, name)
    except _Program as error:
        line, what = getattr(error.node, "lineno", 1), type(error.node).__name__
        raise UserError(
            f"{name}, line {line}: a config inside a checkpoint may only hold values, and this is a program"
            f" ({what}), which is not run; give a config that you trust with --config"
        ) from None
    except RecursionError:
        raise UserError(f"{name} is no config: it is nested too deep; give one with --config") from None
    return Config(values, cfg_text=text)


class _Program(Exception):
    def __init__(self, node: ast.AST) -> None:
        self.node = node


def _value(node: ast.AST) -> Any:
    if isinstance(node, ast.Constant) and not isinstance(node.value, bytes):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        items = [_value(part) for part in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    if isinstance(node, ast.Dict):
        return _pairs(node, [(key, value) for key, value in zip(node.keys, node.values, strict=True)])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        number = _value(node.operand)
        if type(number) in (int, float):
            return -number if isinstance(node.op, ast.USub) else number
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id == "dict" and not node.args:
            keywords = [(k.arg and ast.Constant(k.arg), k.value) for k in node.keywords]
            return _pairs(node, keywords)
        if node.func.id == "float" and len(node.args) == 1 and not node.keywords:
            word = _value(node.args[0])
            if word in ("inf", "-inf", "nan", "infinity"):
                return float(word)
    raise _Program(node)


def _pairs(node: ast.AST, pairs: list[tuple[ast.AST | None, ast.AST]]) -> dict[Any, Any]:
    made: dict[Any, Any] = {}
    for key, part in pairs:
        value = _value(part)
        if key is None:  # **
            if not isinstance(value, dict):
                raise _Program(node)
            made.update(value)
            continue
        name = _value(key)
        if not isinstance(name, str | int | float | bool | None | tuple):
            raise _Program(node)
        try:
            made[name] = value
        except TypeError:  # a tuple with a list in it
            raise _Program(node) from None
    return made
