"""The chapters are in order, and every check of tools/notebooks.py can fail."""

import copy
import json
from pathlib import Path
from typing import Any

import notebooks
import pytest
from notebooks import Chapter, Notebook

BOOK = notebooks.chapters()


@pytest.mark.parametrize("chapter", BOOK, ids=lambda chapter: chapter.path.stem)
def test_chapter_is_in_order(chapter: Chapter) -> None:
    problems = [problem for check in notebooks.CHECKS for problem in check(chapter.notebook)]
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.parametrize("chapter", BOOK, ids=lambda chapter: chapter.path.stem)
def test_chapter_is_tidy(chapter: Chapter) -> None:
    tidied = copy.deepcopy(chapter.notebook)
    notebooks.tidy(tidied)
    assert notebooks.written(tidied) == chapter.path.read_text(encoding="utf-8"), "run `make tidy`"


def test_every_notebook_is_in_the_contents() -> None:
    assert BOOK, "_toc.yml names no notebook"
    assert not notebooks.stray_notebooks()


def test_labels_are_unique_in_the_book() -> None:
    assert not notebooks.check_labels(BOOK)


# The checks themselves: a good chapter passes them all, and each one catches its own mistake. -----


def markdown(cell_id: str, text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": cell_id, "metadata": {}, "source": text}


def code(cell_id: str, text: str, **metadata: Any) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": cell_id,
        "metadata": metadata,
        "source": text,
        "outputs": [],
        "execution_count": None,
    }


def exercise(number: int) -> dict[str, Any]:
    return markdown(
        f"exercise-{number}",
        f":::{{exercise}} Say why\n:label: ex-sample-{number}\n\nWhy is it so?\n:::\n\n"
        f":::{{solution}} ex-sample-{number}\n:class: dropdown\n\nBecause.\n:::",
    )


FIGURE = {
    "tags": ["hide-input"],
    "mystnb": {
        "figure": {"caption": "The line rises.", "name": "fig-sample-line"},
        "image": {"alt": "A line that rises from left to right."},
    },
}


