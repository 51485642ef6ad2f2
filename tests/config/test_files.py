"""Config files: bases, references, variables of file and environment, custom imports, and every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmseg.config import Config
from tests.helpers_config import BASE, error_of, write


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# --- bases ---


def test_bases_over_several_levels_and_kinds_of_file() -> None:
    path = write(
        root__deep="a = dict(x=1, y=dict(z=2))\nkept = (1, 2)\n",
        mid_DOT_yaml="_base_: root/deep.py\na: {x: 10}\nb: [1, 2]\n",
        other_DOT_json='{"c": {"d": null, "e": true}}',
        top="_base_ = ['./mid.yaml', 'other.json']\na = dict(y=dict(w=3))\nb = [9]\nc = dict(e=False)\n",
    )
    config = Config.fromfile(path)
    assert config == {
        "a": {"x": 10, "y": {"z": 2, "w": 3}},
        "kept": (1, 2),
        "b": [9],
        "c": {"d": None, "e": False},
    }
    assert config.filename == "top.py"


def test_a_file_of_two_lines_is_its_base() -> None:
    path = write(true_name="a = 1\n", historic="# The name that scripts use.\n_base_ = './true_name.py'\n")
    assert Config.fromfile(path) == Config.fromfile("true_name.py")


def test_delete_replaces_the_base_at_any_depth() -> None:
    path = write(
        base="opt = dict(type='SGD', lr=1, inner=dict(a=1, b=2))\n",
        child="_base_ = 'base.py'\nopt = dict(lr=2, inner=dict(_delete_=True, c=dict(_delete_=True, d=3)))\n"
        "new = dict(_delete_=True, e=[dict(_delete_=True, f=1)])\n",
    )
    assert Config.fromfile(path) == {
        "opt": {"type": "SGD", "lr": 2, "inner": {"c": {"d": 3}}},
        "new": {"e": [{"f": 1}]},
    }


def test_delete_false_merges() -> None:
    path = write(base="a = dict(b=1)\n", child="_base_ = 'base.py'\na = dict(_delete_=False, c=2)\n")
    assert Config.fromfile(path).a == dict(b=1, c=2)


def test_files_share_no_value() -> None:
    path = write(a="step = dict(type='A')\npipeline = [step, step]\ndata = dict(pipeline=pipeline)\n")
    config = Config.fromfile(path)
    config.data.pipeline[0].type = "B"
    assert config.pipeline[0].type == config.step.type == config.data.pipeline[1].type == "A"


# --- Python files ---


def test_python_files_use_python() -> None:
    path = write(
        a="""
from __future__ import annotations
import math
from collections import OrderedDict
from functools import partial
from math import sqrt
from typing import Any, Optional

def double(x: Optional[int]) -> Any:
    return factor * x

class Helper:
    pass

factor = 2
half = partial(double, 3)
values = [double(i) for i in range(3)]
root = sqrt(16)
_private = OrderedDict(pi=int(math.pi))
__hidden = 1
where = __file__
"""
    )
    assert Config.fromfile(path) == {
        "factor": 2,
        "values": [0, 2, 4],
        "root": 4.0,
        "_private": {"pi": 3},
        "where": "a.py",
    }


def test_bare_totals_stay_as_they_are() -> None:
    config = Config.fromfile(write(a="total_iters = 100\n"))
    assert config.total_iters == 100 and "runner" not in config


# --- references to bases ---


def test_references_are_values_in_python_expressions() -> None:
    path = write(
        base=BASE,
        child="""_base_ = './base.py'  # {{_base_.unused}}
plain = {{_base_.num}}
maths = {{ _base_.num }} * 2 + 1
spread = dict(type='Normalize', **{{_base_.norm}})
steps = [dict(size={{_base_.norm.inner.k}}), ({{_base_.norm.mean.1}},)]
quoted = '{{_base_.num}}'
folder = 'runs/{{ _base_.name }}_{{_base_.num}}'
formatted = f"{plain}-{{_base_.name}}"
def helper():
    return {{_base_.norm}}['inner']
