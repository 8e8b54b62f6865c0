"""The cell that a chapter needs on Google Colab, where neither the library nor the book's files are.

    python tools/colab.py                      put the cell into every chapter, in front of its first code
    python tools/colab.py ADDRESS BRANCH       and tell it where the book is published

The chapters in the repository do not know the repository's address, so that a copy of it needs no edits. The
workflow that publishes the site fills the address in and pushes the result to a branch of its own, which
the launch buttons open: a reader gets the chapters as they were when the pages were made.
"""

import sys
from pathlib import Path
from string import Template

import notebooks

ROOT = Path(__file__).resolve().parent.parent
CELL_ID = "colab"
SOURCE = Template("""\
# Only Google Colab needs this cell: it fetches the book and installs its library. Elsewhere it does nothing.
try:
    import google.colab
except ImportError:
    pass
else:
    import os, subprocess, sys
    book, repository, branch = "/content/vae-book", "$repository", "$branch"
    if not repository:
        raise RuntimeError("This copy does not know where the book is. Use the button on the chapter's page.")
    if not os.path.exists(book):
        clone = ["git", "clone", "--quiet", "--depth=1", f"--branch={branch}", repository, book]
        subprocess.run(clone, check=True)
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", book, "myst-nb"], check=True)
    os.chdir(f"{book}/$folder")""")


def cell_source(folder: str, repository: str = "", branch: str = "") -> str:
    """The cell of a chapter in this folder of the repository."""
    return SOURCE.substitute(folder=folder, repository=repository, branch=branch)


def put_cell(notebook: notebooks.Notebook, source: str) -> None:
    """Put the cell in front of the first code, or renew it where it stands, in place."""
    cells = notebook["cells"]
    cell = next((cell for cell in cells if cell.get("id") == CELL_ID), None)
    if cell is None:
        first = next(i for i, cell in enumerate(cells) if cell["cell_type"] == "code")
        cell = {"cell_type": "code", "id": CELL_ID, "execution_count": None, "outputs": []}
        cells.insert(first, cell)
    cell["metadata"] = {"tags": ["remove-cell"]}
    cell["source"] = source.splitlines(keepends=True)


def main(arguments: list[str]) -> int:
    if len(arguments) not in (0, 2):
        print(__doc__)
        return 2
    for chapter in notebooks.chapters(ROOT):
        folder = chapter.path.parent.relative_to(ROOT).as_posix()
        put_cell(chapter.notebook, cell_source(folder, *arguments))
        chapter.path.write_text(notebooks.written(chapter.notebook), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
