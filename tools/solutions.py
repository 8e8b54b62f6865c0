"""A book without worked solutions: `BOOK_SOLUTIONS=hide make book`.

For a course in which solutions are handed out later. The chapters are executed as they are, so both books
show the same outputs. Then every solution is taken out: from the pages, from what points to it, from the
search, and from the notebooks that the site offers for download.
"""

import json
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import myst
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.errors import ConfigError
from sphinx.transforms import SphinxTransform
from sphinx_exercise.nodes import solution_node

VARIABLE = "BOOK_SOLUTIONS"
TAG = "solution"
LEFT_OUT = "(not in this edition)"


# The text of a chapter ----------------------------------------------------------------------------


def cut_references(text: str, lost: Collection[str]) -> str:
    """The text with plain words where it points to one of the lost labels."""

    def words(found: re.Match[str]) -> str:
        title, label = found.groups()
        return found.group() if label.lower() not in lost else (title or "").strip() or LEFT_OUT

    text = re.sub(r"\{[a-z:]+\}`(?:([^`<]+)<)?([^`<>]+)>?`", words, text)
    return re.sub(r"\[([^\]]*)\]\(#([^)]+)\)", words, text)


def cut_notebook(notebook: dict[str, Any], lost: Collection[str] = ()) -> tuple[dict[str, Any], str]:
    """The notebook without its solutions, and the text that was taken out of it."""
    cells, gone, inside = [], [], False
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            kept, cut, inside = myst.split_solutions(source, inside)
            gone.append(cut)
            if kept.strip():
                cells.append(cell | {"source": cut_references(kept.strip("\n"), lost)})
        elif inside or TAG in cell["metadata"].get("tags", []):
            gone.append(source)
        else:
            cells.append(cell)
    return notebook | {"cells": cells}, "\n\n".join(gone)


def cut_file(path: Path, lost: Collection[str] = ()) -> tuple[str, str]:
    """The same for a file: what stays of its text, and what goes."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        kept, gone, _ = myst.split_solutions(text, inside=False)
        return cut_references(kept, lost), gone
    notebook, gone = cut_notebook(json.loads(text), lost)
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", gone


# The pages ----------------------------------------------------------------------------------------


class CutSolutions(SphinxTransform):
    """Take the solutions out of a page before anything on it is numbered, collected or indexed."""

    default_priority = 11  # the gated ones are put together at 10

    def apply(self, **kwargs: Any) -> None:
        document = self.document
        for solution in [*document.findall(is_solution)]:
            for node in solution.findall(nodes.Element):
                for name in node.get("names", ()):
                    for registry in (document.nameids, document.nametypes):
                        registry.pop(name, None)
                for identifier in node.get("ids", ()):
                    document.ids.pop(identifier, None)
            if solution.parent is not None:
                solution.parent.remove(solution)
        lost = self.env.labels_in_solutions  # type: ignore[attr-defined]
        for reference in [*document.findall(is_reference)]:
            if target_of(reference) in lost:
                words = reference.astext() if is_explicit(reference) else ""
                reference.replace_self(nodes.inline(text=words or LEFT_OUT))


def is_solution(node: nodes.Node) -> bool:
    return isinstance(node, solution_node) or (
        isinstance(node, nodes.Element) and f"tag_{TAG}" in node.get("classes", ())
    )


def is_reference(node: nodes.Node) -> bool:
    return isinstance(node, (pending_xref, nodes.reference))


def target_of(reference: nodes.Element) -> str:
    """The label that a role or a Markdown link points to."""
    target = reference.get("reftarget") or reference.get("refuri") or ""
    return str(target).lower().rpartition("#")[2]


def is_explicit(reference: nodes.Element) -> bool:
    """Whether the author gave the words; a role without them holds the label."""
    return not isinstance(reference, pending_xref) or bool(reference.get("refexplicit"))


def note_labels(app: Sphinx, env: BuildEnvironment, names: list[str]) -> None:
    """Every label inside a solution, whichever page it is on: nothing may point there."""
    sources = [Path(env.doc2path(name)) for name in env.found_docs]
    env.labels_in_solutions = {  # type: ignore[attr-defined]
        label.lower() for path in sources for label in myst.labels(cut_file(path)[1])
    }


def cut_sources(app: Sphinx, error: Exception | None) -> None:
    """Take the solutions out of the sources that the pages offer for download."""
    lost = getattr(app.env, "labels_in_solutions", ())  # a build that failed early has none
    for path in (Path(app.outdir) / "_sources").rglob("*"):
        if path.suffix in (".ipynb", ".md"):
            path.write_text(cut_file(path, lost)[0], encoding="utf-8")


def refuse_buttons(app: Sphinx, config: Config) -> None:
    if os.environ.get("BOOK_REPOSITORY", "").strip():
        raise ConfigError(
            f"{VARIABLE}=hide with BOOK_REPOSITORY: the buttons would lead readers to the notebooks in the"
            " repository, which hold the solutions. Build without BOOK_REPOSITORY."
        )


def setup(app: Sphinx) -> dict[str, Any]:
    wish = os.environ.get(VARIABLE, "").strip().lower() or "show"
    if wish not in ("show", "hide"):
        raise ConfigError(f"{VARIABLE} is {wish!r}: it has to be 'show', which is the default, or 'hide'.")
    if wish == "hide":
        app.add_transform(CutSolutions)
        app.connect("config-inited", refuse_buttons)
        app.connect("env-before-read-docs", note_labels)
        app.connect("build-finished", cut_sources)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