called = helper()
""",
    )
    config = Config.fromfile(path)
    expected = {
        "plain": 19,
        "maths": 39,
        "spread": {"type": "Normalize", "mean": [1, 2], "inner": {"k": (3, 4)}},
        "steps": [{"size": (3, 4)}, (2,)],
        "quoted": 19,
        "folder": "runs/kitti_19",
        "formatted": "19-kitti",
        "called": {"k": (3, 4)},
    }
    assert {key: config[key] for key in expected} == expected
    assert set(config) == {*expected, "num", "name", "norm"}


def test_a_reference_is_a_copy_of_what_the_base_says() -> None:
    path = write(
        base=BASE, child="_base_ = 'base.py'\nnorm = dict(mean=0)\nold = {{_base_.norm}}\nold['x'] = 1\n"
    )
    config = Config.fromfile(path)
    assert config.norm.mean == 0 and "x" not in config.norm
    assert config.old.mean == [1, 2] and config.old.x == 1


@pytest.mark.parametrize(
    "base_line",
    ["_base_ = ['base.py']", "stem = 'base'\n_base_ = [f'{stem}.py']", "_base_ = '{{$STEM:base}}.py'"],
)
def test_the_base_may_be_computed(base_line: str) -> None:
    config = Config.fromfile(write(base=BASE, child=f"{base_line}\ndouble = 2 * {{{{_base_.num}}}}\n"))
    assert config.double == 38


def test_references_in_yaml_and_json() -> None:
    write(base=BASE)
    yaml = write(
        a_DOT_yaml="_base_: base.py\na: {{_base_.norm.inner}}\nb: '{{_base_.num}}'\n"
        "c: run_{{ _base_.name }}\nd: [{{_base_.num}}, 2]\n"
    )
    json = write(
        b_DOT_json='{"_base_": "base.py", "a": {{_base_.norm.inner}}, "b": "{{_base_.num}}",\n'
        '"c": "run_{{ _base_.name }}", "d": [{{ _base_.num }}, 2]}'
    )
    for path in (yaml, json):
        config = Config.fromfile(path)
        assert [config[k] for k in "abcd"] == [{"k": (3, 4)}, 19, "run_kitti", [19, 2]]


# --- variables ---


def test_variables_of_the_file(tmp_path: Path) -> None:
    python = write(
        sub__a="d = '{{ fileDirname }}/x'\nb = '{{fileBasename}}'\ns = {{ fileBasenameNoExtension }}\n"
        "e = '{{ fileExtname }}'\n"
    )
    values = {"d": f"{tmp_path.as_posix()}/sub/x", "b": "a.py", "s": "a", "e": ".py"}
    assert Config.fromfile(python) == values
    assert Config.fromfile(write(sub__b="_base_ = 'a.py'\n")).b == "a.py"  # each file its own
    yaml = write(sub__c_DOT_yaml="d: '{{ fileDirname }}/x'\nb: {{fileBasename}}\ns: c\ne: {{fileExtname}}\n")
    assert Config.fromfile(yaml) == {**values, "b": "c.yaml", "s": "c", "e": ".yaml"}
    raw = Config.fromfile(write(d="b = '{{ fileBasename }}'\n"), use_predefined_variables=False)
    assert raw.b == "{{ fileBasename }}"


def test_variables_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "root = '{{$ROOT:/data}}/kitti'\nn = {{$N:4}}\nq = {{'$N:4'}}\nflag = {{ $FLAG : True }}\n"
    path = write(a=text)
    assert Config.fromfile(path) == {"root": "/data/kitti", "n": 4, "q": 4, "flag": True}
    monkeypatch.setenv("ROOT", 'C:\\new\'s "data"')
    monkeypatch.setenv("N", "[1, 2]")
    config = Config.fromfile(path)
    assert config.root == 'C:\\new\'s "data"/kitti'
    assert config.n == config.q == [1, 2]
    yaml = write(b_DOT_yaml="n: {{$N:4}}\nm: '{{$M:4}}'\nk: {{$M:4}}\n")
    assert Config.fromfile(yaml) == {"n": [1, 2], "m": "4", "k": 4}
    json = write(c_DOT_json='{"n": {{$N:4}}, "root": "{{$ROOT:x}}/kitti"}')
    assert Config.fromfile(json) == {"n": [1, 2], "root": 'C:\\new\'s "data"/kitti'}


def test_lines_of_errors_are_those_of_the_file() -> None:
    write(base=BASE)
    message = error_of(
        write(a="_base_ = 'base.py'\nx = {{_base_.norm}}\ny = '{{$V:abc}}'\n\nz = undefined\n")
    )
    assert message == "a.py, line 5: NameError: name 'undefined' is not defined"


# --- text ---


@pytest.mark.parametrize(
    ("text", "suffix"),
    [("a = dict(b=(1, 2))", ".py"), ("a: {b: [1, 2]}", "yaml"), ('{"a": {"b": [1, 2]}}', ".json")],
)
def test_fromstring(text: str, suffix: str) -> None:
    config = Config.fromstring(text, suffix)
    assert list(config.a.b) == [1, 2] and config.filename is None and text in config.text


def test_fromstring_finds_bases_in_the_working_folder() -> None:
    write(sub__base=BASE)
    assert Config.fromstring("_base_ = 'sub/base.py'\nx = {{_base_.num}}", ".py").x == 19


def test_yaml_reads_exponents_and_tuples() -> None:
    config = Config.fromstring("lr: 1e-5\nt: !!python/tuple [1, 2]\nname: 1e5x\nempty:\n", ".yaml")
    assert config == {"lr": 1e-5, "t": (1, 2), "name": "1e5x", "empty": None}
    assert len(Config.fromstring("", ".yaml")) == 0