def good_chapter() -> Notebook:
    return {
        "cells": [
            markdown(
                "title",
                "(ch-sample)=\n# A sample\n\nWhat is a sample, and how would one be told from another?",
            ),
            markdown(
                "you-will-learn",
                ":::{admonition} You will learn\n:class: learn\n\n- a thing\n:::\n\n"
                ":::{admonition} Before you start\n:class: prerequisites\n\n40 minutes.\n:::",
            ),
            markdown("claim", "## A claim\n\n$$\n1 + 1 = 2\n$$ (eq-sample-sum)\n"),
            markdown("check-sum", ":::{admonition} Check it\n:class: check\nIt adds up.\n:::"),
            code("check-sum-code", "assert 1 + 1 == 2"),
            code("figure-line", "%matplotlib inline\nplt.plot([1, 2]);", **copy.deepcopy(FIGURE)),
            markdown("exercises", "## Exercises"),
            *[exercise(number) for number in range(1, 5)],
            markdown("summary", "## Summary\n\n- It adds up."),
            markdown("further-reading", "## Further reading\n\n{cite:t}`kingma2014auto`"),
        ],
        "metadata": {"kernelspec": {"name": "python3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def cell(notebook: Notebook, cell_id: str) -> dict[str, Any]:
    return next(found for found in notebook["cells"] if found["id"] == cell_id)


def test_a_good_chapter_passes() -> None:
    assert [problem for check in notebooks.CHECKS for problem in check(good_chapter())] == []


def replaced(cell_id: str, old: str, new: str) -> Notebook:
    notebook = good_chapter()
    target = cell(notebook, cell_id)
    assert old in target["source"]
    target["source"] = target["source"].replace(old, new)
    return notebook


def with_cell(cell_id: str, **values: Any) -> Notebook:
    notebook = good_chapter()
    cell(notebook, cell_id).update(values)
    return notebook


def without_figure(*path: str) -> Notebook:
    notebook = good_chapter()
    place = cell(notebook, "figure-line")["metadata"]
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return notebook


def with_kernel(name: str) -> Notebook:
    return good_chapter() | {"metadata": {"kernelspec": {"name": name}}}


PAST_THE_GATES = ":::{exercise-start}\n:label: ex-sample-4\n:::\n\nWhy?"
BROKEN = [
    (notebooks.check_stripped, with_cell("check-sum-code", execution_count=3), "make tidy"),
    (notebooks.check_stripped, with_cell("check-sum-code", outputs=[{}]), "make tidy"),
    (notebooks.check_ids, with_cell("claim", id="3f2a91bc"), "words-like-these"),
    (notebooks.check_ids, with_cell("claim", id="0b1c-44"), "words-like-these"),
    (notebooks.check_ids, with_cell("claim", id="Qx7_aZ"), "words-like-these"),
    (notebooks.check_ids, with_cell("claim", id="summary"), "used twice"),
    (notebooks.check_kernel, with_kernel("my-venv"), "'my-venv'"),
    (notebooks.check_code_length, with_cell("check-sum-code", source="x = 1\n" * 26), "26 lines"),
    (notebooks.check_opening, replaced("title", "# A sample", "A sample"), "title"),
    (notebooks.check_opening, replaced("title", ", and how would one be told from another?", ""), "question"),
    (notebooks.check_opening, replaced("you-will-learn", "class: learn", "class: tip"), "learn"),
    (notebooks.check_opening, replaced("you-will-learn", "prerequisites", "tip"), "Before you"),
    (notebooks.check_opening, replaced("you-will-learn", "40 minutes", "A while"), "how many"),
    (notebooks.check_exercises, with_cell("exercise-4", source="Why?"), "3 exercises"),
    (notebooks.check_exercises, replaced("exercise-4", ":class: dropdown", ""), "fold"),
    (notebooks.check_exercises, replaced("exercise-4", "{solution}", "{note}"), "0 solutions"),
    (notebooks.check_exercises, replaced("exercise-4", ":label: ex-", ":label: "), "`:label: ex-"),
    (notebooks.check_exercises, replaced("exercise-4", "} ex-sample-4", "} ex-4"), "'ex-4'"),
    (notebooks.check_exercises, with_cell("exercise-4", source=PAST_THE_GATES), "exercise-end"),
    (notebooks.check_closing, replaced("summary", "Summary", "Recap"), "Summary"),
    (notebooks.check_closing, replaced("exercises", "Exercises", "Tasks"), "Exercises"),
    (notebooks.check_closing, replaced("further-reading", "{cite:t}", ""), "cites nothing"),
    (notebooks.check_figures, without_figure("mystnb", "figure", "caption"), "caption"),
    (notebooks.check_figures, without_figure("mystnb", "figure", "name"), "fig-"),
    (notebooks.check_figures, without_figure("mystnb", "image", "alt"), "alt"),
    (notebooks.check_figures, without_figure("tags"), "hide-input"),
    (notebooks.check_figures, without_figure("mystnb"), "caption"),
    (
        notebooks.check_figures,
        with_cell("check-sum-code", source="vl.plotting.image_grid(x)\nassert x"),
        "check-sum-code draws",
    ),
    (notebooks.check_figures, replaced("figure-line", "]);", "])"), "`;`"),
    (notebooks.check_check_cells, with_cell("check-sum-code", source="print(2)"), "assert it"),
    (notebooks.check_prose, with_cell("claim", source="It is Clearly so."), "'Clearly'"),
    (notebooks.check_prose, replaced("exercise-2", "Because", "Trivial"), "'Trivial'"),
]


@pytest.mark.parametrize(
    ("check", "notebook", "says"),
    BROKEN,
    ids=[f"{check.__name__}-{index}" for index, (check, _, _) in enumerate(BROKEN)],
)
def test_a_mistake_is_caught(check: Any, notebook: Notebook, says: str) -> None:
    assert any(says in problem for problem in check(notebook)), check(notebook)


def test_every_check_is_seen_to_fail() -> None:
    assert {check for check, _, _ in BROKEN} == set(notebooks.CHECKS)


@pytest.mark.parametrize(
    "text",
    ["$simply$", "`simply`", "```python\nsimply = 1\n```", "$$\nclearly\n$$ (eq-a-b)"],
)
def test_code_and_mathematics_are_no_prose(text: str) -> None:
    assert notebooks.check_prose(with_cell("claim", source=text)) == []


@pytest.mark.parametrize(
    "text",
    ["def show():\n    plt.plot([1])", "vl.plotting.use_style()", "optimizer.step()", "model.sample(4)"],
)
def test_what_draws_nothing_is_no_figure(text: str) -> None:
    assert not notebooks.draws(text)


def test_a_label_defined_twice_is_caught() -> None:
    other = replaced("claim", "eq-sample-sum", "fig-sample-line")
    problems = notebooks.check_labels([Chapter(Path("one.ipynb"), other)])
    assert len(problems) == 1
    assert "fig-sample-line" in problems[0]


def test_a_notebook_outside_the_contents_is_caught(tmp_path: Path) -> None:
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/one\n")
    (tmp_path / "book").mkdir()
    for name in ("one", "two"):
        (tmp_path / "book" / f"{name}.ipynb").write_text(json.dumps(good_chapter()))
    assert [chapter.path.stem for chapter in notebooks.chapters(tmp_path)] == ["one"]
    assert ["two.ipynb" in problem for problem in notebooks.stray_notebooks(tmp_path)] == [True]


def test_tidying_names_new_cells_and_keeps_the_others() -> None:
    notebook = good_chapter()
    cell(notebook, "claim")["id"] = "3f2a91bc"
    cell(notebook, "check-sum-code").update(id="77aa00ff", execution_count=2, outputs=[{}])
    cell(notebook, "figure-line")["metadata"]["collapsed"] = True
    notebooks.tidy(notebook)
    ids = [found["id"] for found in notebook["cells"]]
    assert ids[:6] == [
        "title", "you-will-learn", "a-claim", "check-sum", "a-claim-code", "figure-line"
    ]  # fmt: skip
    assert not notebooks.check_stripped(notebook)
    assert not notebooks.check_ids(notebook)
    assert cell(notebook, "figure-line")["metadata"] == FIGURE
    once = notebooks.written(notebook)
    notebooks.tidy(notebook)
    assert notebooks.written(notebook) == once
