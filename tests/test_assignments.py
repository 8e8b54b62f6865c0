"""The problem sets and their grader: answers right and wrong, and submissions that mean harm.

Mutants: every wrong answer in tests/assignments/psN.py must lose the points of its question, every right one,
however written, must keep them. They run in this process, one notebook after the other. The cycle runs
tools/grade.py as a teacher does, on submissions made from the source, and its verdict must be the same.
"""

import ast
import contextlib
import csv
import importlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sandbox
import torch

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "book" / "assignments" / "source"
SETS = sorted(path.name for path in SOURCE.iterdir())
# A cycle of grading takes minutes: the tests that read it run in one process.
TOGETHER = pytest.mark.xdist_group("graded")
HIDDEN = re.compile(r"^### BEGIN HIDDEN TESTS$.*?^### END HIDDEN TESTS$", flags=re.M | re.S)

Notebook = dict[str, Any]


def read(path: Path) -> Notebook:
    return json.loads(path.read_text(encoding="utf-8"))


def source_of(name: str) -> Notebook:
    return read(SOURCE / name / f"{name}.ipynb")


def settings(cell: dict[str, Any]) -> dict[str, Any]:
    return cell["metadata"].get("nbgrader", {})


def code_of(notebook: Notebook) -> dict[str, str]:
    """Text of the code cells by id, in order."""
    return {c["id"]: "".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"}


def answers(notebook: Notebook) -> list[str]:
    """The code cells that are graded by tests."""
    return [
        cell["id"]
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and settings(cell).get("solution") and not settings(cell)["grade"]
    ]


def questions(name: str) -> dict[str, Any]:
    return importlib.import_module(f"assignments.{name.split('-')[0]}").QUESTIONS


# The sources --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_a_problem_set_has_its_parts(name: str) -> None:
    notebook = source_of(name)
    ids = [cell["id"] for cell in notebook["cells"]]
    graded = [cell for cell in notebook["cells"] if settings(cell).get("grade")]
    tests = [cell for cell in graded if not settings(cell)["solution"]]
    by_hand = [cell for cell in graded if settings(cell)["solution"]]
    title = "".join(notebook["cells"][0]["source"])
    assert len(ids) == len(set(ids))
    assert all(settings(cell).get("grade_id", cell["id"]) == cell["id"] for cell in notebook["cells"])
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook["cells"])
    assert re.search(r"\*\*Time:\*\*.*hours", title)
    assert len([cell for cell in by_hand if cell["cell_type"] == "markdown"]) >= 2
    for cell in tests:
        text = "".join(cell["source"])
        assert settings(cell)["locked"], cell["id"]
        assert HIDDEN.search(text), f"{cell['id']} has no hidden tests"
        assert HIDDEN.sub("", text).strip(), f"{cell['id']} has no visible tests"
        assert text.rstrip().endswith("### END HIDDEN TESTS"), f"{cell['id']}: hidden tests stand last"
    for cell in by_hand + [c for c in notebook["cells"] if c["id"] in answers(notebook)]:
        assert "### BEGIN SOLUTION" in "".join(cell["source"]), cell["id"]
    promised = sum(map(int, re.findall(r"\d+", " ".join(re.findall(r"\| ([\d+ ]+) \|$", title, flags=re.M)))))
    assert promised == sum(settings(cell)["points"] for cell in graded), "the table of points is wrong"
    assert sorted(t for q in questions(name).values() for t in q["tests"]) == sorted(c["id"] for c in tests)
    assert list(questions(name)) == answers(notebook)


# Mutants ------------------------------------------------------------------------------------------


def run(code: str, namespace: dict[str, Any]) -> None:
    torch.manual_seed(0)
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, "<cell>", "exec"), namespace)


def passes(namespace: dict[str, Any], answer: str | Callable[..., None], tests: list[str]) -> bool:
    """Whether an answer, put into the namespace of the reference answers, keeps its points."""
    trial = dict(namespace)
    try:
        if callable(answer):
            answer(trial)
        else:
            run(answer, trial)
        for test in tests:
            run(test, trial)
    except Exception:
        return False
    return True


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.shape == b.shape and torch.equal(a, b)
    try:
        return bool(a == b)
    except (RuntimeError, ValueError):
        return False


