"""The instructor's guide: its minutes add up, and it leaves out no chapter and no live figure."""

import re
from pathlib import Path

import notebooks
import pytest

ROOT = Path(__file__).resolve().parent.parent
GUIDE = ROOT / "book" / "appendix" / "teaching.md"
TEXT = GUIDE.read_text(encoding="utf-8")
CHAPTERS = {chapter.path.name: chapter for chapter in notebooks.chapters(ROOT)}


def reading_minutes(chapter: notebooks.Chapter) -> int:
    text = "\n".join(notebooks.source(cell) for cell in chapter.notebook["cells"])
    return int(re.findall(r"\*\*Reading:\*\* (\d+) minutes", text)[0])


def all_labels() -> list[str]:
    return [label for chapter in CHAPTERS.values() for label in notebooks.labels_of(chapter.notebook)]


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def sessions(text: str) -> list[tuple[str, int, list[int]]]:
    """Name of each session, its length as announced, and the minutes of its rows."""
    found = re.findall(r"^\*\*([^*\n]+), (\d+) minutes\*\*\n\n((?:\|.*\n)+)", text, flags=re.MULTILINE)
    return [
        (name, int(total), [int(row) for row in re.findall(r"^\| (\d+) \|", table, flags=re.MULTILINE)])
        for name, total, table in found
    ]


@pytest.mark.parametrize("session", sessions(TEXT), ids=lambda session: session[0])
def test_the_minutes_of_a_session_add_up(session: tuple[str, int, list[int]]) -> None:
    name, total, rows = session
    assert sum(rows) == total, f"{name}: {sum(rows)} minutes in {total}"


def test_there_are_six_weeks_and_two_days() -> None:
    assert [name for name, _, _ in sessions(section("Six weeks"))] == ["Lecture", "Lab"] * 6
    assert [name for name, _, _ in sessions(section("Two days"))] == ["Day 1", "Day 2"]


def test_reading_times_are_those_of_the_chapters_and_no_chapter_is_left_out() -> None:
    named = []
    for minutes, links in re.findall(r"\*\*Reading at home, (\d+) minutes:\*\*((?:.|\n)+?)\n\n", TEXT):
        names = re.findall(r"\]\(\.\./[\w-]+/([\w-]+\.ipynb)\)", links)
        assert sum(reading_minutes(CHAPTERS[name]) for name in names) == int(minutes), links
        named += names
    assert named == list(CHAPTERS)


@pytest.mark.parametrize("title", ["What students can do afterwards", "Wrong ideas, and what mends them"])
def test_every_chapter_has_its_objectives_and_wrong_ideas(title: str) -> None:
    assert re.findall(r"\]\(\.\./[\w-]+/([\w-]+\.ipynb)\)", section(title)) == list(CHAPTERS)


def test_every_live_figure_is_there_with_its_question() -> None:
    labels = [
        label for c in CHAPTERS.values() for label in notebooks.labels_of(c.notebook) if "-live" in label
    ]
    shown = section("Nine figures to show live")
    assert sorted(re.findall(r"^\d\. .*?`(fig-[\w-]+)`", shown, flags=re.MULTILINE)) == sorted(labels)
    assert shown.count("*Ask:*") == shown.count("*Then:*") == len(labels) == 9


@pytest.mark.parametrize(
    ("title", "total"), [("Rubric for a derivation", 6), ("Rubric for the research project", 20)]
)
def test_the_points_of_a_rubric_add_up(title: str, total: int) -> None:
    assert (
        sum(int(points) for points in re.findall(r"^\| (\d+) \|", section(title), flags=re.MULTILINE))
        == total
    )


def test_exercises_that_are_named_exist() -> None:
    assert not set(re.findall(r"`((?:ex|fig)-[\w-]+)`", TEXT)) - set(all_labels())


def test_tables_have_three_columns_at_most() -> None:
    assert all(row.count("|") <= 4 for row in TEXT.splitlines() if row.startswith("|"))
