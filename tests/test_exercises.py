"""Every check of an exercise passes right answers and fails wrong ones, with the reason that it foresees.

The answers are in tests/exercises/: what a learner may write between the marks. Each one is put in the
place of the chapter's answer and judged by the chapter's check.
"""

import ast
import contextlib
import functools
import io
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import exercises
import matplotlib.pyplot as plt
import notebooks
import pytest
import torch
from exercises import Exercise
from notebooks import Notebook, source

import vae_lib as vl

ANSWER_FILES = sorted((Path(__file__).parent / "exercises").glob("*.py"))
ANSWERS: dict[str, Any] = {
    label: answers for path in ANSWER_FILES for label, answers in runpy.run_path(str(path))["ANSWERS"].items()
}
FOUND: dict[str, tuple[Notebook, Exercise]] = {
    exercise.label: (chapter.notebook, exercise)
    for chapter in notebooks.chapters()
    for exercise in exercises.code_exercises(chapter.notebook)
}
# Wrong whatever the question is: nothing, a constant, the question itself, the first result for ever.
NOTHING = "return None"
CONSTANT = "return 0.0"
ECHO = "return {argument}"
FROZEN = """
def frozen(function):
    results = []
    def answer(*arguments, **options):
        results.append(results[0] if results else function(*arguments, **options))
        return results[-1]
    return answer
{name} = frozen({name})
"""


