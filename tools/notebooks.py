"""What a chapter's notebook must look like, checked without running it.

    python tools/notebooks.py check    print what is wrong, cell by cell
    python tools/notebooks.py tidy     strip outputs, name the cells that have a machine's id

Each `check_*` function takes a notebook and returns sentences that tell its author what to do.
"""

import ast
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import myst
import yaml

ROOT = Path(__file__).resolve().parent.parent
MAX_CODE_LINES = 25
MIN_EXERCISES = 4
FILLERS = ("simply", "clearly", "obviously", "trivial", "trivially", "it is easy to see")
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}

Notebook = dict[str, Any]
Cell = dict[str, Any]


@dataclass(frozen=True)
class Chapter:
    path: Path
    notebook: Notebook


def source(cell: Cell) -> str:
    """Text of a cell; on disk it is a list of lines or one string."""
    text = cell["source"]
    return text if isinstance(text, str) else "".join(text)


def cells_of(notebook: Notebook, kind: str) -> list[Cell]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def name_of(cell: Cell) -> str:
    return f"cell {cell.get('id', '(no id)')}"


# Reading the book ---------------------------------------------------------------------------------


def toc_entries(root: Path = ROOT) -> list[str]:
    """Pages in reading order, as `_toc.yml` names them."""

    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, list):
            for item in node:
                yield from walk(item)
        elif isinstance(node, dict):
            for key in ("root", "file"):
                if key in node:
                    yield node[key].removesuffix(".ipynb").removesuffix(".md")
            for key in ("parts", "chapters", "sections"):
                yield from walk(node.get(key))

    return list(walk(yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))))


def chapters(root: Path = ROOT) -> list[Chapter]:
    """The notebooks of the book in reading order."""
    paths = [root / f"{entry}.ipynb" for entry in toc_entries(root)]
    return [Chapter(path, json.loads(path.read_text(encoding="utf-8"))) for path in paths if path.exists()]


def on_disk(root: Path = ROOT) -> list[Path]:
    """Notebooks under book/ but for the problem sets, which are handed out and are no part of the site."""
    others = {".ipynb_checkpoints", "assignments"}
    found = (root / "book").rglob("*.ipynb")
    return sorted(path for path in found if not others & set(path.relative_to(root).parts))


def stray_notebooks(root: Path = ROOT) -> list[str]:
    """Notebooks under book/ that no reader will find."""
    listed = {root / f"{entry}.ipynb" for entry in toc_entries(root)}
    return [
        f"{path.relative_to(root)} is not in _toc.yml: add it there, or move it out of book/."
        for path in on_disk(root)
        if path not in listed
    ]


def labels_of(notebook: Notebook) -> list[str]:
    """Every label a notebook defines, those of its figures included."""
    found: list[str] = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            found += myst.labels(source(cell))
        figure = cell.get("metadata", {}).get("mystnb", {}).get("figure", {})
        if "name" in figure:
            found.append(figure["name"])
    return found


# Checks of one notebook ---------------------------------------------------------------------------


def check_stripped(notebook: Notebook) -> list[str]:
    return [
        f"{name_of(cell)} holds outputs or an execution count: run `make tidy`."
        for cell in cells_of(notebook, "code")
        if cell.get("outputs") or cell.get("execution_count") is not None
    ]


