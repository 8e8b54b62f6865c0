"""Ways to run a chapter away from a checkout: the Colab cell, Binder's files, the buttons of a page."""

import os
import re
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import colab
import notebooks
import pytest
import yaml
from book_extension import outcome_hash
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parent.parent
BOOK = notebooks.chapters()
ADDRESS = "https://github.com/owner/name"


def colab_cell(chapter: notebooks.Chapter) -> notebooks.Cell:
    cells = notebooks.cells_of(chapter.notebook, "code")
    assert cells[0]["id"] == colab.CELL_ID, "python tools/colab.py puts the cell in front of the first code"
    return cells[0]


# The cell -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("chapter", BOOK, ids=lambda chapter: chapter.path.stem)
def test_every_chapter_begins_with_the_cell(chapter: notebooks.Chapter) -> None:
    cell = colab_cell(chapter)
    folder = chapter.path.parent.relative_to(ROOT).as_posix()
    assert notebooks.source(cell) == colab.cell_source(folder), "run `python tools/colab.py`"
    assert cell["metadata"]["tags"] == ["remove-cell"], "the page does not show it"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], list[list[str]]]:
    """Run a cell; return the commands that it would have run."""

    def execute(source: str) -> list[list[str]]:
        commands: list[list[str]] = []

        def fake_run(command: list[str], *, check: bool) -> None:
            assert check, "a step that fails has to stop the cell"
            commands.append(command)
            if command[0] == "git":
                (tmp_path / "vae-book" / "book" / "1-part").mkdir(parents=True)

        monkeypatch.setattr(subprocess, "run", fake_run)
        monkeypatch.chdir(tmp_path)
        exec(source.replace("/content/", f"{tmp_path}/"), {})
        return commands

    return execute


@pytest.fixture
def on_colab(monkeypatch: pytest.MonkeyPatch) -> None:
    google, module = types.ModuleType("google"), types.ModuleType("google.colab")
    google.colab = module  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "google", google)
    monkeypatch.setitem(sys.modules, "google.colab", module)


def test_elsewhere_the_cell_does_nothing(run: Any, tmp_path: Path) -> None:
    assert run(colab.cell_source("book/1-part", ADDRESS, "published")) == []
    assert Path.cwd() == tmp_path
    assert list(tmp_path.iterdir()) == []


def test_on_colab_it_fetches_the_book_and_goes_to_the_chapter(
    run: Any, on_colab: None, tmp_path: Path
) -> None:
    source = colab.cell_source("book/1-part", ADDRESS, "published")
    clone, install = run(source)
    home = str(tmp_path / "vae-book")
    assert clone[:2] == ["git", "clone"]
    assert clone[-2:] == [ADDRESS, home]
    assert "--branch=published" in clone
    assert install[1:4] == ["-m", "pip", "install"]
    assert install[-2:] == [home, "myst-nb"]
    assert Path.cwd() == tmp_path / "vae-book" / "book" / "1-part"
    assert run(source) == [install], "a second run fetches nothing again"


def test_on_colab_a_copy_without_an_address_says_so(run: Any, on_colab: None) -> None:
    with pytest.raises(RuntimeError, match="does not know where the book is"):
        run(colab.cell_source("book/1-part"))


def test_what_the_chapters_import_is_there_on_colab() -> None:
    """vae_lib brings what pyproject.toml lists; myst-nb is named in the cell; the rest Colab has."""
    text = (ROOT / "pyproject.toml").read_text()
    brought = set(re.findall(r'^    "([a-z-]+)>=', text, flags=re.MULTILINE)) | {"myst_nb", "vae_lib"}
    names = {"scikit-learn": "sklearn"}
    known = {names.get(name, name) for name in brought} | {"scipy", "ipywidgets", "comm", "IPython"}
    for chapter in BOOK:
        for cell in notebooks.cells_of(chapter.notebook, "code"):
            if cell["id"] == colab.CELL_ID:
                continue
            for module in re.findall(
                r"^\s*(?:import|from) (\w+)", notebooks.source(cell), flags=re.MULTILINE
            ):
                assert module in known | sys.stdlib_module_names, f"{chapter.path.name} imports {module}"