def parrots(
    namespace: dict[str, Any], reference: str, visible: list[str]
) -> Iterator[tuple[str, Callable[[dict[str, Any]], None]]]:
    """Answers that give what the visible tests expect, by heart, and otherwise the first of it."""
    for function in (n.name for n in ast.parse(reference).body if isinstance(n, ast.FunctionDef)):
        trial, heard = dict(namespace), []
        real = trial[function]

        def record(*inputs: Any, real: Any = real, heard: Any = heard, **named: Any) -> Any:
            result = real(*inputs, **named)
            heard.append(((*inputs, *named.values()), result))
            return result

        trial[function] = record
        for test in visible:
            run(test, trial)

        def say(*inputs: Any, heard: Any = heard, **named: Any) -> Any:
            given = (*inputs, *named.values())
            known = (r for i, r in heard if len(i) == len(given) and all(map(same, i, given)))
            return next(known, heard[0][1])

        def constant(*inputs: Any, heard: Any = heard, **named: Any) -> Any:
            return heard[0][1]

        yield f"{function} by heart", lambda trial, f=function, say=say: trial.update({f: say})
        yield f"{function} constant", lambda trial, f=function, say=constant: trial.update({f: say})


@pytest.fixture(scope="module")
def counted() -> Iterator[dict[str, tuple[int, int, int]]]:
    results: dict[str, tuple[int, int, int]] = {}
    yield results
    killed, wrong, right = (sum(column) for column in zip(*results.values(), strict=True))
    print(f"\nmutants: {killed} of {wrong} wrong answers lost their points, {right} right ones kept them")


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_wrong_answers_lose_their_points_and_right_ones_keep_them(
    name: str, counted: dict[str, tuple[int, int, int]], capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = source_of(name)
    cells, namespace = code_of(notebook), {"__name__": "__main__"}
    survivors, rejected, n_wrong, n_right, fooled = [], [], 0, 0, 0
    skipped = {c["id"] for c in notebook["cells"] if not settings(c) or settings(c)["grade"]}
    for cell_id, text in cells.items():
        if cell_id in skipped:
            continue
        run(text, namespace)
        if cell_id not in questions(name):
            continue
        question = questions(name)[cell_id]
        tests = [cells[test] for test in question["tests"]]
        assert len(question["right"]) >= 2
        for number, answer in enumerate([text, *question["right"]]):
            n_right += 1
            rejected += [] if passes(namespace, answer, tests) else [f"{cell_id}: right answer {number}"]
        wrong: dict[str, Any] = {}
        for what, (old, new) in question["wrong"].items():
            assert old in text, f"{cell_id}, {what}: the reference answer does not hold {old!r}"
            wrong[what] = text.replace(old, new)
        visible = [HIDDEN.sub("", test) for test in tests]
        wrong |= dict(parrots(namespace, text, visible))
        wrong["nothing"] = "raise NotImplementedError"
        for what, answer in wrong.items():
            n_wrong += 1
            survivors += [f"{cell_id}: {what}"] if passes(namespace, answer, tests) else []
            fooled += what.endswith("by heart") and passes(namespace, answer, visible)
    counted[name] = (n_wrong - len(survivors), n_wrong, n_right - len(rejected))
    with capsys.disabled():
        print(f"\n{name}: {n_wrong - len(survivors)} of {n_wrong} wrong answers lost their points", end=" ")
    assert fooled, "no answer by heart passes the visible tests, so the hidden ones were not put to the proof"
    assert not survivors, "\n".join(survivors)
    assert not rejected, "\n".join(rejected)


# The cycle ----------------------------------------------------------------------------------------

CYCLE = SETS[0]
LIMITS = "config.LockedExecute.timeout = 12\nconfig.LockedExecute.notebook_timeout = 20\n"
STUBBORN = (
    "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass"
)
SLOW = "import time\ntime.sleep(10.5)\n"
CHATTY = "\nfor _ in range(100):\n    print('x' * 100_000)"
# Looks wherever hidden tests could lie, tries to change what it finds, then deletes all it can.
THIEF = """
import glob, os, shutil, signal
places = [{places}]
for place in [*places, "/proc/self/environ", *glob.glob("/proc/[0-9]*/environ")]:
    for path in [place, *glob.glob(place + "/**/*", recursive=True)]:
        try:
            text = open(path, "rb").read().decode("latin1")
            if "BEGIN HIDDEN" in text or "HIDDEN_FROM_KERNELS" in text:
                print("STOLEN from", path)
        except OSError:
            pass
        try:
            open(path, "ab").close()
            print("WRITABLE:", path)
        except OSError:
            pass
try:
    os.kill(os.getppid(), signal.SIGKILL)
    print("KILLED the grader")
except OSError:
    pass
for place in [*places, os.getcwd(), os.path.expanduser("~")]:
    shutil.rmtree(place, ignore_errors=True)
print("left in my folder:", os.listdir("."))
"""


def solved(name: str, change: dict[str, str], **options: Any) -> str:
    """The source as a submission, with other texts in some cells."""
    notebook = source_of(name)
    notebook["cells"] = [c for c in notebook["cells"] if c["id"] not in options.get("without", ())]
    for cell in notebook["cells"]:
        cell["source"] = HIDDEN.sub("", change.get(cell["id"], "".join(cell["source"])))
    return json.dumps(notebook)


def samples(secrets: list[Path]) -> dict[str, str]:
    """A submission of the first problem set from each student; the harmful ones come before the harmless."""
    known, reference = questions(CYCLE), code_of(source_of(CYCLE))
    first, second, third, fourth = known
    thief = THIEF.format(places=", ".join(repr(str(path)) for path in secrets))
    wrong = {}
    for cell_id, question in known.items():
        old, new = next(iter(question["wrong"].values()))
        wrong[cell_id] = reference[cell_id].replace(old, new)
    stub = "# Your code here\nraise NotImplementedError"
    return {
        "a-thief": solved(CYCLE, {first: thief}),
        "b-endless": solved(CYCLE, {second: "while True:\n    pass"}),
        "c-stubborn": solved(CYCLE, {third: STUBBORN}),
        "d-quits": solved(CYCLE, {second: "import os\nos._exit(0)"}),
        "e-cheat": solved(CYCLE, wrong | {first: "vl.expect = lambda *a, **k: None\n" + wrong[first]}),
        "f-syntax": solved(CYCLE, {second: "def kl_parts(q, p:\n    return 1"}),
        "g-garbage": "{ this is no notebook",
        "h-deleted": solved(CYCLE, {}, without=(third, "js-test", "js-proof", "tail-test")),
        "j-half": solved(CYCLE, {first: reference[first] + CHATTY, third: stub, fourth: stub}),
        "k-wrong": solved(CYCLE, wrong),
        "l-other": solved(CYCLE, {cell_id: question["right"][0] for cell_id, question in known.items()}),
        "m-complete": solved(CYCLE, {}),
        "n-slow": solved(CYCLE, {cell_id: SLOW + reference[cell_id] for cell_id in known}),
    }


def grade(submissions: Path, work: Path, config: Path | None = None) -> str:
    """Run tools/grade.py; the text it prints."""
    command = [sys.executable, str(ROOT / "tools" / "grade.py"), str(submissions), "--work", str(work)]
    command += ["--config", str(config)] if config else []
    environment = os.environ | {"TZ": "Asia/Kolkata", "LC_ALL": "C", "SECRET": "HIDDEN_FROM_KERNELS"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stderr, done.stderr
    return done.stdout


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def scores(work: Path) -> dict[str, float]:
    rows = [row for row in table(work / "grades.csv") if row["assignment"] == CYCLE]
    return {row["student_id"]: float(row["score"]) for row in rows}


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def graded(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Path, Path, dict[str, dict[str, str]]]]:
    """Folder of submissions, work folder and report by student, after one run of the command."""
    if sandbox.version() == 0:
        pytest.skip("this kernel has no Landlock, so nothing locks a submission in")
    base = tmp_path_factory.mktemp("grading")
    submissions, work = base / "submissions", base / "work"
    secrets = [ROOT / "book" / "assignments", work, submissions, base]
    for student, text in samples(secrets).items():
        path = submissions / student / "ps1" / "answers.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    (submissions / "o-empty_ps1.ipynb").write_text("{}", encoding="utf-8")
    (submissions / "stranger.ipynb").write_text("{}", encoding="utf-8")
    config = base / "config.py"
    config.write_text((ROOT / "book" / "assignments" / "nbgrader_config.py").read_text() + LIMITS)
    before = content(submissions), content(SOURCE)
    printed = grade(submissions, work, config)
    assert (content(submissions), content(SOURCE)) == before, "the grader changed what it read"
    assert "left out: stranger.ipynb" in printed
    return submissions, work, {row["student"]: row for row in table(work / "report.csv")}


@pytest.mark.slow
@TOGETHER
def test_every_submission_gets_its_points(graded: Any) -> None:
    """A test cell of the first set gives 3, 3, 3 and 4 points."""
    _, work, report = graded
    points = {student: float(row["points"]) for student, row in report.items()}
    assert points == {
        "a-thief": 10, "b-endless": 10, "c-stubborn": 6, "d-quits": 3, "e-cheat": 0, "f-syntax": 10,
        "g-garbage": 0, "h-deleted": 10, "j-half": 6, "k-wrong": 0, "l-other": 13,
        "m-complete": 13, "n-slow": 3, "o-empty": 0,
    }  # fmt: skip
    assert scores(work) == points


@pytest.mark.slow
@TOGETHER
def test_the_report_says_what_happened(graded: Any) -> None:
    _, _, report = graded
    for student, words in {
        "b-endless": "chain-kl: stopped at its time limit",
        "c-stubborn": "did not let itself be interrupted",
        "d-quits": "Python ended",
        "e-cheat": "a check that has to fail passed",
        "f-syntax": "chain-kl: SyntaxError",
        "g-garbage": "no notebook",
        "h-deleted": "cell js was missing",
        "m-complete": "4 of 4 tests passed",
        "n-slow": "The notebook had 20 seconds",
        "o-empty": "no notebook",
    }.items():
        assert words in report[student]["what_happened"], (student, report[student]["what_happened"])


@pytest.mark.slow
@TOGETHER
def test_a_thief_finds_nothing_and_deletes_only_its_own(graded: Any) -> None:
    _, work, report = graded
    notebook = read(work / "autograded" / "a-thief" / CYCLE / f"{CYCLE}.ipynb")
    printed = json.dumps([cell.get("outputs") for cell in notebook["cells"]])
    assert "left in my folder: []" in printed
    assert not re.search(r"STOLEN|WRITABLE|KILLED", printed), printed
    assert len(report) == 14


@pytest.mark.slow
@TOGETHER
def test_everybody_gets_feedback_that_asks_no_other_host(graded: Any) -> None:
    _, work, report = graded
    for student in report:
        page = (work / "feedback" / student / CYCLE / f"{CYCLE}.html").read_text(encoding="utf-8")
        assert len(page) < 2_000_000
        assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)
    assert "the sign is turned round" in (work / "feedback" / "k-wrong" / CYCLE / f"{CYCLE}.html").read_text()
    garbage = (work / "feedback" / "g-garbage" / CYCLE / f"{CYCLE}.html").read_text()
    assert "From the grader" in garbage
    assert (work / "feedback" / "_static" / "mathjax" / "tex-mml-chtml.js").exists()


