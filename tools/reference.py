"""Sphinx extension: the library and the chapters point at each other, and every equation has a name.

- The API pages are made from docstrings. A line `Book: eq-kl-gaussian.` in one becomes a link to that
  equation, and every entry lists the chapters whose code uses it.
- In the chapters, `vl.gaussian_kl` leads to its entry, in the text and in the code.
- Every labelled equation is an object of the domain `book` under its name in book/reference/equations.yml, so
  that the search finds it, and `equations.md` lists them all.
"""

import argparse
import ast
import html
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import colophon
import myst
import notebooks
import yaml
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.builders import Builder
from sphinx.config import Config
from sphinx.domains import Domain, ObjType
from sphinx.environment import BuildEnvironment
from sphinx.roles import XRefRole
from sphinx.transforms.post_transforms import SphinxPostTransform

ROOT = Path(__file__).resolve().parent.parent
FOLDER = "book/reference/"
#: Read in every build: Sphinx drops the index entries of a page that it does not read from the search.
GLOSSARY = "book/appendix/glossary"
#: Pages made from all the others, or from what is known only when the book is built.
MADE = (FOLDER, "book/appendix/colophon", "book/appendix/cite", GLOSSARY)
#: What stands before the name of a function: `vl.plotting.image_grid`, `live.KLExplorer`.
PACKAGES = ("vl", "vae_lib", "live")
MODULES = {path.stem for path in (ROOT / "vae_lib").glob("[a-z]*.py")} | set(PACKAGES)


# Names of the library -----------------------------------------------------------------------------


def short_name(dotted: str) -> str:
    """A name of the library without package and module, which is unique: `TrainConfig.lr_at`."""
    parts = dotted.split(".")
    while len(parts) > 1 and parts[0] in MODULES:
        parts.pop(0)
    return ".".join(parts)


def names_used(code: str) -> Iterator[str]:
    """Short names of what a cell takes from the library."""
    for node in ast.walk(ast.parse(notebooks.without_magic(code))):
        if isinstance(node, ast.Attribute):
            dotted = ast.unparse(node)
            if re.fullmatch(rf"(?:{'|'.join(PACKAGES)})(\.\w+)+", dotted):
                yield short_name(dotted)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "vae_lib":
            yield from (alias.name for alias in node.names)


@cache
def users() -> dict[str, list[str]]:
    """Short name -> the chapters whose code uses it, in reading order."""
    found: dict[str, list[str]] = {}
    for chapter in notebooks.chapters(ROOT):
        page = str(chapter.path.relative_to(ROOT).with_suffix(""))
        cells = notebooks.cells_of(chapter.notebook, "code")
        for name in {name for cell in cells for name in names_used(notebooks.source(cell))}:
            found.setdefault(name, []).append(page)
    return found


# Docstrings ---------------------------------------------------------------------------------------


def prepare_docstring(lines: list[str]) -> list[str]:
    """The book's way to write docstrings as napoleon and reStructuredText understand it."""
    text = "\n".join(lines)
    # Code stands in single quotes; a role such as :class:`VAE` stays what it is.
    text = re.sub(r"(?<![`:\w])`([^`\n]+)`(?!`)", r"``\1``", text)

    # Napoleon would take the words before a colon for the type of the result.
    def returns(match: re.Match[str]) -> str:
        body = textwrap.indent(textwrap.dedent(match[2]).strip(), "   ").strip()
        return f"{match[1]}:returns: {body}\n"

    text = re.sub(r"^( *)Returns:\n((?:\1 +\S.*\n?)+)", returns, text, flags=re.MULTILINE)
    return text.split("\n")


def book_labels(docstring: str) -> list[str]:
    """The equations that the line `Book: ...` of a docstring names."""
    line = re.search(r"^\s*Book: ([^.]+)\.", docstring, flags=re.MULTILINE)
    return line[1].split(", ") if line else []


