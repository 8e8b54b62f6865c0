"""`make student`: the book without its answers, as notebooks, in _build/student.

    python tools/student.py [folder]

The folders are those of the book, so that links between chapters and to figures hold. A marked answer
becomes a stub that raises NotImplementedError, a worked experiment an empty cell; solutions in words
are left out, and the checks stay. Stubs and checks may fail without stopping "Run All".
"""

import copy
import hashlib
import json
import sys
import tempfile
from pathlib import Path

import exercises
import myst
from notebooks import ROOT, Cell, Notebook, source, toc_entries, written

TARGET = ROOT / "_build" / "student"
MANIFEST = ".made-by-make-student.json"
EMPTY = "# Your code here"
MAY_FAIL = "raises-exception"  # "Run All" goes on past such a cell
README = f"""# Student edition

These are the chapters of the book without the answers to the exercises. Work in a copy of this folder.

- `raise NotImplementedError(...)` marks the place of your code. The cell below it, a check, then says
  what it expected, what came, and often which mistake gives that value.
- A cell that says `{EMPTY}` is for an experiment of your own.
- "Run All" goes on past an exercise that is not done yet.

The notebooks need the library `vae_lib`, which is in the book's repository: run `make lab` there, or
install it with `pip install -e .`, and open the notebooks with that environment.
"""


def student_code(code: str) -> Cell:
    """What takes the place of a code cell with an answer: the stub, or room for an experiment.

    Of the metadata nothing stays but the tag: a caption would tell what the answer shows.
    """
    if exercises.BEGIN in code:
        return {"source": exercises.stub(code), "metadata": {"tags": ["solution", MAY_FAIL]}}
    return {"source": EMPTY, "metadata": {"tags": ["solution"]}}


def student_edition(notebook: Notebook) -> Notebook:
    """The notebook without its answers."""
    cells = copy.deepcopy(notebook["cells"])
    answered: set[str] = set()
    for number, label in exercises.answer_cells(notebook):
        # One place to write is enough for an experiment of several cells.
        cells[number] |= {"source": ""} if label in answered else student_code(source(cells[number]))
        answered.add(label)
    for exercise in exercises.code_exercises(notebook):
        cells[exercise.check]["metadata"]["tags"].append(MAY_FAIL)
    inside = False
    for cell in cells:
        if cell["cell_type"] == "markdown":
            kept, _, inside = myst.split_solutions(source(cell), inside)
            cell["source"] = kept.strip("\n")
        cell["source"] = source(cell).splitlines(keepends=True)
    return notebook | {"cells": [cell for cell in cells if cell["source"]]}


# Writing ------------------------------------------------------------------------------------------


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def edition(root: Path) -> dict[str, bytes]:
    """Every file of the student edition, by its path: the pages of the contents and what they show."""
    pages = {root / f"{entry}{suffix}" for entry in toc_entries(root) for suffix in (".ipynb", ".md")}
    # Nothing else is taken along: other notebooks under book/ may hold answers, too.
    beside = {path for page in pages for path in page.parent.glob("*.json")}
    shown = {path for path in (root / "book" / "_static").rglob("*") if path.is_file()}
    files = {"README.md": README.encode()}
    for path in sorted(path for path in pages | beside | shown if path.is_file()):
        name = path.relative_to(root).as_posix()
        if path.suffix == ".ipynb":
            notebook = json.loads(path.read_text(encoding="utf-8"))
            files[name] = written(student_edition(notebook)).encode()
        elif path in pages:
            text, _, _ = myst.split_solutions(path.read_text(encoding="utf-8"), inside=False)
            files[name] = (text.strip("\n") + "\n").encode()
        else:
            files[name] = path.read_bytes()
    return files


def foreign_files(folder: Path) -> list[str]:
    """Files in the folder that are not as this tool wrote them: somebody's work."""
    manifest = folder / MANIFEST
    made = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {}
    return [
        name
        for path in sorted(folder.rglob("*"))
        if (path.is_symlink() or not path.is_dir())
        and (name := path.relative_to(folder).as_posix()) != MANIFEST
        and (path.is_symlink() or made.get(name) != digest(path))
    ]


def write(files: dict[str, bytes], target: Path) -> None:
    """Write the folder as a whole, or leave what is there.

    Raises:
        FileExistsError: the folder holds files that are not as this tool made them.
    """
    if target.is_symlink() or (target.exists() and (not target.is_dir() or foreign_files(target))):
        raise FileExistsError(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        for name, content in files.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        made = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        (new / MANIFEST).write_text(json.dumps(made, indent=1) + "\n")
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise


def main(arguments: list[str]) -> int:
    target = Path(arguments[0]).resolve() if arguments else TARGET
    files = edition(ROOT)
    try:
        write(files, target)
    except FileExistsError:
        print(f"Nothing was written: {target} holds files that `make student` did not make, such as")
        print(
            "\n".join(f"    {name}" for name in foreign_files(target)[:5])
            if target.is_dir()
            else f"    {target}"
        )
        print(f"Move the folder away, for example by `mv {target} {target}-work`, and run it again.")
        return 1
    chapters = [content for name, content in files.items() if name.endswith(".ipynb")]
    stubs = sum(content.count(b"raise NotImplementedError") for content in chapters)
    print(f"{target}: {len(chapters)} chapters without their solutions, with {stubs} functions to write.")
    print("Give out a copy. `make student` never replaces a folder that holds somebody's work.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
