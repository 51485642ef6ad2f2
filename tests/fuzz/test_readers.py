"""A short fuzz with a fixed seed, and what longer ones have found."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmseg.config import Config
from mmseg.config.options import parse_value
from mmseg.utils.errors import UserError
from tests.fuzz.readers import READERS, fuzz

CASES = {"yaml": 150, "json": 400, "python": 300, "options": 300, "checkpoint": 300}


@pytest.mark.parametrize("kind", READERS)
def test_damaged_input_gives_a_result_or_one_clear_error(kind: str, tmp_path: Path) -> None:
    cases, findings = fuzz(kind, tmp_path, seed=1, stop=lambda done: done >= CASES[kind])
    assert cases == CASES[kind]
    assert not findings, "\n".join(f"{f.case}: {f.what}\n{f.trace}" for f in findings[:3])


def test_the_fuzzer_notices_what_it_is_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_self: object, _content: bytes) -> None:
        import os

        os.system("true")

    monkeypatch.setattr("tests.fuzz.readers.Reader.read", run)
    _, findings = fuzz("yaml", tmp_path, seed=1, stop=lambda done: done >= 1)
    assert [f.what.split()[:3] for f in findings] == [["it", "did", "os.system"]]

    def fail(_self: object, _content: bytes) -> None:
        raise KeyError("x")

    monkeypatch.setattr("tests.fuzz.readers.Reader.read", fail)
    _, findings = fuzz("yaml", tmp_path, seed=1, stop=lambda done: done >= 1)
    assert [f.what for f in findings] == ["KeyError: 'x'"]


FOUND = {
    # Text that looks like the toolbox's own marks, where the file has references.
    "marker.json": ('{"a": "_mmseg_template_7_", "b": "{{ fileDirname }}"}', "a name of the toolbox's own"),
    "marker.py": ("a = '_mmseg_template_7_'\nb = '{{ fileDirname }}'\n", "a name of the toolbox's own"),
    # Brackets without end: the parsers of Python, JSON and YAML give up each in its own way.
    "deep.py": ("a = " + "-" * 100_000 + "1", "not a Python file"),
    "base.py": ("_base_ = [" + "- " * 1500 + "1]", "nested too deep"),
    "template.py": ("a = " + "-" * 1500 + "1\nb = '{{ fileDirname }}'\n", "nested too deep"),
    "deep2.py": ("a = " + "[" * 90 + "]" * 90, "nested more than 60 deep"),
    "deep.json": ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", "invalid JSON"),
    "deep.yaml": ("a: " + "[" * 1200 + "]" * 1200, "invalid YAML"),
    "deep2.yaml": ("a: " + "[" * 90 + "]" * 90, "nested more than 60 deep"),
    # Aliases: a value in itself, and ten lines that unfold to ten billion values.
    "loop.yaml": ("a: &a [1, *a]\n", "a value holds itself"),
    "loop.py": ("a = []\na.append(a)\n", "a value holds itself"),
    "laughs.yaml": (
        "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 11)),
        "unfolds to more than 1,000,000 values",
    ),
    # Values that a tag promises and the text does not keep.
    "date.yaml": ("a: 2001-99-99\n", "invalid YAML: a value cannot be read"),
    "bool.yaml": ("a: !!bool x\n", "invalid YAML: a value cannot be read"),
    "int.yaml": ("a: !!int x\n", "invalid YAML: a value cannot be read"),
    "number.json": ('{"a": ' + "9" * 5000 + "}", "invalid JSON"),
    "tag.yaml": ("a: !!python/object/apply:os.system [x]\n", "invalid YAML"),
    # A program that ends the process.
    "exit.py": ("raise SystemExit(0)\n", "SystemExit"),
}


@pytest.mark.parametrize("file", FOUND)
def test_what_fuzzing_found_in_configs(file: str, tmp_path: Path) -> None:
    content, words = FOUND[file]
    (tmp_path / file).write_text(content)
    with pytest.raises(UserError) as caught:
        Config.fromfile(tmp_path / file)
    assert words in str(caught.value) and file in str(caught.value)


def test_what_fuzzing_found_in_overrides() -> None:
    config = Config({"a": {"b": 1}})
    with pytest.raises(UserError, match="its key has 301 parts, more than 60"):
        config.merge_from_dict({"a." + "b." * 299 + "c": 1})
    with pytest.raises(UserError, match="nested more than 60 deep"):
        value: object = 1
        for _ in range(90):
            value = [value]
        config.merge_from_dict({"a.b": value})
    assert config.a.b == 1


def test_an_override_that_is_a_set_of_lists_stays_text() -> None:
    assert parse_value("{[1]}", "a") == "{[1]}"
