"""Run a Python config file: its variables are the config."""

from __future__ import annotations
import __future__

import ast
import copy
import re
import types
from collections.abc import Callable
from typing import Any

from mmseg.config.templates import BASE_KEY, MARKER, Source, base_paths, find_templates, template_text
from mmseg.utils.errors import UserError


def parse_python(source: Source) -> tuple[ast.Module, list[re.Match[str]]]:
    """Parse a file whose templates are replaced by names, on the same lines."""
    templates = find_templates(source)
    pieces, end = [], 0
    for i, template in enumerate(templates):
        pieces += [source.text[end : template.start()], f"_mmseg_template_{i}_"]
        end = template.end()
    try:
        return ast.parse("".join([*pieces, source.text[end:]]), source.name), templates
    except SyntaxError as error:
        lines = source.text.splitlines()
        line = error.lineno or 1
        shown = f": `{lines[line - 1].strip()}`" if line <= len(lines) else ""
        raise UserError(f"{source.name}, line {line}: syntax error: {error.msg}{shown}") from error
    except (ValueError, MemoryError) as error:  # a null byte; brackets without end
        reason = str(error) or "it is nested too deep"
        raise UserError(f"{source.name}: not a Python file: {reason}") from error
    except RecursionError as error:
        raise _too_deep(source) from error


def _too_deep(source: Source) -> UserError:
    return UserError(f"{source.name}: not a Python file: it is nested too deep")


def python_base(tree: ast.Module, templates: list[re.Match[str]], source: Source) -> tuple[str, ...]:
    """The value of ``_base_``, found by running the file down to its assignment."""

    def too_early(path: str, where: str) -> Any:
        raise UserError(f"{where}: {{{{{BASE_KEY}.{path}}}}} stands before `{BASE_KEY}` is set")

    for i, statement in enumerate(tree.body):
        stored = (n for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
        if any(n.id == BASE_KEY for n in stored):
            try:
                head = copy.deepcopy(ast.Module(body=tree.body[: i + 1], type_ignores=[]))
            except RecursionError as error:  # copying takes more levels than parsing
                raise _too_deep(source) from error
            return base_paths(run_python(head, templates, source, too_early).get(BASE_KEY, ()), source)
    return ()


def run_python(
    tree: ast.Module,
    templates: list[re.Match[str]],
    source: Source,
    reference: Callable[[str, str], Any],
) -> dict[str, Any]:
    """Fill in the templates, run the file and return its variables."""
    filler = _Filler(templates, source, reference)
    if templates:
        try:
            tree = ast.fix_missing_locations(filler.visit(tree))
        except RecursionError as error:
            raise _too_deep(source) from error
    values = _execute(tree, templates, source, filler.references)
    return {k: v for k, v in values.items() if k not in filler.references and not _is_machinery(v)}


def _is_machinery(value: Any) -> bool:
    """Whether a variable is what imports and helpers leave behind: a module, function, class, ..."""
    return callable(value) or isinstance(value, (types.ModuleType, __future__._Feature))


def _execute(
    tree: ast.Module, templates: list[re.Match[str]], source: Source, names: dict[str, Any]
) -> dict[str, Any]:
    """Run a parsed file and return its namespace; an exception becomes one line with its place."""
    namespace = {"__name__": "__config__", "__file__": source.path or source.name, **names}
    code = None
    try:
        code = compile(tree, source.name, "exec", dont_inherit=True)
        exec(code, namespace)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if code is None and isinstance(error, RecursionError):
            raise _too_deep(source) from error
        line, frame = getattr(error, "lineno", None) or 1, error.__traceback__
        while frame is not None:
            if frame.tb_frame.f_code.co_filename == source.name:
                line = frame.tb_lineno
            frame = frame.tb_next
        message = MARKER.sub(lambda m: templates[int(m[1])][0], str(error))
        what = f"{type(error).__name__}: {' '.join(message.split())}"
        raise UserError(f"{source.name}, line {line}: {what}") from error
    return namespace


class _Filler(ast.NodeTransformer):
    """Put what the templates stand for in the place of their markers."""

    def __init__(self, templates: list[re.Match[str]], source: Source, reference: Callable[[str, str], Any]):
        self.templates = templates
        self.source = source
        self.reference = reference
        self.references: dict[str, Any] = {}  # marker -> value of the bases

    def _value(self, index: int) -> Any:
        template = self.templates[index]
        if template["base"]:
            return self.reference(template["base"], self.source.at(template.start()))
        return template_text(template, self.source)

    def _fill(self, text: str) -> str:
        return MARKER.sub(lambda m: str(self._value(int(m[1]))), text)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        found = MARKER.fullmatch(node.id)
        if found is None:
            return node
        template = self.templates[int(found[1])]
        value = self._value(int(found[1]))
        if template["base"]:
            self.references[node.id] = value
            return node
        if template["file"]:
            return ast.copy_location(ast.Constant(value), node)
        try:
            expression = ast.parse(value.strip(), mode="eval").body
        except SyntaxError as error:
            raise UserError(
                f"{self.source.at(template.start())}: {template[0]} stands for `{value}`, which is no Python "
                "expression; write quotes around it if it is text"
            ) from error
        for part in ast.walk(expression):
            ast.copy_location(part, node)
        return expression

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not isinstance(node.value, str) or not MARKER.search(node.value):
            return node
        found = MARKER.fullmatch(node.value)
        if found and self.templates[int(found[1])]["base"]:
            return self.visit_Name(ast.copy_location(ast.Name(node.value, ast.Load()), node))
        return ast.copy_location(ast.Constant(self._fill(node.value)), node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return node if isinstance(node.value, ast.Constant) else self.generic_visit(node)  # a docstring

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        for part in node.values:
            if isinstance(part, ast.Constant):
                part.value = self._fill(part.value)  # always text: the other parts are formatted values
            else:
                self.visit(part)
        return node
