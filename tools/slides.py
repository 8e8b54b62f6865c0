"""`make slides`: lecture decks from the cells that a chapter marks as slides.

    python tools/slides.py              write _build/slides, from the book as it was built last
    python tools/slides.py skip         keep every cell off the slides that does not say where it goes

A cell says where it goes in Jupyter's own metadata, `"slideshow": {"slide_type": "slide"}` (or `subslide`,
`fragment`, `notes`, `skip`), which JupyterLab edits and nbconvert reads. A chapter of which any cell is
shown has a deck. What nbconvert does not know is MyST: numbers and references come from the built book.
"""

import base64
import html
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import myst
import nbformat
import notebooks
from book_extension import CACHE_FOLDER, keep_pieces_once, outcome_hash
from jinja2 import FileSystemLoader
from jupyter_cache import get_cache
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from nbconvert import SlidesExporter
from nbformat import NotebookNode
from pybtex.database import Entry, parse_file
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer
from traitlets.config import Config

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
TEMPLATE = "slides.html.j2"
FORMATTER = HtmlFormatter(style="a11y-high-contrast-light")
SHOWN = ("slide", "subslide", "fragment")


# What the built book knows ------------------------------------------------------------------------


@dataclass(frozen=True)
class Book:
    """What a cell may point to, as the built pages show it."""

    numbers: dict[str, str]  #: label -> "4.12" of an equation, "Fig. 4.2" of a figure
    titles: dict[str, str]  #: name of a chapter's file -> its title
    sources: dict[str, str]  #: key of a source -> "Kingma and Welling, 2014"
    glued: dict[str, str]  #: key -> what a cell of this chapter stored under it


def numbers_on(page: str) -> dict[str, str]:
    """Label -> number of every equation and figure on a built page."""
    equations = re.findall(r'id="equation-([^"]+)">\s*<span class="eqno">\(([^)]+)\)', page)
    figures = re.findall(
        r'<figure[^>]*\bid="([^"]+)"[^>]*>(?:(?!</figure>).)*?caption-number">([^<]+)', page, re.S
    )
    return dict(equations) | {label: number.strip() for label, number in figures}


def short_source(entry: Entry) -> str:
    """A source as a text names it, authors and year."""
    names = [" ".join(str(name) for name in person.rich_last_names) for person in entry.persons["author"]]
    who = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
    return f"{who}, {entry.fields['year']}"


def glued_values(notebook: NotebookNode) -> dict[str, str]:
    """Key -> value of everything that the cells stored with `glue`."""
    kind = "application/papermill.record/text/plain"
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return {o.metadata.scrapbook.name: o.data[kind] for o in outputs if kind in o.get("data", {})}


# MyST to HTML -------------------------------------------------------------------------------------


