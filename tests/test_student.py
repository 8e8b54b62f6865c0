"""The student edition: no answer in it, all else as in the book, and it runs past what is to be done."""

import json
import re
from pathlib import Path
from typing import Any

import build
import exercises
import myst
import nbformat
import notebooks
import pytest
import student
from nbclient import NotebookClient
from notebooks import Cell, Chapter, Notebook, source

ROOT = Path(__file__).resolve().parent.parent
BOOK = notebooks.chapters()
FILES = student.edition(ROOT)
SHORTEST_LEAK = 12  # characters; `return z` and `)` are no secrets
# Chapters that train little: their student editions are run from the first cell to the last.
LIGHT = ("02-probability", "03-latent-variable-models")


def edition_of(chapter: Chapter) -> Notebook:
    return json.loads(FILES[chapter.path.relative_to(ROOT).as_posix()])


def with_id(notebook: Notebook) -> dict[str, Cell]:
    return {cell["id"]: cell for cell in notebook["cells"]}


def lines_of(notebook: Notebook) -> set[str]:
    return {line.strip() for cell in notebook["cells"] for line in source(cell).splitlines()}


def answer_lines(notebook: Notebook) -> tuple[set[str], set[str]]:
    """(lines of answers, lines for all to see), by a reading of its own: line by line, without a parser.

    What stands in an exercise's check is neither, so a check that gives the answer away is a leak.
    """
    answers: set[str] = set()
    seen: set[str] = set()
    gate = False
    for cell in notebook["cells"]:
        if gate and "check" in cell["metadata"].get("tags", []):
            continue
        marks = "### BEGIN SOLUTION" in source(cell)
        inside, fence = False, ""
        for line in source(cell).splitlines():
            if cell["cell_type"] == "code":
                inside = (inside or "### BEGIN SOLUTION" in line) and "### END SOLUTION" not in line
                hidden = gate and (inside or not marks)
            else:
                gate = (gate or "{solution-start}" in line) and "{solution-end}" not in line
                if not fence and (opening := re.match(r"(`{3,}|:{3,})\{solution\}", line)):
                    fence = opening[1]
                hidden = gate or bool(fence)
                fence = "" if line.strip() == fence else fence
            (answers if hidden else seen).add(line.strip())
    return answers, seen


SEEN = set.union(*(answer_lines(chapter.notebook)[1] for chapter in BOOK))


@pytest.mark.parametrize("chapter", BOOK, ids=lambda chapter: chapter.path.stem)
def test_no_answer_leaks(chapter: Chapter) -> None:
    answers, _ = answer_lines(chapter.notebook)
    secret = {line for line in answers - SEEN if len(line) >= SHORTEST_LEAK}
    assert len(secret) > 10, "the reading finds no answers"
    for name, content in FILES.items():
        if name.endswith(".ipynb"):
            leaked = secret & lines_of(json.loads(content))
        else:
            leaked = {line for line in secret if line.encode() in content}
        assert not leaked, f"{name} holds lines of answers of {chapter.path.stem}"


def test_no_mark_of_a_solution_is_left() -> None:
    for name, content in FILES.items():
        if name.endswith((".ipynb", ".md")):
            for mark in (b"{solution", b"BEGIN SOLUTION", b"END SOLUTION", b"HIDDEN TESTS"):
                assert mark not in content, name


@pytest.mark.parametrize("chapter", BOOK, ids=lambda chapter: chapter.path.stem)
def test_nothing_refers_to_what_was_taken_out(chapter: Chapter) -> None:
    gone = set(notebooks.labels_of(chapter.notebook)) - set(notebooks.labels_of(edition_of(chapter)))
    assert gone
    for name, content in FILES.items():
        if name.endswith((".ipynb", ".md")):
            referred = {label for label in gone if f"`{label}`".encode() in content}
            assert not referred, f"{name} refers to {referred}, which stands in a solution"


@pytest.mark.parametrize("chapter", BOOK, ids=lambda chapter: chapter.path.stem)
def test_the_rest_is_as_in_the_book(chapter: Chapter) -> None:
    """So the book's build, which executes every chapter, has run the cells before the first stub."""
    notebook = edition_of(chapter)
    nbformat.validate(nbformat.reads(json.dumps(notebook), as_version=4))
    assert not notebooks.check_stripped(notebook)
    answers = {
        chapter.notebook["cells"][number]["id"] for number, _ in exercises.answer_cells(chapter.notebook)
    }
    checks = {chapter.notebook["cells"][e.check]["id"] for e in exercises.code_exercises(chapter.notebook)}
    kept = with_id(notebook)
    for name, cell in with_id(chapter.notebook).items():
        if cell["cell_type"] == "code" and name not in answers:
            assert source(kept[name]) == source(cell)
            assert set(cell["metadata"]) == set(kept[name]["metadata"])
        if cell["cell_type"] == "code" and name not in answers | checks:
            assert kept[name] == cell | {"source": kept[name]["source"]}
        if cell["cell_type"] == "markdown" and "{solution" not in source(cell) and name in kept:
            assert source(kept[name]) == source(cell)
    # Every exercise keeps its statement; every one with code has one place for an answer.
    text = "\n".join(source(cell) for cell in notebook["cells"])
    asked = re.findall(r":label: (ex-\S+)", "\n".join(source(c) for c in chapter.notebook["cells"]))
    assert re.findall(r":label: (ex-\S+)", text) == asked
    places = [cell for cell in notebook["cells"] if cell["id"] in answers]
    assert len(places) == len({label for _, label in exercises.answer_cells(chapter.notebook)})
    for cell in places:
        assert source(cell) == student.EMPTY or "NotImplementedError" in source(cell)


