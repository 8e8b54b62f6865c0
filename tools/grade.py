"""Grade a folder of submissions: release, collect, autograde, feedback, table of grades. No server.

    python tools/grade.py SUBMISSIONS              or: make grade SUBMISSIONS=folder
    python tools/grade.py --release                only make the students' versions

A submission is SUBMISSIONS/<student>/<set>/<any>.ipynb or SUBMISSIONS/<student>_<set>.ipynb, where <set> is
the name of a problem set or its first part, such as ps1. The folder is read and never written to.
Everything is made in a work folder, _build/grading unless --work names another; it is a course of nbgrader:

    release/     what students get            submitted/   what was collected, put in order
    feedback/    one page for each student    grades.csv   the points
    manual.csv   answers to grade by hand: fill in points and comments, run the command again
    report.csv   what happened to each submission

Submissions run one after the other, each in a kernel of its own that tools/sandbox.py locks in.
book/assignments/README.md says what that keeps out, and nbgrader_config.py beside it holds the limits.
"""

import argparse
import csv
import hashlib
import json
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import sandbox
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbgrader.api import Gradebook
from nbgrader.apps.api import NbGraderAPI
from nbgrader.coursedir import CourseDirectory
from nbgrader.plugins import CsvExportPlugin
from nbgrader.preprocessors import Execute
from sqlalchemy.exc import SAWarning
from traitlets import Integer
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

ROOT = Path(__file__).resolve().parent.parent
ASSIGNMENTS = ROOT / "book" / "assignments"
CONFIG = ASSIGNMENTS / "nbgrader_config.py"
WORK = ROOT / "_build" / "grading"
MANUAL_COLUMNS = ("student", "set", "question", "max_points", "points", "comment")
REPORT_COLUMNS = (
    "student",
    "set",
    "points",
    "max_points",
    "by_hand",
    "seconds",
    "what_happened",
    "fingerprint",
)
# Raises an error, unless somebody switched vl.expect or assert off.
CANARY = """import vae_lib
try:
    vae_lib.expect(0.0, 1.0)
except AssertionError:
    assert False"""


# Running one submission --------------------------------------------------------------------------


class LockedExecute(Execute):  # type: ignore[misc]
    """nbgrader's Execute, with a locked kernel, a limit for the whole notebook, and a limit of output.

    However a notebook ends, every code cell has run or holds an error: to nbgrader, a test cell without an
    error is a passed one.
    """

    timeout = Integer(60, help="Seconds for one cell.").tag(config=True)
    notebook_timeout = Integer(240, help="Seconds for all cells of a notebook together.").tag(config=True)
    memory = Integer(4 << 30, help="Bytes of memory for a notebook.").tag(config=True)
    max_output = Integer(200_000, help="Characters of output that are kept of a notebook.").tag(config=True)

    def preprocess(self, nb: NotebookNode, resources: Any = None, km: Any = None) -> Any:
        self.deadline = time.monotonic() + self.notebook_timeout
        self.timeout_func = lambda cell: max(1.0, min(self.timeout, self.deadline - time.monotonic()))
        self.stopped, self.printed = "", 0
        self.shutdown_kernel = "immediate"
        metadata = resources["metadata"]
        canary = nbformat.v4.new_code_cell(CANARY)
        nb.cells.append(canary)
        with tempfile.TemporaryDirectory(prefix="grade-", ignore_cleanup_errors=True) as folder:
            self.folder = Path(folder).resolve()
            resources["metadata"] = {**metadata, "path": str(self.folder)}
            for name in (*sandbox.FOLDERS, "library"):
                (self.folder / name).mkdir()
            (self.folder / "library" / "vae_lib").symlink_to(library_folder())
            try:
                nb, resources = super().preprocess(nb, resources, km)
            except RuntimeError as error:
                log = (self.folder / "kernel" / "log").read_text(errors="replace")
                raise RuntimeError(f"the kernel did not start: {error}\n{log[-2000:]}") from error
            finally:
                self.kill_leftovers()
        nb.cells.remove(canary)
        if not is_failed(canary):
            for cell in test_cells(nb):
                fail(cell, "TamperedChecks", "After this notebook ran, a check that has to fail passed.")
        resources["metadata"] = metadata
        return nb, resources

    def create_kernel_manager(self) -> Any:
        manager = super().create_kernel_manager()
        # Sockets in the folder, not ports: nobody else on the machine can reach them.
        manager.transport = "ipc"
        manager.connection_file = str(self.folder / "kernel" / "kernel.json")
        launcher = [sys.executable, sandbox.__file__, str(self.folder), "-m", "ipykernel_launcher"]
        manager.kernel_spec.argv = [*launcher, "-f", "{connection_file}", "--HistoryManager.enabled=False"]
        manager.kernel_spec.env = {"SANDBOX_MEMORY": str(self.memory)}
        self.manager = manager
        return manager

    def preprocess_cell(self, cell: NotebookNode, resources: Any, index: int) -> Any:
        if cell.cell_type != "code":
            return cell, resources
        if not self.manager.provisioner or time.monotonic() > self.deadline:
            self.stopped = (
                self.stopped or f"The notebook had {self.notebook_timeout} seconds, and they are over."
            )
        if not self.stopped:
            self.group = self.manager.provisioner.pgid
            try:
                return super().preprocess_cell(cell, resources, index)
            except DeadKernelError:
                self.stopped = "Python ended in this cell or in one above it."
            except CellTimeoutError:
                self.stopped = "A cell reached its time limit and did not let itself be interrupted."
        fail(cell, "NotRun", self.stopped)
        return cell, resources

    def output(self, outs: Any, msg: Any, display_id: Any, cell_index: int) -> Any:
        if msg["msg_type"] != "error":
            self.printed += len(str(msg["content"]))
            if self.printed > self.max_output:
                return None
        # nbgrader takes the points of a cell that writes to stderr, be it a warning of somebody's package.
        if msg["content"].get("name") == "stderr":
            msg["content"]["name"] = "stdout"
        return super().output(outs, msg, display_id, cell_index)

    def kill_leftovers(self) -> None:
        """End what the notebook started and left running."""
        if group := getattr(self, "group", None):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)