def finish_docstring(name: str, lines: list[str]) -> list[str]:
    """Example with a heading, then where the book derives this, where it comes from and who uses it."""
    text = "\n".join(lines)
    labels = book_labels(text)
    source = re.search(r"(?:^|  )Source: ((?:.+\n?)+)", text, flags=re.MULTILINE)
    text = re.sub(r"^(?:Book|Source): (?:.+\n?)+", "", text, flags=re.MULTILINE)
    text = re.sub(r"^>>> ", ".. rubric:: Example\n\n>>> ", text, count=1, flags=re.MULTILINE)
    fields = {
        "In the book": [f":book:equation:`{label}`" for label in labels],
        "Source": [" ".join(source[1].split())] if source else [],
        "Used in": [f":doc:`/{page}`" for page in users().get(short_name(name), [])],
    }
    shown = [f":{title}: " + "; ".join(items) for title, items in fields.items() if items]
    return [*text.rstrip().split("\n"), "", *shown, ""]


def before_napoleon(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    lines[:] = prepare_docstring(lines)


def after_napoleon(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    if what != "module":
        lines[:] = finish_docstring(name, lines)


def skip_field(app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any) -> bool | None:
    """A field of a NamedTuple stands in the signature already."""
    return True if (getattr(thing, "__doc__", "") or "").startswith("Alias for field number") else None


# Equations ----------------------------------------------------------------------------------------


@cache
def equation_names(root: Path = ROOT) -> dict[str, str]:
    """Label -> name."""
    return yaml.safe_load((root / f"{FOLDER}equations.yml").read_text(encoding="utf-8"))


def name_of(label: str) -> str:
    """An equation without a name is called after its label."""
    return equation_names().get(label) or label.partition("-")[2].replace("-", " ")


def read_test_places(root: Path) -> dict[str, tuple[str, int]]:
    """Label -> file and line of its first test."""
    found: dict[str, tuple[str, int]] = {}
    for path in sorted((root / "tests" / "equations").glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_eq_"):
                label = node.name.removeprefix("test_").partition("__")[0].replace("_", "-")
                found.setdefault(label, (str(path.relative_to(root)), node.lineno))
    return found


def result_of(formula: str) -> str | None:
    """What a displayed formula states, in one line: itself, or the two ends of a derivation.

    Of several equations below each other, the last. None where it cannot be told: formulas with cases or
    matrices, and steps that point both ways.
    """
    formula = " ".join(formula.split())
    if "&" not in formula:
        return formula
    body = formula.removeprefix(r"\begin{aligned}").removesuffix(r"\end{aligned}")
    if r"\begin" in body or body == formula:
        return None
    left, relations, right = "", set[str](), ""
    for row in re.split(r"\\\\(?:\[\w+\])?", body):
        start, _, rest = row.partition("&&")[0].strip().partition("&")
        step = re.match(r"(=|<|>|\\(?:le|ge|approx|propto|to)\b)(.*)", rest.strip())
        if not step or "&" in step[2]:
            return None
        if start.strip():
            left, relations = start.strip(), set()
        relations.add(step[1])
        right = step[2].strip()
    relation = "=" if relations == {"="} else " ".join(relations - {"="})
    return f"{left} {relation} {right}".rstrip(" .,;") if left and " " not in relation else None


def list_of_equations(root: Path, repository: str, branch: str) -> str:
    """Every labelled equation of the book, chapter by chapter: name, number, formula, test."""
    tests = read_test_places(root)
    lines: list[str] = []
    for chapter in notebooks.chapters(root):
        texts = [notebooks.source(cell) for cell in notebooks.cells_of(chapter.notebook, "markdown")]
        found = [display for text in texts for display in myst.displays(text) if display.label]
        if not found:
            continue
        lines += [f"## {myst.headings(texts[0])[0][1]}", ""]
        for display in found:
            lines += [f"{{eq}}`{display.label}` {name_of(display.label)}"]
            formula = result_of(display.text)
            several = display.label.startswith("def-") and "&" in display.text
            told = []
            if formula and not several:
                told += [f"$$\n{formula}\n$$"]
            if display.label in tests:
                path, line = tests[display.label]
                address = f"{repository}/blob/{branch}/{path}#L{line}"
                told += [f"Tested in [`{path}`]({address})." if repository else f"Tested in `{path}`."]
            told = told or ["A definition."]
            body = textwrap.indent("\n\n".join(told), "  ").lstrip()
            lines += [f": {body}", ""]
    return "\n".join(lines)


class BookDomain(Domain):
    """The equations of the book by name, for the search and for links from the library."""

    name = "book"
    label = "Book"
    object_types = {"equation": ObjType("equation", "equation")}  # noqa: RUF012 (as in Sphinx)
    roles = {"equation": XRefRole(warn_dangling=True)}  # noqa: RUF012

    def get_objects(self) -> Iterable[tuple[str, str, str, str, str, int]]:
        for label, (page, _) in self.env.get_domain("math").data["objects"].items():
            name = name_of(label)
            yield name, name, "equation", page, f"equation-{label}", 0

    def resolve_xref(
        self,
        env: BuildEnvironment,
        fromdocname: str,
        builder: Builder,
        typ: str,
        target: str,
        node: pending_xref,
        contnode: nodes.Element,
    ) -> nodes.Element | None:
        """A link with number and name, and one to the chapter."""
        page, _ = env.get_domain("math").data["objects"].get(target, ("", 0))
        if not page:
            return None
        anchor = f"equation-{target}"
        number = env.toc_fignumbers.get(page, {}).get("displaymath", {}).get(anchor, ())
        place = builder.get_relative_uri(fromdocname, page)
        link = nodes.reference(
            "", f"({'.'.join(map(str, number))}) ", internal=True, refuri=f"{place}#{anchor}"
        )
        link += nodes.Text(name_of(target))
        chapter = nodes.reference("", env.titles[page].astext(), internal=True, refuri=place)
        return nodes.inline("", "", link, nodes.Text(", in "), chapter)

    def merge_domaindata(self, docnames: list[str], otherdata: dict[str, Any]) -> None:
        """Nothing of its own to merge."""


# Links from the chapters to the library ---------------------------------------------------------------


def api_addresses(builder: Builder, page: str) -> dict[str, str]:
    """Short name -> address of its entry, seen from a page."""
    return {
        short_name(name): f"{builder.get_relative_uri(page, entry.docname)}#{entry.node_id}"
        for name, entry in builder.env.get_domain("py").data["objects"].items()
        if entry.objtype != "module"
    }


def inline_name(text: str, bare: bool) -> str | None:
    """The short name that a piece of inline code stands for: `vl.train`, `vl.train(model, x)`.

    On the pages of the library a name may stand bare.
    """
    match = re.fullmatch(r"([A-Za-z_][\w.]*)(?:\(.*\))?", text, flags=re.DOTALL)
    if match is None or not (bare or match[1].split(".")[0] in PACKAGES):
        return None
    return short_name(match[1])


class LinkInlineCode(SphinxPostTransform):
    """Inline code that names a part of the library leads to its entry. Headings stay plain."""

    default_priority = 400

    def run(self, **kwargs: Any) -> None:
        page = self.env.docname
        addresses = api_addresses(self.app.builder, page)
        for literal in list(self.document.findall(nodes.literal)):
            name = inline_name(literal.astext(), bare=page.startswith(FOLDER))
            if name in addresses and not out_of_place(literal, addresses[name].partition("#")[2]):
                link = nodes.reference("", "", internal=True, refuri=addresses[name])
                literal.replace_self(link)
                link += literal


def out_of_place(literal: nodes.literal, anchor: str) -> bool:
    """Whether a link may not stand here: in a link, a heading, or the entry that it would lead to."""
    parent = literal.parent
    while parent is not None:
        own = any(
            anchor in child.get("ids", ()) for child in parent.children if isinstance(child, nodes.Element)
        )
        if own or isinstance(parent, nodes.reference | nodes.title | nodes.term):
            return True
        parent = parent.parent
    return False


# As Pygments writes `vl.plotting.image_grid`.
CHAIN = re.compile(
    rf'<span class="n">(?:{"|".join(PACKAGES)})</span>'
    r'(?:<span class="o">\.</span><span class="n">\w+</span>)+'
)


def link_highlighted(page: str, addresses: dict[str, str]) -> str:
    """Code as Pygments wrote it, with a link around every name of the library."""

    def linked(match: re.Match[str]) -> str:
        dotted = html.unescape(re.sub(r"<[^>]+>", "", match[0]))
        address = addresses.get(short_name(dotted))
        return f'<a class="api" href="{address}">{match[0]}</a>' if address else match[0]

    return CHAIN.sub(linked, page)


# Sphinx sets the parameters of a long signature as a list of definitions that define nothing.
PARAMETERS = re.compile(r"<dl>\s*((?:<dd>(?:(?!</?d[ld]>).)*</dd>\s*)+)</dl>", re.DOTALL)


def plain_parameters(page: str) -> str:
    """Each parameter of a long signature in a line of its own."""

    def lines(match: re.Match[str]) -> str:
        return match[1].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")

    return PARAMETERS.sub(lines, page)


def finish_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if doctree is not None and "body" in context:
        context["body"] = link_highlighted(context["body"], api_addresses(app.builder, page))
        if page.startswith(FOLDER):
            context["body"] = plain_parameters(context["body"])


# What is written into pages as they are read ----------------------------------------------------------


def command_help(command: str) -> str:
    """What `python -m vae_lib COMMAND --help` prints, in lines that fit a page."""
    from vae_lib.__main__ import _parser  # brings torch along, which takes seconds to load

    parser = _parser()[1][command]
    parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=72)
    return f"```text\n{parser.format_help()}```"


def generated(app: Sphinx) -> dict[str, Callable[[], str]]:
    """Marker in a page -> what makes the text that takes its place."""
    options = app.config.html_theme_options
    repository, branch = options.get("repository_url", ""), options.get("repository_branch", "main")
    made: dict[str, Callable[[], str]] = {
        "every equation": lambda: list_of_equations(ROOT, repository, branch),
        "last change": lambda: colophon.last_change_sentence(ROOT),
        "versions": lambda: colophon.versions(ROOT),
        "execution times": lambda: colophon.execution_table(
            colophon.execution_seconds(app.config.nb_execution_cache_path, ROOT)
        ),
        "citation": lambda: colophon.citation_block(ROOT, repository),
    }
    for command in ("train", "evaluate", "sample"):
        made[f"help of {command}"] = partial(command_help, command)
    return {f"<!-- {name} -->": make for name, make in made.items()}


def fill_page(app: Sphinx, page: str, source: list[str]) -> None:
    if page.startswith(MADE):
        for marker, make in generated(app).items():
            if marker in source[0]:
                source[0] = source[0].replace(marker, make())


# Sphinx -----------------------------------------------------------------------------------------------


def rank_results(app: Sphinx, config: Config) -> None:
    """Order the results of the search by our own rules. Sphinx wants the path of a script."""
    config.html_search_scorer = str(ROOT / "book" / "_static" / "search_scorer.js")


def always_outdated(app: Sphinx, env: BuildEnvironment, added: Any, changed: Any, removed: Any) -> list[str]:
    """These pages are made from all the others: they are read again in every build."""
    users.cache_clear()
    equation_names.cache_clear()
    return [page for page in env.found_docs if page.startswith(MADE)]


def setup(app: Sphinx) -> dict[str, Any]:
    app.setup_extension("previews")
    app.connect("config-inited", rank_results)
    app.add_domain(BookDomain)
    app.add_post_transform(LinkInlineCode)
    app.connect("autodoc-process-docstring", before_napoleon, priority=400)
    app.connect("autodoc-process-docstring", after_napoleon, priority=600)
    app.connect("autodoc-skip-member", skip_field)
    app.connect("source-read", fill_page)
    app.connect("env-get-outdated", always_outdated)
    app.connect("html-page-context", finish_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