def test_links_and_files_of_the_chapters_are_there() -> None:
    for name, content in FILES.items():
        if not name.endswith(".ipynb"):
            continue
        for cell in json.loads(content)["cells"]:
            if cell["cell_type"] == "markdown":
                linked = re.findall(r"\]\((?!https?:|#)([^)\s#]+)", source(cell))
                linked += re.findall(r"\{(?:figure|image)\} (?!https?:)(\S+)", source(cell))
            else:
                linked = re.findall(r"(?:Path|open)\(\"([\w./-]+\.json)\"", source(cell))
            for link in linked:
                path = (ROOT / name).parent / link
                target = path.resolve().relative_to(ROOT).as_posix()
                assert target in FILES, f"{name} leads to {target}, which is not in the student edition"


@pytest.mark.slow
@pytest.mark.parametrize("stem", LIGHT)
def test_a_chapter_runs_past_its_stubs(stem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in build.kernel_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MPLBACKEND", raising=False)
    student.write(FILES, tmp_path / "student")
    chapter = next(c for c in BOOK if c.path.stem == stem)
    path = tmp_path / "student" / chapter.path.relative_to(ROOT)
    notebook = nbformat.read(path, as_version=4)
    folder = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=folder).execute()
    stubs = exercises.code_exercises(chapter.notebook)
    assert stubs
    checks = {chapter.notebook["cells"][e.check]["id"] for e in stubs}
    failed: dict[str, Any] = {
        cell.id: output.ename
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "error"
    }
    assert set(failed.values()) == {"NotImplementedError"}
    assert checks <= set(failed)
    unfinished = {cell.id for cell in notebook.cells if "NotImplementedError" in cell.source}
    assert set(failed) <= checks | unfinished


# Cutting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Text.\n\n```{solution} ex-a\n:class: dropdown\n\nBecause.\n```\n\nMore.", "Text.\n\n\nMore."),
        (":::{solution} ex-a\nBecause.\n\n```python\nx\n```\n:::", ""),
        ("````{solution} ex-a\n```\nx\n```\n````\nMore.", "More."),
        ("```{solution-start} ex-a\n```\nA\n\n```{solution-end}\n```\n\nMore.", "More."),
        (
            "```{exercise} Solution\n:label: ex-a\n\nWhy?\n```",
            "```{exercise} Solution\n:label: ex-a\n\nWhy?\n```",
        ),
    ],
)
def test_solutions_in_words_are_cut(before: str, after: str) -> None:
    kept, gone, inside = myst.split_solutions(before, inside=False)
    assert (kept.strip("\n"), inside) == (after, False)
    assert sorted(kept + gone) == sorted(before)


def test_a_solution_goes_on_until_its_end() -> None:
    kept, gone, inside = myst.split_solutions("Text.\n\n```{solution-start} ex-a\n```\n\nA.", inside=False)
    assert (kept, inside) == ("Text.\n\n", True)
    assert gone.endswith("A.")
    assert myst.split_solutions("## A heading\n\nB.", inside=True) == ("", "## A heading\n\nB.", True)
    kept, _, inside = myst.split_solutions("```{solution-end}\n```\nC.", inside=True)
    assert (kept, inside) == ("C.", False)
    assert myst.directives("```{solution-end}\n```")


# Writing ------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "_build" / "student"
    student.write({"a/one.md": b"1", "two.md": b"2"}, target)
    student.write({"a/one.md": b"3"}, target)
    assert {name: text for name, text in contents(target).items() if name != student.MANIFEST} == {
        "a/one.md": b"3"
    }
    assert [path.name for path in target.parent.iterdir()] == ["student"]


@pytest.mark.parametrize("work", ["notes.md", "a/one.md", ".ipynb_checkpoints/one.ipynb"])
def test_the_work_of_a_student_is_never_replaced(
    work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "student"
    student.write({"a/one.md": b"1"}, target)
    (target / work).parent.mkdir(exist_ok=True)
    (target / work).write_text("my answer")
    before = contents(target)
    monkeypatch.setattr(student, "edition", lambda root: {"a/one.md": b"2"})
    assert student.main([str(target)]) == 1
    assert contents(target) == before
    said = capsys.readouterr().out
    assert work in said
    assert "mv " in said


def test_a_folder_made_by_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError):
        student.write({"a.md": b"1"}, tmp_path)
    student.write({"a.md": b"1"}, tmp_path / "made")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "made", target_is_directory=True)
    with pytest.raises(FileExistsError):
        student.write({"a.md": b"1"}, link)


def test_a_failure_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "student"
    student.write({"a.md": b"1"}, target)
    before = contents(target)

    def full(self: Path, content: bytes) -> int:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        student.write({"a.md": b"2"}, target)
    assert contents(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ["student"]


def test_the_teacher_is_told_what_was_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert student.main([str(tmp_path / "student")]) == 0
    said = capsys.readouterr().out
    count = sum(len(exercises.code_exercises(chapter.notebook)) for chapter in BOOK)
    assert f"{len(BOOK)} chapters" in said
    assert f"{count} functions to write" in said