def machine_made(cell_id: str) -> bool:
    """Whether an id is none that a person would say: hexadecimal, a UUID, Colab's, or empty."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", cell_id):
        return True
    first = cell_id.split("-")[0]
    return bool(re.fullmatch(r"[0-9a-f]{8,}", first) and re.search(r"\d", first))


def check_ids(notebook: Notebook) -> list[str]:
    problems = []
    seen: set[str] = set()
    for index, cell in enumerate(notebook["cells"]):
        cell_id = cell.get("id", "")
        if machine_made(cell_id):
            problems.append(f"cell {index} has the id {cell_id!r}: give it words-like-these, or `make tidy`.")
        if cell_id in seen:
            problems.append(f"cell id {cell_id!r} is used twice: rename one of the two.")
        seen.add(cell_id)
    return problems


def check_kernel(notebook: Notebook) -> list[str]:
    kernel = notebook.get("metadata", {}).get("kernelspec", {}).get("name")
    if kernel == "python3":
        return []
    return [f"the notebook asks for the kernel {kernel!r}: it has to be 'python3' (`make tidy`)."]


def check_code_length(notebook: Notebook) -> list[str]:
    problems = []
    for cell in cells_of(notebook, "code"):
        lines = len(source(cell).splitlines())
        if lines > MAX_CODE_LINES:
            problems.append(
                f"{name_of(cell)} has {lines} lines of code, {MAX_CODE_LINES} at most: split it by"
                " idea, or move what is used twice into vae_lib."
            )
    return problems


def check_opening(notebook: Notebook) -> list[str]:
    """Title and question, then what one learns, what one needs and how long it takes."""
    first = notebook["cells"][0]
    title = source(first) if first["cell_type"] == "markdown" else ""
    text = "\n\n".join(source(cell) for cell in cells_of(notebook, "markdown"))
    opening = re.split(r"^## ", text, maxsplit=1, flags=re.MULTILINE)[0]
    classes = {
        name: block.body
        for block in myst.directives(opening)
        for name in block.options.get("class", "").split()
    }
    problems = []
    if [level for level, _ in myst.headings(title)][:1] != [1]:
        problems.append("the first cell has to be Markdown that starts with the title, `# ...`.")
    elif len(myst.prose(title).split()) < 10:
        problems.append("the first cell has to say, below the title, what question is answered.")
    if "learn" not in classes:
        problems.append("the opening lacks `:::{admonition} You will learn` with `:class: learn` below it.")
    if "prerequisites" not in classes:
        problems.append("the opening lacks `:::{admonition} Before you start` with `:class: prerequisites`.")
    elif not re.search(r"\bminutes\b", myst.prose(classes["prerequisites"])):
        problems.append("the prerequisites do not say how many minutes the chapter takes.")
    return problems


def check_exercises(notebook: Notebook) -> list[str]:
    """Enough exercises, every one with a label and one folded solution."""
    problems = []
    labels: list[str] = []
    solved: list[str] = []
    gates: dict[str, list[str]] = {"exercise": [], "solution": []}
    for cell in cells_of(notebook, "markdown"):
        for block in myst.directives(source(cell)):
            kind, _, gate = block.name.partition("-")
            if kind not in gates:
                continue
            if gate:
                gates[kind].append(gate)
            if kind == "exercise" and gate != "end":
                labels.append(block.label)
                if not block.label.startswith("ex-"):
                    problems.append(f"{name_of(cell)}: the exercise needs a `:label: ex-...`.")
            if kind == "solution" and gate != "end":
                solved.append(block.argument)
                if "dropdown" not in block.options.get("class", "").split():
                    problems.append(
                        f"{name_of(cell)}: fold the solution of {block.argument!r} with `:class: dropdown`."
                    )
    if len(labels) < MIN_EXERCISES:
        problems.append(f"{len(labels)} exercises, {MIN_EXERCISES} at least, from recall to open.")
    for label in labels:
        if solved.count(label) != 1:
            problems.append(f"exercise {label!r} has {solved.count(label)} solutions, one is due.")
    for argument in solved:
        if argument not in labels:
            problems.append(f"a solution names {argument!r}, which labels no exercise here.")
    for kind, found in gates.items():
        if found != ["start", "end"] * (len(found) // 2):
            problems.append(f"every {kind}-start needs its {kind}-end before the next one starts.")
    return problems


def check_closing(notebook: Notebook) -> list[str]:
    problems = []
    text = "\n\n".join(source(cell) for cell in cells_of(notebook, "markdown"))
    for heading in ("Exercises", "Summary", "Further reading"):
        if (2, heading) not in myst.headings(text):
            problems.append(f"the chapter lacks the heading `## {heading}`.")
    if "{cite" not in text.rpartition("## Further reading")[2]:
        problems.append("`Further reading` cites nothing: use {cite:t}`key` of references.bib.")
    return problems


def without_magic(code: str) -> str:
    return re.sub(r"^\s*[%!].*$", "", code, flags=re.MULTILINE)


def calls(code: str) -> Iterator[str]:
    """Dotted names of what a cell calls as it runs, such as `plt.subplots`.

    The bodies of functions it defines are left out.
    """
    pending: list[ast.AST] = [ast.parse(without_magic(code))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)
        pending += list(ast.iter_child_nodes(node))


def draws(code: str) -> bool:
    """Whether a cell draws a figure, by pyplot or by vae_lib.plotting."""
    for call in calls(code):
        owner, _, function = call.rpartition(".")
        if owner == "plt" and function != "close":
            return True
        if owner.split(".")[-1] == "plotting" and not function.startswith(("use", "set")):
            return True
    return False


def shows_a_value(code: str) -> bool:
    """Whether a cell ends in an expression, whose value Jupyter then displays."""
    statements = ast.parse(without_magic(code)).body
    ends_in_value = bool(statements) and isinstance(statements[-1], ast.Expr)
    return ends_in_value and not code.rstrip().endswith(";")


def check_figures(notebook: Notebook) -> list[str]:
    """A cell that draws has a label, a caption that says what to see, alt text, folded code."""
    problems = []
    for cell in cells_of(notebook, "code"):
        metadata = cell.get("metadata", {})
        figure = metadata.get("mystnb", {}).get("figure", {})
        image = metadata.get("mystnb", {}).get("image", {})
        if not (figure or image or draws(source(cell))):
            continue
        where = f"{name_of(cell)} draws a figure"
        if not figure.get("caption", "").strip():
            problems.append(f"{where}: set metadata.mystnb.figure.caption to what is to be seen.")
        if not figure.get("name", "").startswith("fig-"):
            problems.append(f"{where}: set metadata.mystnb.figure.name to its label, `fig-...`.")
        if len(image.get("alt", "").split()) < 3:
            problems.append(f"{where}: describe it in metadata.mystnb.image.alt.")
        if "hide-input" not in metadata.get("tags", []):
            problems.append(f"{where}: tag it hide-input, so that the page shows the figure first.")
        if shows_a_value(source(cell)):
            problems.append(
                f"{where}: end its last line with `;`, or the page shows the value of that line as"
                " a figure of its own."
            )
    return problems


def check_check_cells(notebook: Notebook) -> list[str]:
    """Below every box of class `check` stands the code that asserts what it says."""
    problems = []
    for index, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "markdown":
            continue
        classes = [block.options.get("class", "").split() for block in myst.directives(source(cell))]
        if not any("check" in names for names in classes):
            continue
        below = notebook["cells"][index + 1 : index + 2]
        code = "".join(source(cell) for cell in below if cell["cell_type"] == "code")
        if not re.search(r"^\s*assert\b|\.testing\.assert", code, flags=re.MULTILINE):
            problems.append(f"{name_of(cell)} says `check`: assert it in the code cell below.")
    return problems


def check_prose(notebook: Notebook) -> list[str]:
    problems = []
    filler = re.compile(rf"\b({'|'.join(FILLERS)})\b", flags=re.IGNORECASE)
    for cell in cells_of(notebook, "markdown"):
        for word in filler.findall(myst.prose(source(cell))):
            problems.append(f"{name_of(cell)} says {word!r}: leave it out, or give the reason.")
    return problems


CHECKS: tuple[Callable[[Notebook], list[str]], ...] = (
    check_stripped,
    check_ids,
    check_kernel,
    check_code_length,
    check_opening,
    check_exercises,
    check_closing,
    check_figures,
    check_check_cells,
    check_prose,
)


def check_labels(book: Iterable[Chapter]) -> list[str]:
    """Labels are shared by the whole book, so none may be defined twice."""
    problems = []
    owner: dict[str, str] = {}
    for chapter in book:
        for label in labels_of(chapter.notebook):
            if label in owner:
                problems.append(
                    f"label {label!r} is defined in {owner[label]} and again in"
                    f" {chapter.path.name}: rename one."
                )
            owner.setdefault(label, chapter.path.name)
    return problems


def check_book(root: Path = ROOT) -> list[str]:
    book = chapters(root)
    problems = stray_notebooks(root) + check_labels(book)
    for chapter in book:
        where = chapter.path.relative_to(root)
        for check in CHECKS:
            problems += [f"{where}, {problem}" for problem in check(chapter.notebook)]
    return problems


# Tidying ------------------------------------------------------------------------------------------


def slug(text: str) -> str:
    """The first words of a text as an id."""
    words = re.findall(r"[a-z][a-z0-9]*", text.lower())
    return "-".join(words[:4])[:40].rstrip("-") or "cell"


def name_cells(notebook: Notebook) -> None:
    """Name the cells whose id a machine made after their heading; leave every other id alone."""
    taken = {cell["id"] for cell in notebook["cells"] if not machine_made(cell.get("id", ""))}
    used: set[str] = set()
    section = "start"
    for cell in notebook["cells"]:
        text = source(cell)
        if cell["cell_type"] == "markdown" and (found := myst.headings(text)):
            section = slug(found[-1][1])
        if not machine_made(cell.get("id", "")) and cell["id"] not in used:
            used.add(cell["id"])
            continue
        base = section if cell["cell_type"] == "markdown" else f"{section}-code"
        number = 1
        while (name := base if number == 1 else f"{base}-{number}") in taken | used:
            number += 1
        cell["id"] = name
        used.add(name)


def tidy(notebook: Notebook) -> None:
    """Strip what running leaves behind and name new cells, in place."""
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []
            cell["execution_count"] = None
        kept = ("tags", "mystnb", "nbgrader", "slideshow")
        cell["metadata"] = {key: cell["metadata"][key] for key in kept if key in cell["metadata"]}
        cell["source"] = source(cell).rstrip("\n").splitlines(keepends=True)
    name_cells(notebook)
    notebook["metadata"] = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    notebook["nbformat"], notebook["nbformat_minor"] = 4, 5


def written(notebook: Notebook) -> str:
    """The one way a notebook is written, so that a diff shows what an author changed."""
    return json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    if arguments == ["tidy"]:
        for path in on_disk():
            before = path.read_text(encoding="utf-8")
            notebook = json.loads(before)
            tidy(notebook)
            if written(notebook) != before:
                path.write_text(written(notebook), encoding="utf-8")
                print(f"tidied {path.relative_to(ROOT)}")
        return 0
    if arguments == ["check"]:
        problems = check_book()
        print("\n".join(problems) or "Every notebook is in order.")
        return bool(problems)
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
