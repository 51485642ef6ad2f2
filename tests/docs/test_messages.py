"""The messages that the pages quote are those of the code, and the keys that they list are the known ones."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator

import pytest

from mmseg.config import keys
from mmseg.utils.errors import UserError
from tests.docs.markdown import PAGES, ROOT, prose_of, relative

GAP = "\0"  # a formatted value within a message


def quoted_messages() -> list[tuple[str, str]]:
    """The first cells of tables with a column ``message``, as (place, text)."""
    found = []
    for page in PAGES:
        column = None
        for number, line in prose_of(page):
            cells = cells_of(line)
            if not cells:
                column = None
            elif "message" in cells:
                column = cells.index("message")
            elif column is not None and not set(line) <= set("|-: "):
                found.append((f"{relative(page)}:{number}", cells[column]))
    return found


def cells_of(line: str) -> list[str]:
    """The cells of a line of a table; none if it is not one."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []


@functools.cache
def templates() -> list[str]:
    """Every text of the code that is no docstring, with gaps where values are formatted in."""
    texts = []
    for folder in ("mmseg", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
            texts += [text for text in texts_of(tree, docs) if len(text) > 8]
    return texts


def texts_of(tree: ast.AST, docs: set[int]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(v.value if isinstance(v, ast.Constant) else GAP for v in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield re.sub(r"%[sdrf]", GAP, node.value)


def matches(pattern: str, template: str) -> bool:
    """Whether the pieces of ``pattern`` between its ``...`` follow one another in ``template``."""
    at = 0
    pieces = re.split(r"\.\.\.(?!\.)", pattern)  # of `custom_hooks....: x` the first dot is the message's own
    for piece in filter(None, (p.strip(" `") for p in pieces)):
        found = template.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return True


def constant_letters(pattern: str) -> int:
    return sum(c.isalpha() for c in pattern)


@pytest.mark.parametrize(("place", "cell"), quoted_messages(), ids=lambda value: str(value)[:60])
def test_quoted_message_is_in_the_code(place: str, cell: str) -> None:
    found = re.fullmatch(r"`(.+)`", cell)
    assert found, f"{place}: a message stands in backticks: {cell}"
    pattern = found[1]
    assert constant_letters(pattern) >= 6, f"{place}: `{pattern}` says too little"
    assert any(matches(pattern, template) for template in templates()), f"{place}: no code says `{pattern}`"


def test_most_messages_are_quoted() -> None:
    """The troubleshooting page has nearly every message of a ``UserError``, alone or by its kind."""
    patterns = [c.strip("`") for place, c in quoted_messages() if place.startswith("docs/troubleshooting.md")]
    said = [text for text in user_errors() if constant_letters(text) >= 6]
    missing = [text for text in said if not any(matches(pattern, text) for pattern in patterns)]
    shown = "\n".join(text.replace(GAP, "...") for text in missing)
    assert len(missing) < 0.1 * len(said), f"docs/troubleshooting.md lacks, among others:\n{shown}"


def user_errors() -> list[str]:
    """The messages that ``UserError`` is given, with gaps where values are formatted in."""
    found = []
    for path in (*(ROOT / "mmseg").rglob("*.py"), *(ROOT / "tools").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "UserError" and node.args:
                found += list(texts_of(ast.Expression(node.args[0]), set()))[:1]
    return found


def test_an_invented_message_is_found_out() -> None:
    assert not any(matches("the weather ... is too cold for training", t) for t in templates())
    assert matches("the mask ... holds ... values", "the mask \0 holds \0 values; a mask holds")
    assert not matches("holds ... the mask", "the mask \0 holds \0")


def section_of(name: str) -> str:
    """The text below the heading ``name`` of docs/configs.md, up to the next of the same level."""
    text = (ROOT / "docs" / "configs.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(name)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/configs.md has no section `{name}`"
    return found[1]


def known_keys() -> dict[str, set[str]]:
    """The keys that ``mmseg/config/keys.py`` knows, by the section of the page that has to name them."""
    found: dict[str, set[str]] = {REST: set(keys.TOP_LEVEL), "optimizer": set(keys.PARAM_MULTIPLIERS)}
    for path, known in keys.SECTIONS.items():
        found.setdefault(home(path), set()).update(known)
    for path, (_, variants) in keys.VARIANTS.items():
        found.setdefault(home(path), set()).update(*variants.values())
    found["fp16"].update(keys.LOSS_SCALE)
    for name in (
        "TextLoggerHook",
        "CsvLoggerHook",
        "TensorboardLoggerHook",
        "WandbLoggerHook",
        "MMSegWandbHook",
    ):
        found["log_config"].update(keys.LOG_HOOKS[name] - {"type"})
    return found


REST = "Everything else"
HOMES = {"customized_log_config": "log_config", "dist_params": REST, "custom_imports": REST}


def home(path: str) -> str:
    first = path.partition(".")[0]
    return HOMES.get(first, first)


@pytest.mark.parametrize("section", sorted(known_keys()))
def test_known_keys_are_documented(section: str) -> None:
    text = all_of_configs() if section == REST else section_of(section)
    own = set(re.findall(r"^## (\w+)$", text, re.MULTILINE))  # what has a section needs no mention
    missing = [key for key in sorted(known_keys()[section] - own) if not names(text, key)]
    assert missing == [], f"docs/configs.md, section `{section}`, does not name these keys"


def names(text: str, key: str) -> bool:
    return re.search(rf"`[^`\n]*\b{re.escape(key)}\b[^`\n]*`", text) is not None


def all_of_configs() -> str:
    return (ROOT / "docs" / "configs.md").read_text(encoding="utf-8")


def test_documented_keys_are_known() -> None:
    """The first cells of the tables of a section with fixed keys name no key that nothing knows."""
    for path in ("evaluation", "checkpoint_config", "ema", "early_stopping", "fp16", "profiler_config"):
        for line in section_of(path).splitlines():
            cells = cells_of(line)
            names = re.findall(r"`(\w+)`", cells[0]) if cells else []
            known = keys.SECTIONS[path] | (keys.LOSS_SCALE if path == "fp16" else frozenset())
            assert set(names) <= known, f"{path}: {set(names) - known}"


def test_a_table_of_moved_names_is_true() -> None:
    """The right column of ``Where things moved`` names things that can be imported."""
    import importlib

    text = (ROOT / "docs" / "from_mmsegmentation_0x.md").read_text(encoding="utf-8")
    table = text.partition("## Where things moved")[2].partition("\n## ")[0]
    names = [
        n for line in table.splitlines() for n in re.findall(r"`([\w.]+\.\w+)`", (cells_of(line) or [""])[-1])
    ]
    assert len(names) > 15
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_error_is_one_line_with_status_2() -> None:
    """What the top of the troubleshooting page says of errors."""
    import subprocess
    import sys

    command = [sys.executable, "tools/print_config.py", "configs/no_such_file.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 2
    assert re.fullmatch(r"error: config file \S+ does not exist.*\n", done.stderr)
    assert issubclass(UserError, ValueError)