def library_folder() -> Path:
    from importlib.util import find_spec

    spec = find_spec("vae_lib")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).resolve().parent


def test_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [
        c for c in notebook.cells if c.cell_type == "code" and c.metadata.get("nbgrader", {}).get("grade")
    ]


def errors_of(cell: NotebookNode) -> list[NotebookNode]:
    return [output for output in cell.get("outputs", []) if output.output_type == "error"]


def is_failed(cell: NotebookNode) -> bool:
    return bool(errors_of(cell))


def fail(cell: NotebookNode, name: str, text: str) -> None:
    cell.outputs.append(
        nbformat.v4.new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])
    )


# Collecting --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Submission:
    student: str
    set: str
    path: Path


def full_name(name: str, sets: list[str]) -> str | None:
    """The problem set that a student's name for it means.

    >>> full_name("ps1", ["ps1-kl", "ps2-elbo"]), full_name("ps3", ["ps1-kl"])
    ('ps1-kl', None)
    """
    return next((known for known in sets if known == name or known.startswith(f"{name}-")), None)


def find_submissions(folder: Path, sets: list[str]) -> tuple[list[Submission], list[str]]:
    """The submissions in a folder, and complaints about notebooks that are none."""
    found: dict[tuple[str, str], Submission] = {}
    complaints = []
    for path in sorted(folder.rglob("*.ipynb")):
        parts = path.relative_to(folder).parts
        if ".ipynb_checkpoints" in parts:
            continue
        student, _, name = path.stem.rpartition("_") if len(parts) == 1 else (parts[0], "", parts[1])
        known = full_name(name, sets)
        if known is None or len(parts) not in (1, 3) or not re.fullmatch(r"[\w.@-]+", student):
            complaints.append(
                f"{path.relative_to(folder)}: neither <student>/<set>/x.ipynb nor <student>_<set>.ipynb"
            )
        elif (student, known) in found:
            complaints.append(
                f"{path.relative_to(folder)}: a second notebook of {student} for {known}, left out"
            )
        else:
            found[student, known] = Submission(student, known, path)
    return list(found.values()), complaints