@pytest.mark.slow
@TOGETHER
def test_answers_graded_by_hand_come_in_by_a_table(graded: Any) -> None:
    submissions, work, _ = graded
    rows = table(work / "manual.csv")
    assert {row["question"] for row in rows if row["student"] == "m-complete"} == {
        "laplace-proof", "chain-proof", "js-proof", "tail-words"
    }  # fmt: skip
    assert "o-empty" not in {row["student"] for row in rows}
    for row in rows:
        if row["student"] == "m-complete":
            row |= {"points": row["max_points"], "comment": "Well argued."}
    with (work / "manual.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    grade(submissions, work, submissions.parent / "config.py")
    assert scores(work)["m-complete"] == 30
    assert scores(work)["l-other"] == 13
    page = (work / "feedback" / "m-complete" / CYCLE / f"{CYCLE}.html").read_text(encoding="utf-8")
    assert "Well argued." in page
    waiting = [row for row in table(work / "manual.csv") if not row["points"]]
    assert {"m-complete"} & {row["student"] for row in waiting} == set()


@pytest.mark.slow
@TOGETHER
def test_students_get_no_solution_and_no_hidden_test(graded: Any) -> None:
    _, work, _ = graded
    for name in SETS:
        text = (work / "release" / name / f"{name}.ipynb").read_text(encoding="utf-8")
        assert not re.search(r"SOLUTION|HIDDEN", text)
        released = read(work / "release" / name / f"{name}.ipynb")
        for ours, theirs in zip(source_of(name)["cells"], released["cells"], strict=True):
            if settings(ours).get("solution"):
                wanted = "NotImplementedError" if ours["cell_type"] == "code" else "*Your answer here.*"
                assert wanted in "".join(theirs["source"]), ours["id"]


@pytest.mark.slow
def test_every_reference_answer_earns_all_points_of_its_tests(tmp_path: Path) -> None:
    submissions, work = tmp_path / "submissions", tmp_path / "work"
    submissions.mkdir()
    for name in SETS[1:]:
        (submissions / f"teacher_{name}.ipynb").write_text(solved(name, {}), encoding="utf-8")
    if sandbox.version() == 0:
        pytest.skip("this kernel has no Landlock, so nothing locks a submission in")
    grade(submissions, work)
    for row in table(work / "report.csv"):
        cells = source_of(row["set"])["cells"]
        tests = [c for c in cells if settings(c).get("grade") and not settings(c)["solution"]]
        assert float(row["points"]) == sum(settings(cell)["points"] for cell in tests), row
