"""Every mistake in a config file is one line that names the file, the place and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmseg.config import Config
from mmseg.utils.errors import UserError
from tests.helpers_config import BASE, error_of, write


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_missing_file_names_near_matches() -> None:
    write(configs__segformer_b0="a = 1\n")
    assert "did you mean `segformer_b0.py`?" in error_of("configs/segfromer_b0.py")
    assert "there is no folder confgs" in error_of("confgs/a.py")
    assert error_of("configs") == "configs is a folder, not a config file"


def test_a_missing_base_names_the_file_that_asks() -> None:
    write(sub__mid="_base_ = '../models/a.py'\n")
    message = error_of(write(top="_base_ = 'sub/mid.py'\n"))
    assert message.startswith("config file models/a.py, the `_base_` of sub/mid.py, does not exist")


def test_a_cyclic_base_shows_the_chain() -> None:
    write(a="_base_ = 'sub/b.py'\n", sub__b="_base_ = ['c.py']\n", sub__c="_base_ = '../a.py'\n")
    assert error_of("a.py") == "cyclic `_base_`: a.py -> sub/b.py -> sub/c.py -> a.py"


def test_a_key_in_two_bases_names_key_and_files() -> None:
    write(sub__a="x = 1\ny = 2\n", sub__b="y = 2\nz = 3\n")
    message = error_of(write(c="_base_ = ['sub/a.py', 'sub/b.py']\n"))
    assert message.startswith("c.py: its bases sub/a.py and sub/b.py both define `y`;")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a = 1\nb = dict(x=1\n\nc = 2\n",
            "a.py, line 2: syntax error: '(' was never closed: `b = dict(x=1`",
        ),
        ("a = 1\n  b = 2\n", "a.py, line 2: syntax error: unexpected indent: `b = 2`"),
        ("a = 1\nreturn a\n", "a.py, line 2: SyntaxError: 'return' outside function"),
        ("a = '\0'\n", "null bytes"),
        ("def f():\n    return 1 / 0\n\nx = f()\n", "a.py, line 2: ZeroDivisionError: division by zero"),
        ("a = {}\n\nb = a['k']\n", "a.py, line 3: KeyError: 'k'"),
        ("raise ValueError('two\\nlines')\n", "a.py, line 1: ValueError: two lines"),
        ("import not_installed\n", "a.py, line 1: ModuleNotFoundError: No module named 'not_installed'"),
        ("a = {{$NAME}}\n", "a.py, line 1: {{$NAME}}: the environment has no `NAME`"),
        (
            "\na = {{$NAME:/b c}}\n",
            "a.py, line 2: {{$NAME:/b c}} stands for `/b c`, which is no Python expression",
        ),
        ("a = x_{{$NAME:b}}\n", "a.py, line 1: NameError: name 'x_{{$NAME:b}}' is not defined"),
        ("a = {{_base_.b}}\n", "a.py, line 1: {{_base_.b}}, but the file has no `_base_`"),
        (
            "a = {{_base_.num}}\n_base_ = 'base.py'\n",
            "a.py, line 1: {{_base_.num}} stands before `_base_` is set",
        ),
        ("_base_ = 'base.py'\na = {{_base_.naem}}\n", "the bases have no `naem`; did you mean `name`?"),
        (
            "_base_ = 'base.py'\na = {{_base_.norm.menn}}\n",
            "the bases have no `menn` in `norm`; did you mean `mean`?",
        ),
        ("_base_ = 'base.py'\na = {{_base_.norm.mean.2}}\n", "the bases have no `2` in `norm.mean`"),
        (
            "_base_ = 'base.py'\nnum = dict(a=1)\n",
            "a.py: `num` is `19`, so `a` cannot be set in it; `_delete_=True`",
        ),
        (
            "_base_ = 'base.py'\nnorm = dict(mean=dict(a=1))\n",
            "`norm.mean` is a list of 2, so `a` cannot be set",
        ),
        ("_base_ = 'base.py'\nnorm = dict(_delete_='yes')\n", "`norm._delete_` is True or False, not 'yes'"),
        ("new = [dict(_delete_=1)]\n", "a.py: `new.0._delete_` is True or False, not 1"),
        ("_delete_ = True\n", "a.py: `_delete_` stands at the top level"),
        ("_base_ = 3\n", "a.py: `_base_` is a path or a list of paths, not 3"),
        ("text = 1\n", "a.py: `text` is reserved"),
    ],
)
def test_mistakes_in_python_files(text: str, message: str) -> None:
    write(base=BASE)
    assert message in error_of(write(a=text))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "a: 1\nb: [1\nc: 2\n", "a.yaml, line 3: invalid YAML: expected"),
        (
            "a.yml",
            "a: 1\nb: !!python/object:os.system x\n",
            "a.yml, line 2: invalid YAML: could not determine",
        ),
        ("a.yaml", "- 1\n", "a.yaml: a config is a mapping of keys to values, not a list"),
        ("a.json", '{"a": 1,\n "b": }\n', "a.json, line 2: invalid JSON: Expecting value"),
        ("a.json", "[1]", "a.json: a config is a mapping of keys to values, not a list"),
        (
            "a.json",
            '{"_base_": "base.py",\n "a": {{_base_.nun}}}',
            "a.json, line 2: {{_base_.nun}}: the bases have",
        ),
        ("a.yaml", "a: 1\nb: {{$NAME}}\n", "a.yaml, line 2: {{$NAME}}: the environment has no `NAME`"),
        ("a.toml", "a = 1\n", "a.toml: a config file ends in .py, .yaml, .yml, .json, not in `.toml`"),
    ],
)
def test_mistakes_in_other_files(name: str, text: str, message: str) -> None:
    write(base=BASE)
    assert message in error_of(write(**{name.replace(".", "_DOT_"): text}))


def test_mistakes_in_text() -> None:
    with pytest.raises(UserError, match="ends in .py, .yaml, .yml, .json, not in `.txt`"):
        Config.fromstring("a = 1", "txt")
    with pytest.raises(UserError, match="line 2: {{ fileDirname }}: this config comes from a string"):
        Config.fromstring("a = 1\nb = '{{ fileDirname }}'", ".py")


def test_a_file_that_is_no_text() -> None:
    path = write(a="")
    path.write_bytes(b"a = '\xff\xfe'\n")
    assert "config file a.py cannot be read: " in error_of(path)


def test_a_byte_order_mark_is_no_mistake() -> None:
    path = write(a="")
    path.write_bytes(b"\xef\xbb\xbfa = 1\r\nb = 2\r\n")
    assert Config.fromfile(path) == {"a": 1, "b": 2}