def put_in_order(release: NotebookNode, submitted: Any) -> tuple[NotebookNode, list[str]]:
    """A notebook with every cell of the release, the student's answers in it, and what had to be mended.

    Of what was submitted only the text of the cells is taken. Metadata, outputs, and changes of cells that
    are not theirs to change are dropped. nbgrader needs every question and test to be there.
    """
    ours = {cell.metadata.nbgrader.grade_id: cell for cell in release.cells if "nbgrader" in cell.metadata}
    cells: list[NotebookNode] = []
    theirs = [(grade_id(cell), text_of(cell), cell.get("cell_type")) for cell in submitted["cells"]]
    last = {name: index for index, (name, _, _) in enumerate(theirs)}
    for index, (name, text, kind) in enumerate(theirs):
        if name in ours and last[name] == index:
            cell = nbformat.from_dict(json.loads(json.dumps(ours[name])))
            if cell.metadata.nbgrader.solution:
                cell.source = text
        elif kind == "code":
            cell = nbformat.v4.new_code_cell(text)
        else:
            cell = nbformat.v4.new_markdown_cell(text)
        cells.append(cell)
    missing = [name for name in ours if name not in last]
    before = None
    for name in ours:
        if name in missing:
            places = [i for i, cell in enumerate(cells) if grade_id(cell) == before]
            cells.insert(places[0] + 1 if places else 0, ours[name])
        before = name
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=release.metadata)
    # Ids are new, because a student's may be used twice.
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
    return notebook, [f"cell {name} was missing" for name in missing]


def grade_id(cell: Any) -> str:
    metadata = cell.get("metadata", {}).get("nbgrader", {})
    return str(metadata.get("grade_id", ""))


def text_of(cell: Any) -> str:
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def collect(submission: Submission, work: Path) -> list[str]:
    """Write what can be graded of a submission to the work folder; say what was wrong with it."""
    name = f"{submission.set}.ipynb"
    release = nbformat.read(work / "release" / submission.set / name, as_version=4)
    try:
        submitted = json.loads(submission.path.read_text(encoding="utf-8"))
        notebook, problems = put_in_order(release, submitted)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        notebook, problems = release, [f"no notebook ({type(error).__name__}), graded as an empty one"]
    if problems:
        note = "**From the grader.** What you handed in: " + "; ".join(problems) + "."
        notebook.cells.insert(0, nbformat.v4.new_markdown_cell(note))
    folder = work / "submitted" / submission.student / submission.set
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / name)
    return problems


# Grading -----------------------------------------------------------------------------------------


def open_course(work: Path, config_file: Path) -> NbGraderAPI:
    """nbgrader's interface to the work folder, with the source in it."""
    # nbgrader starts alembic by its name, which an environment that is not activated does not find.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    work.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(work / "source", ignore_errors=True)
    shutil.copytree(ASSIGNMENTS / "source", work / "source", ignore=shutil.ignore_patterns(".*"))
    shutil.copy2(config_file, work / "nbgrader_config.py")
    config: Config = PyFileConfigLoader("nbgrader_config.py", str(work)).load_config()
    config.CourseDirectory.root = str(work)
    config.Autograde.autograde_preprocessors = [
        LockedExecute,
        "nbgrader.preprocessors.LimitOutput",
        "nbgrader.preprocessors.SaveAutoGrades",
        "nbgrader.preprocessors.CheckCellMetadata",
    ]
    api = NbGraderAPI(coursedir=CourseDirectory(config=config), config=config)
    # Its messages are kept in the result of each step, and shown where a step fails.
    api.log.handlers, api.log.propagate = [logging.NullHandler()], False
    return api


def must(result: dict[str, Any], what: str) -> None:
    if not result["success"]:
        raise RuntimeError(f"{what}:\n{result.get('log', '')}\n{result.get('error', '')}")


def what_happened(notebook: NotebookNode) -> list[str]:
    """What a teacher should know about a run, from the errors in its cells."""
    tests = test_cells(notebook)
    told = [f"{sum(not is_failed(cell) for cell in tests)} of {len(tests)} tests passed"]
    for cell in notebook.cells:
        where = grade_id(cell) or "a cell of the student's own"
        for error in errors_of(cell):
            if error.ename == "CellTimeoutError":
                told.append(f"{where}: stopped at its time limit")
            elif error.ename in ("SyntaxError", "IndentationError", "MemoryError"):
                told.append(f"{where}: {error.ename}")
            elif error.ename in ("NotRun", "TamperedChecks"):
                told.append(error.evalue)
    return list(dict.fromkeys(told))