@pytest.fixture(autouse=True)
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Chapters set the style, the precision and the seed for themselves; no other test is to notice."""
    monkeypatch.setattr(vl, "load", functools.cache(vl.load))
    with torch.random.fork_rng(), plt.rc_context():
        yield
    torch.set_default_dtype(torch.float32)


def answer_cell(label: str) -> str:
    notebook, exercise = FOUND[label]
    return source(notebook["cells"][exercise.solution])


def verdict(label: str, cell: str) -> Exception | None:
    """What the check raises when the cell is the answer."""
    torch.set_default_dtype(torch.float32)
    code = exercises.program(*FOUND[label], cell)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(code, label, "exec"), {"__name__": "chapter"})
    except Exception as error:
        return error
    return None


def wrong_cells(label: str) -> Iterator[tuple[str, str, str]]:
    """(mistake, what the check has to say of it, the cell) of every wrong answer."""
    cell = answer_cell(label)
    name = exercises.function_name(cell)
    functions = [f for f in ast.walk(ast.parse(cell)) if isinstance(f, ast.FunctionDef) and f.name == name]
    argument = functions[0].args.args[0].arg
    for mistake, (says, body) in ANSWERS[label]["wrong"].items():
        yield mistake, says, exercises.filled(cell, body)
    yield "nothing", "", exercises.filled(cell, NOTHING)
    yield "a constant", "", exercises.filled(cell, CONSTANT)
    yield "the argument", "", exercises.filled(cell, ECHO.format(argument=argument))
    yield "the first result again and again", "", cell + FROZEN.format(name=name)


def test_every_exercise_has_answers_of_both_kinds() -> None:
    assert FOUND.keys() == ANSWERS.keys(), "give each exercise its answers in tests/exercises/"
    for label, answers in ANSWERS.items():
        assert len(answers["right"]) >= 2, f"{label}: two right answers, written differently"
        assert len(answers["wrong"]) >= 6, f"{label}: six wrong answers that people give"


@pytest.mark.parametrize("label", FOUND)
def test_the_solution_passes(label: str) -> None:
    assert verdict(label, answer_cell(label)) is None


@pytest.mark.parametrize("label", FOUND)
def test_the_stub_is_found_missing(label: str) -> None:
    error = verdict(label, exercises.stub(answer_cell(label)))
    assert isinstance(error, NotImplementedError), repr(error)
    assert "Exercise: write " in str(error)


@pytest.mark.slow
@pytest.mark.parametrize("label", FOUND)
def test_other_right_answers_pass(label: str) -> None:
    for name, body in ANSWERS[label]["right"].items():
        error = verdict(label, exercises.filled(answer_cell(label), body))
        assert error is None, f"{name}: {error!r}"


def foreseen(check: str) -> set[str]:
    """The hints of a check: the keys of its `mistakes`."""
    calls = [node for node in ast.walk(ast.parse(check)) if isinstance(node, ast.keyword)]
    tables = [call.value for call in calls if call.arg == "mistakes" and isinstance(call.value, ast.Dict)]
    return {key.value for table in tables for key in table.keys if isinstance(key, ast.Constant)}


@pytest.mark.slow
def test_every_wrong_answer_fails(capsys: pytest.CaptureFixture[str]) -> None:
    killed, problems = 0, []
    for label, (notebook, exercise) in FOUND.items():
        messages = []
        for mistake, says, cell in wrong_cells(label):
            error = verdict(label, cell)
            messages.append(str(error))
            if error is None:
                problems.append(f"{label}: {mistake!r} passes")
                continue
            killed += 1
            if isinstance(error, NameError):
                problems.append(f"{label}: {mistake!r} is no answer: {error!r}")
            elif says and not (isinstance(error, AssertionError) and says in str(error)):
                problems.append(f"{label}: {mistake!r} should be told {says!r}, not {error!r}")
        for hint in foreseen(source(notebook["cells"][exercise.check])):
            if not any(hint in message for message in messages):
                problems.append(f"{label}: no wrong answer gets the hint {hint!r}")
    total = sum(1 for label in FOUND for _ in wrong_cells(label))
    with capsys.disabled():
        rate = 100 * killed / total
        print(f"\n{killed} of {total} wrong answers to {len(FOUND)} exercises fail: kill rate {rate:.1f} %")
    assert not problems, "\n" + "\n".join(problems)


# The slicer ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "target", "expected"),
    [
        (["a = 1", "b = 2"], "print(a)", "a = 1"),
        (["a = 1", "a = 2"], "print(a)", "a = 2"),
        (["a = 1\na += 1"], "print(a)", "a = 1\na += 1"),
        (["a = []", "a.append(1)", "print(a)"], "print(a)", "a = []\na.append(1)"),
        (["a = {}", "a['k'] = 1"], "print(a)", "a = {}\na['k'] = 1"),
        (["b = 1", "def f():\n    return b", "b = 2"], "f()", "b = 1\ndef f():\n    return b\nb = 2"),
        (["def f(b):\n    return b", "b = 2"], "f(1)", "def f(b):\n    return b"),
        (["i = 1", "a = 2"], "for i in range(a):\n    print(i)", "a = 2"),
        (["i = 1"], "print([i for i in range(3)])", ""),
        (["x = 1"], "def g():\n    return x\nx = 2\nprint(g())", ""),
        (["import m", "m.seed(0)", "y = 1", "m.show(y)"], "m.draw()", "import m\nm.seed(0)"),
        (["a = 1", "if a:\n    a = 2"], "print(a)", "a = 1\nif a:\n    a = 2"),
        (["k = 1", "with f(k) as h:\n    t = h"], "print(t)", "k = 1\nwith f(k) as h:\n    t = h"),
        (["%matplotlib inline\na = 1"], "print(a)", "a = 1"),
    ],
)  # fmt: skip
def test_a_slice_holds_what_is_needed_and_no_more(cells: list[str], target: str, expected: str) -> None:
    assert exercises.needed(cells, target) == expected


def test_a_marked_answer_needs_a_check() -> None:
    gate = {"cell_type": "markdown", "source": "```{solution-start} ex-a\n```", "metadata": {}}
    answer = {"cell_type": "code", "source": "def f():\n    ### BEGIN SOLUTION\n    ### END SOLUTION"}
    with pytest.raises(ValueError, match="ex-a"):
        exercises.code_exercises({"cells": [gate, answer]})


def test_filling_keeps_the_indentation_and_what_stands_around() -> None:
    code = "def f(x):\n    y = x\n    ### BEGIN SOLUTION\n    return y\n    ### END SOLUTION\n\nprint(f)"
    assert exercises.filled(code, "if y:\n    return 1") == (
        "def f(x):\n    y = x\n    if y:\n        return 1\n\nprint(f)"
    )
    assert "write f" in exercises.stub(code)
