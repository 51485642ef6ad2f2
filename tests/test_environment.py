"""The set-up files agree with each other and with what the code imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import mmseg

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()

# Distributions whose import name is not their own.
IMPORT_NAMES = {
    "opencv-python-headless": "cv2",
    "pillow": "PIL",
    "pyyaml": "yaml",
    "cityscapesscripts": "cityscapesscripts",
}
# These come with a named requirement: torchvision and huggingface_hub with timm, filelock with torch.
BROUGHT_ALONG = {"torchvision", "huggingface_hub", "filelock"}


def distribution(requirement: str) -> str:
    """Return the lower-case name of the distribution in ``name[extra]>=1.0``."""
    return re.match(r"[\w.-]+", requirement)[0].lower()


def imported_packages(folder: str) -> dict[str, set[str]]:
    """Return the top-level packages that the files below ``folder`` import, each with the files."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            for name in names:
                found.setdefault(name.partition(".")[0], set()).add(str(path.relative_to(ROOT)))
    return found


def test_conda_and_pip_name_the_same_packages() -> None:
    environment = yaml.safe_load((ROOT / "environment-linux.yml").read_text())
    plain = [item for item in environment["dependencies"] if isinstance(item, str)]
    (pip,) = [item["pip"] for item in environment["dependencies"] if isinstance(item, dict)]
    assert pip[-1] == "-e ."
    assert pip[:-1] == PROJECT["dependencies"]
    assert f"python{PROJECT['requires-python']}" in plain
    assert "pip" in plain


def test_version_is_read_from_the_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert PROJECT["dynamic"] == ["version"]
    assert settings["dynamic"]["version"] == {"attr": "mmseg.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", mmseg.__version__)


@pytest.mark.parametrize("folder", ["mmseg", "tools", "bridge"])
def test_every_import_is_a_named_requirement(folder: str) -> None:
    extras = PROJECT["optional-dependencies"]
    named = [*PROJECT["dependencies"], *(r for name, group in extras.items() for r in group if name != "dev")]
    known = {IMPORT_NAMES.get(d, d.replace("-", "_")) for d in map(distribution, named)}
    known |= BROUGHT_ALONG | {"mmseg", "bridge"} | set(sys.stdlib_module_names)
    unknown = {name: files for name, files in imported_packages(folder).items() if name not in known}
    assert unknown == {}


def test_no_index_is_written_into_the_set_up() -> None:
    for name in ("Makefile", "pyproject.toml", "environment-linux.yml", ".ci/run", ".pre-commit-config.yaml"):
        text = (ROOT / name).read_text()
        assert not re.search(r"--(extra-)?index-url|--find-links|https?://", text), name


def test_ci_runs_make_test() -> None:
    script = ROOT / ".ci/run"
    lines = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
    assert script.stat().st_mode & 0o111
    assert lines[0] == "set -euo pipefail"
    assert lines[-1] == "exec make test"
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.parametrize("target", ["demo", "test", "test-slow", "lint", "env", "clean", "help"])
def test_every_target_explains_itself(target: str) -> None:
    assert re.search(rf"^{target}:.* ## \S", MAKEFILE, re.MULTILINE)
    assert target in re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split()


def test_the_demo_of_the_makefile_is_there() -> None:
    config = re.search(r"^DEMO_CONFIG := (\S+)$", MAKEFILE, re.MULTILINE)[1]
    assert (ROOT / config).is_file()


def test_folders_for_data_and_weights_say_what_goes_there() -> None:
    ignored = (ROOT / ".gitignore").read_text().split()
    for folder in ("data", "checkpoints"):
        assert (ROOT / folder / "README.md").is_file()
        assert {f"/{folder}/*", f"!/{folder}/README.md"} <= set(ignored)