def grade(api: NbGraderAPI, submission: Submission, work: Path) -> list[str]:
    """Collect and autograde one submission; say what happened."""
    problems = collect(submission, work)
    result = api.autograde(submission.set, submission.student)
    if not result["success"]:
        no_points(api, submission)
        log = [line.strip() for line in result["log"].splitlines() if "Error" in line]
        return [*problems, f"NOT GRADED, look at it yourself: {log[-1] if log else result.get('error')}"]
    path = work / "autograded" / submission.student / submission.set / f"{submission.set}.ipynb"
    return problems + what_happened(nbformat.read(path, as_version=4))


def no_points(api: NbGraderAPI, submission: Submission) -> None:
    with api.gradebook as gradebook:
        found = gradebook.find_submission(submission.set, submission.student)
        for grade in (grade for notebook in found.notebooks for grade in notebook.grades):
            grade.auto_score, grade.needs_manual_grade = 0, False
        gradebook.db.commit()


def fingerprint(submission: Submission, work: Path) -> str:
    """Changes with the submission, its problem set and the limits."""
    digest = hashlib.sha256(submission.path.read_bytes())
    for path in (work / "source" / submission.set / f"{submission.set}.ipynb", work / "nbgrader_config.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def write_grades(gradebook: Gradebook, path: Path) -> None:
    plugin = CsvExportPlugin()
    plugin.to = str(path)
    plugin.log.setLevel(logging.WARNING)
    plugin.export(gradebook)


# Answers graded by hand --------------------------------------------------------------------------


def read_table(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_table(path: Path, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def apply_manual(gradebook: Gradebook, rows: list[dict[str, str]]) -> None:
    """Put the points and comments of manual.csv into the gradebook."""
    for row in rows:
        place = (row["question"], row["set"], row["set"], row["student"])
        if row["points"].strip():
            found = gradebook.find_grade(*place)
            points = float(row["points"])
            if not 0 <= points <= found.max_score:
                raise ValueError(
                    f"manual.csv: {points:g} points of {found.max_score:g} for {' '.join(place[:1])}"
                )
            found.manual_score, found.needs_manual_grade = points, False
        if row["comment"].strip():
            gradebook.find_comment(*place).manual_comment = row["comment"]
    gradebook.db.commit()


def manual_rows(gradebook: Gradebook) -> Iterator[dict[str, Any]]:
    """One row for each answer that a person has to read, or has read."""
    for assignment in gradebook.assignments:
        for submission in sorted(assignment.submissions, key=lambda s: s.student.id):
            for notebook in submission.notebooks:
                for found in notebook.grades:
                    if not found.needs_manual_grade and found.manual_score is None:
                        continue
                    comment = gradebook.find_comment(
                        found.name, notebook.name, assignment.name, submission.student.id
                    )
                    yield {
                        "student": submission.student.id,
                        "set": assignment.name,
                        "question": found.name,
                        "max_points": f"{found.max_score:g}",
                        "points": "" if found.needs_manual_grade else f"{found.manual_score:g}",
                        "comment": comment.manual_comment or "",
                    }


# Feedback that asks no other host ----------------------------------------------------------------

# The last line of an error is the one to read, so it must not run out of its box.
HEAD = """<style>pre {white-space: pre-wrap}</style>
<script>MathJax = {tex: {inlineMath: [["$", "$"]], processEscapes: true}};</script>
<script defer src="../../_static/mathjax/tex-mml-chtml.js"></script>"""


def mend_feedback(feedback: Path) -> None:
    """Load MathJax from a copy beside the pages, where nbgrader asks another host for it."""
    for page in feedback.glob("*/*/*.html"):
        text = page.read_text(encoding="utf-8")
        mended = re.sub(
            r"<!-- Load mathjax -->.*?<!-- End of mathjax configuration -->",
            lambda _: HEAD,
            text,
            flags=re.S,
        )
        if mended != text:
            page.write_text(mended, encoding="utf-8")
    if not (feedback / "_static").exists():
        from book_extension import copy_mathjax

        copy_mathjax(SimpleNamespace(outdir=feedback), None)  # type: ignore[arg-type]


# The command -------------------------------------------------------------------------------------


def release(api: NbGraderAPI, work: Path) -> list[str]:
    sets = sorted(path.name for path in (work / "source").iterdir() if path.is_dir())
    for name in sets:
        must(api.generate_assignment(name), f"{name} could not be released")
    return sets


def grade_all(api: NbGraderAPI, submissions: Path, work: Path, again: bool = False) -> list[dict[str, Any]]:
    """The whole cycle; returns the rows of the report."""
    sets = release(api, work)
    found, complaints = find_submissions(submissions, sets)
    for complaint in complaints:
        print(f"left out: {complaint}")
    print(f"{len(found)} submissions of {len({s.student for s in found})} students")
    before = {(row["student"], row["set"]): row for row in read_table(work / "report.csv")}
    report: list[dict[str, Any]] = []
    for number, submission in enumerate(found, 1):
        print(f"{number:4} of {len(found)}  {submission.student}  {submission.set}", end="", flush=True)
        row = before.get((submission.student, submission.set), {})
        current = fingerprint(submission, work)
        if again or row.get("fingerprint") != current:
            started = time.monotonic()
            told = "; ".join(grade(api, submission, work))
            row = {
                "seconds": f"{time.monotonic() - started:.0f}",
                "what_happened": told,
                "fingerprint": current,
            }
        row |= {"student": submission.student, "set": submission.set}
        print(f"  {row['what_happened'][:100]}", flush=True)
        report.append(row)
    with api.gradebook as gradebook:
        apply_manual(gradebook, read_table(work / "manual.csv"))
        write_table(work / "manual.csv", MANUAL_COLUMNS, list(manual_rows(gradebook)))
        for row in report:
            add_points(gradebook, row)
        write_grades(gradebook, work / "grades.csv")
    for submission in found:
        if (work / "autograded" / submission.student / submission.set).exists():
            must(api.generate_feedback(submission.set, submission.student), f"no feedback for {submission}")
    mend_feedback(work / "feedback")
    write_table(work / "report.csv", REPORT_COLUMNS, report)
    return report


def add_points(gradebook: Gradebook, row: dict[str, Any]) -> None:
    submission = gradebook.find_submission(row["set"], row["student"])
    row["points"], row["max_points"] = f"{submission.score:g}", f"{submission.max_score:g}"
    waiting = [g for notebook in submission.notebooks for g in notebook.grades if g.needs_manual_grade]
    row["by_hand"] = f"{sum(g.max_score for g in waiting):g}"


def print_report(report: list[dict[str, Any]], work: Path) -> None:
    print(f"\n{'student':16}{'set':18}{'points':>8}{'of':>5}{'by hand':>9}{'seconds':>9}  what happened")
    for row in report:
        print(
            f"{row['student']:16}{row['set']:18}{row['points']:>8}{row['max_points']:>5}{row['by_hand']:>9}"
            f"{row['seconds']:>9}  {row['what_happened'][:200]}"
        )
    waiting = sum(1 for row in read_table(work / "manual.csv") if not row["points"])
    print(f"\nfeedback  {work / 'feedback'}\npoints    {work / 'grades.csv'}")
    print(
        f"by hand   {work / 'manual.csv'}: {waiting} answers wait for points; fill them in and run this again"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Grade a folder of submissions, without a server.")
    parser.add_argument("submissions", type=Path, nargs="?", help="folder; it is not written to")
    parser.add_argument("--work", type=Path, default=WORK, help="where everything is made (_build/grading)")
    parser.add_argument("--config", type=Path, default=CONFIG, help="other settings and limits")
    parser.add_argument("--release", action="store_true", help="only make the students' versions")
    parser.add_argument("--again", action="store_true", help="grade unchanged submissions again, too")
    parser.add_argument("--trust", action="store_true", help="go on where submissions cannot be locked in")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", SAWarning)  # about nbgrader's own use of its database
    work = arguments.work.resolve()
    if not arguments.release and (arguments.submissions is None or not arguments.submissions.is_dir()):
        parser.error("name the folder with the submissions: make grade SUBMISSIONS=folder")
    if sandbox.version() == 0 and not arguments.trust and not arguments.release:
        parser.error(
            "this system has no Landlock (Linux 5.13 or newer), so a submission could read and delete what "
            "you can. Grade in a container or virtual machine of its own, and say so with --trust."
        )
    api = open_course(work, arguments.config)
    if arguments.release:
        release(api, work)
        print(f"The students' versions are in {work / 'release'}")
        return
    print_report(grade_all(api, arguments.submissions, work, again=arguments.again), work)


if __name__ == "__main__":
    main()