def test_the_address_is_filled_in_and_nothing_else_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "book" / "1-part"
    folder.mkdir(parents=True)
    (tmp_path / "_toc.yml").write_text("root: book/index\nchapters:\n- file: book/1-part/one\n")
    path = folder / "one.ipynb"
    shutil.copy(BOOK[0].path, path)
    monkeypatch.setattr(colab, "ROOT", tmp_path)
    assert colab.main([]) == 0
    once = path.read_text(encoding="utf-8")
    assert colab.main([]) == 0
    assert path.read_text(encoding="utf-8") == once
    assert colab.main([ADDRESS, "published"]) == 0
    filled = path.read_text(encoding="utf-8")
    changed = [
        pair for pair in zip(once.splitlines(), filled.splitlines(), strict=True) if pair[0] != pair[1]
    ]
    assert len(changed) == 1
    assert f'\\"{ADDRESS}\\", \\"published\\"' in changed[0][1]
    assert colab.main(["only one"]) == 2


# Binder -------------------------------------------------------------------------------------------


def test_binder_installs_what_a_reader_installs(tmp_path: Path) -> None:
    assert re.fullmatch(r"python-3\.1\d\n", (ROOT / "binder" / "runtime.txt").read_text())
    script = ROOT / "binder" / "postBuild"
    assert os.access(script, os.X_OK)
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\necho "$@"\n')
    fake.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    said = subprocess.run([script], env=environment, capture_output=True, text=True, check=True).stdout
    for word in ("install", "requirements.txt", "constraints.txt"):
        assert word in said


# The buttons --------------------------------------------------------------------------------------


def build(folder: Path, repository: str) -> BeautifulSoup:
    """The page of a small chapter, from a book that is configured as ours is."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    config["execute"] = {"execute_notebooks": "off"}
    config["sphinx"]["local_extensions"] = dict.fromkeys(
        config["sphinx"]["local_extensions"], str(ROOT / "tools")
    )
    (folder / "book" / "1-part").mkdir(parents=True)
    for name in ("vae_lib", "requirements.txt", "constraints.txt"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "book" / "_static").symlink_to(ROOT / "book" / "_static")
    (folder / "book" / "references.bib").symlink_to(ROOT / "book" / "references.bib")
    (folder / "_config.yml").write_text(yaml.safe_dump(config))
    (folder / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nchapters:\n- file: book/1-part/01-one\n"
    )
    (folder / "book" / "index.md").write_text("# Home\n")
    cell = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": "# One"}
    chapter = {
        "cells": [cell],
        "metadata": {"kernelspec": notebooks.KERNEL},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (folder / "book" / "1-part" / "01-one.ipynb").write_text(notebooks.written(chapter))
    environment = os.environ | {
        "BOOK_REPOSITORY": repository,
        "BOOK_BRANCH": "published",
        "PYTHONPATH": str(ROOT),
    }
    program = Path(sys.executable).with_name("jupyter-book")
    done = subprocess.run([program, "build", folder], env=environment, capture_output=True, text=True)
    page = folder / "_build" / "html" / "book" / "1-part" / "01-one.html"
    assert page.exists(), done.stdout + done.stderr
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


def addresses(page: BeautifulSoup) -> list[str]:
    return [str(link["href"]) for link in page.select(".article-header-buttons a[href]")]


@pytest.mark.slow
def test_the_buttons_open_the_published_chapter(tmp_path: Path) -> None:
    found = addresses(build(tmp_path, f"{ADDRESS}.git"))
    path = "book/1-part/01-one.ipynb"
    assert f"https://colab.research.google.com/github/owner/name/blob/published/{path}" in found
    binder = next(address for address in found if "mybinder.org" in address)
    assert binder.startswith("https://mybinder.org/v2/gh/owner/name/published?")
    assert path in binder
    assert ADDRESS in found
    assert f"../../_sources/{path}" in found


@pytest.mark.slow
def test_without_an_address_only_the_download_is_left(tmp_path: Path) -> None:
    assert addresses(build(tmp_path, "")) == ["../../_sources/book/1-part/01-one.ipynb"]


@pytest.mark.parametrize(
    "changed",
    ["book/3-building/bench.json", "vae_lib/a.py", "vae_lib/data_files/b.gz", "constraints.txt"],
)
def test_what_a_chapter_reads_makes_its_outputs_old(tmp_path: Path, changed: str) -> None:
    for name in ("book/3-building/bench.json", "vae_lib/a.py", "vae_lib/data_files/b.gz",
                 "requirements.txt", "constraints.txt", "README.md"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before")
    before = outcome_hash(tmp_path)
    (tmp_path / "README.md").write_text("after")
    assert outcome_hash(tmp_path) == before
    (tmp_path / changed).write_text("after")
    assert outcome_hash(tmp_path) != before
