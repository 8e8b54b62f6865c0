"""The book without solutions: a small book is built by Sphinx, and no trace of an answer is left in it."""

import json
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import build as build_tool
import notebooks
import pytest
import solutions

ROOT = Path(__file__).resolve().parent.parent
CONF = """
extensions = ["myst_nb", "sphinx_exercise", "solutions"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
nb_execution_mode = "off"
exclude_patterns = ["html", "jupyter_execute"]
numfig = True
html_sourcelink_suffix = ""
"""
# Words that stand in the solutions and nowhere else.
SECRETS = (
    "albatross",
    "bullfinch",
    "chaffinch",
    "dunnock",
    "egretcode",
    "fulmarprint",
    "sol-first",
    "sol-gated",
)
KEPT = ("wagtail", "yellowhammer", "kestrelcode", "Explained title")


def markdown(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def code(text: str, printed: str = "", tags: tuple[str, ...] = ()) -> dict[str, Any]:
    output = {"output_type": "stream", "name": "stdout", "text": printed}
    return {
        "cell_type": "code",
        "execution_count": 1,
        "metadata": {"tags": list(tags)},
        "outputs": [output] if printed else [],
        "source": text,
    }


CELLS = [
    markdown(
        "# Birds\n\nA wagtail. See {ref}`sol-first`, {ref}`Explained title <sol-gated>`, {eq}`eq-secret`"
        " and [](#sol-first).\n\n```{exercise} One\n:label: ex-first\n\nAsk.\n```\n\n"
        "```{solution} ex-first\n:label: sol-first\n:class: dropdown\n\nThe albatross.\n\n"
        "$$ a = b $$ (eq-secret)\n```\n\nA yellowhammer."
    ),
    markdown("```{exercise-start} Two\n:label: ex-gated\n```"),
    code("kestrelcode = 1"),
    markdown("```{exercise-end}\n```"),
    markdown("```{solution-start} ex-gated\n:label: sol-gated\n:class: dropdown\n```\n\nA bullfinch."),
    code("egretcode = 2", "fulmarprint", ("solution",)),
    markdown("A chaffinch."),
    markdown("```{solution-end}\n```"),
    code("dunnock = 3", "", ("solution",)),
    markdown("## The end"),
]


def notebook() -> dict[str, Any]:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    cells = [{"id": f"cell-{i}", **cell} for i, cell in enumerate(CELLS)]
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def build(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    (folder / "conf.py").write_text(CONF)
    (folder / "index.ipynb").write_text(json.dumps(notebook()))
    (folder / "other.md").write_text("---\norphan: true\n---\n\n# Other\n\nBack to {ref}`sol-gated`.\n")
    variables = {k: v for k, v in os.environ.items() if not k.startswith("BOOK_")}
    return subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", str(folder), str(folder / "html")],
        env=variables | environment | {"PYTHONPATH": str(ROOT / "tools")},
        capture_output=True,
        text=True,
        check=False,
    )


def words_found(site: Path, words: tuple[str, ...]) -> set[str]:
    """Which of the words stand in any file of the site that readers can load, or in its name."""
    texts = [
        f"{path.name} {path.read_bytes().decode('utf-8', 'ignore')}".lower()
        for path in site.rglob("*")
        if path.is_file() and ".doctrees" not in path.parts
    ]
    return {word for word in words if any(word.lower() in text for text in texts)}


@pytest.mark.slow
def test_the_switch_leaves_no_trace(tmp_path: Path) -> None:
    shown = build(tmp_path / "shown", BOOK_SOLUTIONS="")
    assert shown.returncode == 0, shown.stderr
    assert words_found(tmp_path / "shown" / "html", SECRETS) == set(SECRETS)

    hidden = build(tmp_path / "hidden", BOOK_SOLUTIONS="hide")
    assert hidden.returncode == 0, hidden.stderr
    site = tmp_path / "hidden" / "html"
    assert not words_found(site, SECRETS)
    assert words_found(site, KEPT) == set(KEPT)
    inventory = zlib.decompress((site / "objects.inv").read_bytes().split(b"zlib.\n", 1)[1])
    assert b"sol-" not in inventory
    assert (site / "index.html").read_text().count(solutions.LEFT_OUT) == 3
    assert "ex-first" in (site / "index.html").read_text()
    offered = json.loads((site / "_sources" / "index.ipynb").read_text())
    assert [cell["id"] for cell in offered["cells"]] == ["cell-0", "cell-1", "cell-2", "cell-3", "cell-9"]


def test_turning_the_switch_renders_every_page_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search index of the other edition would keep the words of the solutions."""
    monkeypatch.delenv("BOOK_SOLUTIONS", raising=False)
    shown = build_tool.fingerprint(ROOT)
    monkeypatch.setenv("BOOK_SOLUTIONS", "hide")
    assert build_tool.fingerprint(ROOT) != shown


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"BOOK_SOLUTIONS": "hidden"}, "has to be 'show'"),
        (
            {"BOOK_SOLUTIONS": "hide", "BOOK_REPOSITORY": "https://example.org/a/b"},
            "Build without BOOK_REPOSITORY",
        ),
    ],
)
def test_a_wish_that_cannot_be_granted_is_refused(
    tmp_path: Path, environment: dict[str, str], sentence: str
) -> None:
    refused = build(tmp_path / "book", **environment)
    assert refused.returncode != 0
    assert sentence in refused.stderr


@pytest.mark.parametrize("chapter", notebooks.chapters(ROOT), ids=lambda c: c.path.stem)
def test_every_solution_of_the_book_is_cut(chapter: notebooks.Chapter) -> None:
    kept, gone = solutions.cut_notebook(chapter.notebook)
    text = "\n".join(notebooks.source(cell) for cell in kept["cells"])
    assert "{solution" not in text
    assert "BEGIN SOLUTION" not in text
    everything = "\n".join(notebooks.source(cell) for cell in chapter.notebook["cells"])
    assert gone.count("{solution") == everything.count("{solution")
    assert text.count("{exercise}") == everything.count("{exercise}")
    assert "## Summary" in text