class Renderer(RendererHTML):
    """HTML of a cell's Markdown: MathJax's brackets, the book's numbers, boxes for admonitions."""

    def __init__(self, book: Book, folder: Path) -> None:
        super().__init__(None)
        self.book = book
        self.folder = folder

    def of(self, markdown: str) -> str:
        return str(self.render(myst.PARSER.parse(markdown), myst.PARSER.options, {}))

    def inline(self, markdown: str) -> str:
        return str(self.render(myst.PARSER.parseInline(markdown), myst.PARSER.options, {}))

    def number(self, label: str) -> str:
        if label not in self.book.numbers:
            raise LookupError(f"The built book has no number for {label!r}: run `make book`.")
        return self.book.numbers[label]

    # Each method below renders the token that it is named after.

    def math_inline(self, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
        return rf"\({html.escape(tokens[i].content)}\)"

    def math_block(self, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
        return rf"\[{html.escape(tokens[i].content.strip())}\]" + "\n"

    math_inline_double = amsmath = math_block

    def math_block_label(self, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
        tag = rf" \tag{{{self.number(tokens[i].info)}}}"
        return rf"\[{html.escape(tokens[i].content.strip())}{tag}\]" + "\n"

    def myst_target(self, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
        return ""

    myst_line_comment = myst_block_break = myst_target

    def myst_role(self, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
        role, text = tokens[i].meta["name"], tokens[i].content
        if role == "eq":
            return f"({self.number(text)})"
        if role in ("numref", "ref"):
            return html.escape(self.number(text))
        if role == "glue:text":
            key, _, spec = text.partition(":")
            value = self.book.glued[key]
            return html.escape(format(float(value), spec) if spec else value.strip("'\""))
        if role in ("cite", "cite:p", "cite:t"):
            sources = [self.book.sources[key.strip()] for key in text.split(",")]
            if role == "cite:t":
                return html.escape("; ".join(re.sub(r", (\d+)$", r" (\1)", source) for source in sources))
            return html.escape(f"({'; '.join(sources)})")
        raise LookupError(f"A slide cannot show the role {{{role}}}`{text}`.")

    def link_open(self, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
        """A link within the book becomes a name: a deck is shown apart from the pages."""
        name = Path(str(tokens[i].attrs["href"])).name
        empty = tokens[i + 1].type == "link_close"
        return f"<em>{html.escape(self.book.titles[name])}" if empty else "<em>"

    def link_close(self, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
        return "</em>"

    def fence(self, tokens: Sequence[Token], i: int, options: Any, env: Any) -> str:
        block = myst.directive(tokens[i])
        if block is None:
            return code(tokens[i].content)
        if block.name == "admonition":
            kind = html.escape(block.options.get("class", ""))
            title = f'<p class="admonition-title">{self.inline(block.argument)}</p>'
            return f'<div class="admonition {kind}">{title}{self.of(block.body)}</div>'
        if block.name == "figure":
            picture = (self.folder / block.argument).read_bytes()
            return self.figure(
                image("image/svg+xml", picture, block.options.get("alt", "")), block.label, block.body
            )
        raise LookupError(f"A slide cannot show the directive {{{block.name}}}.")

    colon_fence = fence

    def figure(self, content: str, label: str, caption: str) -> str:
        words = f"<b>{self.number(label)}</b> {self.inline(caption.strip())}"
        return f"<figure>{content}<figcaption>{words}</figcaption></figure>"


def code(source: str) -> str:
    return str(highlight(source, PythonLexer(), FORMATTER))


def image(kind: str, content: bytes, alt: str) -> str:
    return f'<img alt="{html.escape(alt)}" src="data:{kind};base64,{base64.b64encode(content).decode()}">'


def output_html(output: NotebookNode, alt: str) -> str:
    """One output of a cell, in the richest form that a page can show without help."""
    if output.output_type == "stream":
        return f"<pre>{html.escape(output.text)}</pre>"
    if "text/html" in output.data:
        return str(output.data["text/html"])
    if "image/svg+xml" in output.data:
        return image("image/svg+xml", output.data["image/svg+xml"].encode(), alt)
    if "image/png" in output.data:
        return image("image/png", base64.b64decode(output.data["image/png"]), alt)
    return f"<pre>{html.escape(output.data.get('text/plain', ''))}</pre>"


def is_seen(output: NotebookNode) -> bool:
    """Glued values are stored as outputs that nobody sees."""
    return not any("papermill.record" in kind for kind in output.get("data", {}))


def code_cell(cell: NotebookNode, render: Renderer) -> str:
    """Code, unless the page folds it away, and outputs, as a figure where the chapter names one."""
    shown = "" if "hide-input" in cell.metadata.get("tags", []) else code(cell.source)
    settings = cell.metadata.get("mystnb", {})
    alt = settings.get("image", {}).get("alt", "")
    outputs = "".join(output_html(output, alt) for output in cell.outputs if is_seen(output))
    if figure := settings.get("figure"):
        outputs = render.figure(outputs, figure["name"], figure["caption"])
    return shown + (f'<div class="output">{outputs}</div>' if outputs else "")


# Decks --------------------------------------------------------------------------------------------


def slide_type(cell: dict[str, Any]) -> str:
    """Where a cell goes; empty where it does not say, and then nbconvert puts it below the cell before."""
    return str(cell["metadata"].get("slideshow", {}).get("slide_type", ""))


def decks(root: Path = ROOT) -> Iterator[notebooks.Chapter]:
    """The chapters that have a deck."""
    for chapter in notebooks.chapters(root):
        if any(slide_type(cell) in SHOWN for cell in chapter.notebook["cells"]):
            yield chapter


def executed(path: Path, root: Path = ROOT) -> NotebookNode:
    """A chapter as it is marked now, with the outputs of its last execution."""
    cache = get_cache(root / "_build" / CACHE_FOLDER / outcome_hash(root))
    try:
        return cache.merge_match_into_notebook(nbformat.read(path, as_version=4))[1]
    except KeyError:
        raise LookupError(f"{path.name} has changed since it was executed: run `make book`.") from None


def name_sections(notebook: NotebookNode) -> None:
    """Tell each slide without a heading of its own which section it belongs to."""
    section = ""
    for cell in notebook.cells:
        found = myst.headings(cell.source) if cell.cell_type == "markdown" else []
        if not found and slide_type(cell) in ("slide", "subslide"):
            cell.metadata.section = section
        section = found[-1][1] if found else section


def deck(notebook: NotebookNode, render: Renderer) -> str:
    """One page with all slides of a chapter."""
    exporter = SlidesExporter(
        config=Config({"CoalesceStreamsPreprocessor": {"enabled": True}}),
        template_file=TEMPLATE,
        extra_loaders=[FileSystemLoader(Path(__file__).parent)],
        filters={
            "markdown_html": render.of,
            "inline_html": render.inline,
            "code_html": lambda cell: code_cell(cell, render),
        },
    )
    name_sections(notebook)
    title = next(text for cell in notebook.cells for _, text in myst.headings(cell.source))
    resources = {"title": title, "code_css": FORMATTER.get_style_defs(".highlight")}
    page, _ = exporter.from_notebook_node(notebook, resources)
    return keep_pieces_once(page)


def copy_programs(site: Path, target: Path) -> None:
    """Put beside the decks what they run: reveal.js, MathJax, the live figures."""
    package = find_spec("sphinx_revealjs")  # for the copy of reveal.js in it
    if package is None or package.origin is None:
        raise LookupError("sphinx-revealjs is missing: pip install -r requirements-dev.txt")
    reveal = Path(package.origin).parent / "_static" / "revealjs"
    target.mkdir(parents=True)
    for source in (
        reveal / "dist" / "reveal.js",
        reveal / "dist" / "reveal.css",
        reveal / "plugin" / "notes" / "notes.js",
    ):
        shutil.copy2(source, target)
    shutil.copy2(reveal / "LICENSE", target / "reveal-LICENSE")
    shutil.copy2(site / "_static" / "live.js", target)
    shutil.copytree(site / "_static" / "mathjax", target / "mathjax")


def contents(names: dict[str, str]) -> str:
    """A page that lists the decks."""
    rows = "".join(f'<li><a href="{name}">{html.escape(title)}</a></li>' for name, title in names.items())
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Slides</title>'
        '<meta name="viewport" content="width=device-width"><style>body{font:1.2rem/1.8 system-ui,sans-serif;'
        "margin:3rem auto;max-width:40rem;padding:0 1rem}</style></head><body><main><h1>Slides</h1>"
        f"<ul>{rows}</ul><p>Space goes on, S opens the speaker's view, ? lists all keys.</p>"
        "</main></body></html>\n"
    )


def build(target: Path, root: Path = ROOT) -> dict[str, str]:
    """Write every deck into the folder; name of the file -> title."""
    site = root / "_build" / "html"
    if not (root / "_build" / ".built-from").exists():
        raise LookupError("The book is not built, or its last build failed: run `make book`.")
    chapters = notebooks.chapters(root)
    numbers: dict[str, str] = {}
    for chapter in chapters:
        page = site / chapter.path.relative_to(root).with_suffix(".html")
        numbers |= numbers_on(page.read_text(encoding="utf-8"))
    titles = {c.path.name: myst.headings(notebooks.source(c.notebook["cells"][0]))[0][1] for c in chapters}
    entries = parse_file(root / "book" / "references.bib").entries
    sources = {key: short_source(entry) for key, entry in entries.items() if "author" in entry.persons}
    shutil.rmtree(target, ignore_errors=True)
    copy_programs(site, target / "programs")
    written = {}
    for chapter in decks(root):
        notebook = executed(chapter.path, root)
        book = Book(numbers, titles, sources, glued_values(notebook))
        name = f"{chapter.path.stem.split('-', 1)[1]}.html"
        (target / name).write_text(deck(notebook, Renderer(book, chapter.path.parent)), encoding="utf-8")
        written[name] = titles[chapter.path.name]
    (target / "index.html").write_text(contents(written), encoding="utf-8")
    return written


def skip_unmarked(root: Path = ROOT) -> None:
    """Mark every cell of a deck's chapter that does not say where it goes as `skip`."""
    for chapter in decks(root):
        for cell in chapter.notebook["cells"]:
            if not slide_type(cell):
                cell["metadata"]["slideshow"] = {"slide_type": "skip"}
        chapter.path.write_text(notebooks.written(chapter.notebook), encoding="utf-8")


def main(arguments: list[str]) -> int:
    if arguments == ["skip"]:
        skip_unmarked()
        return 0
    if arguments:
        print(__doc__)
        return 2
    try:
        written = build(BUILD / "slides")
    except LookupError as problem:
        print(problem)
        return 1
    print(f"{len(written)} decks are written. Open {(BUILD / 'slides' / 'index.html').as_uri()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
