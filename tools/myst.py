"""Reading MyST Markdown as the book's builder reads it: directives, labels, mathematics, prose."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token
from mdit_py_plugins.amsmath import amsmath_plugin
from mdit_py_plugins.colon_fence import colon_fence_plugin
from mdit_py_plugins.dollarmath import dollarmath_plugin
from mdit_py_plugins.myst_blocks import myst_block_plugin
from mdit_py_plugins.myst_role import myst_role_plugin

PARSER = (
    MarkdownIt("commonmark")
    .enable("table")
    .use(dollarmath_plugin, allow_labels=True, double_inline=True)
    .use(amsmath_plugin)
    .use(colon_fence_plugin)
    .use(myst_role_plugin)
    .use(myst_block_plugin)
)
# Directives whose body is no Markdown.
VERBATIM = {"bibliography", "code", "code-block", "math", "raw", "tableofcontents", "toctree"}


@dataclass(frozen=True)
class Directive:
    name: str
    argument: str
    options: dict[str, str] = field(default_factory=dict)
    body: str = ""

    @property
    def label(self) -> str:
        return self.options.get("label") or self.options.get("name", "")


def directive(token: Token) -> Directive | None:
    """The directive a fence opens, or nothing where the fence holds plain code."""
    opening = re.match(r"\{([\w:.-]+)\}\s*(.*)", token.info.strip())
    if token.type not in ("fence", "colon_fence") or not opening:
        return None
    options: dict[str, str] = {}
    lines = token.content.splitlines()
    while lines and (option := re.match(r"\s*:([\w-]+):\s*(.*)", lines[0])):
        options[option.group(1)] = option.group(2).strip()
        lines.pop(0)
    return Directive(opening.group(1), opening.group(2).strip(), options, "\n".join(lines))


@cache  # a text is asked for its directives, its labels and its prose in turn
def tokens(markdown: str) -> tuple[Token, ...]:
    return tuple(PARSER.parse(markdown))


def walk(markdown: str, inside: tuple[str, ...] = ()) -> Iterator[tuple[Token, tuple[str, ...]]]:
    """Every token, those within directives included, with the names of the directives around it."""
    for token in tokens(markdown):
        yield token, inside
        found = directive(token)
        if found and found.name not in VERBATIM:
            yield from walk(found.body, (*inside, found.name))


def directives(markdown: str) -> list[Directive]:
    return [found for token, _ in walk(markdown) if (found := directive(token))]


def headings(markdown: str) -> list[tuple[int, str]]:
    """(level, text) of every heading."""
    found = [token for token, _ in walk(markdown)]
    return [
        (int(opening.tag[1]), inline.content)
        for opening, inline in pairwise(found)
        if opening.type == "heading_open"
    ]


def prose(markdown: str) -> str:
    """What is read as sentences: no code, no mathematics, no link targets."""
    pieces = []
    for token, _ in walk(markdown):
        for child in token.children or ():
            if child.type in ("text", "softbreak"):
                pieces.append(child.content or " ")
        if token.type == "inline":
            pieces.append("\n")
    return "".join(pieces)


def labels(markdown: str) -> list[str]:
    """Every label the text defines: targets, equations, directives."""
    found = []
    for token, _ in walk(markdown):
        if token.type == "myst_target":
            found.append(token.content)
        elif token.type == "math_block_label":
            found.append(token.info)
        elif (block := directive(token)) and block.label:
            found.append(block.label)
    return found


@dataclass(frozen=True)
class Display:
    """A displayed equation; the label is empty where it has none."""

    label: str
    text: str
    inside: tuple[str, ...]


def displays(markdown: str) -> list[Display]:
    """Every displayed equation, however it is written."""
    found = []
    for token, inside in walk(markdown):
        block = directive(token)
        if token.type in ("math_block", "math_block_label", "amsmath"):
            label = token.info if token.type == "math_block_label" else ""
            found.append(Display(label, token.content.strip(), inside))
        elif block and block.name == "math":
            found.append(Display(block.label, block.body.strip(), inside))
        for child in token.children or ():
            if child.type == "math_inline_double":
                found.append(Display("", child.content.strip(), inside))
    return found


def split_solutions(text: str, inside: bool) -> tuple[str, str, bool]:
    """What of a text is no solution, what is, and whether the next cell goes on with one."""
    kept: list[str] = []
    gone: list[str] = []
    lines = text.splitlines(keepends=True)
    done = 0
    for token in tokens(text):
        block = directive(token)
        if block is None or token.map is None or not block.name.startswith("solution"):
            continue
        start, end = token.map
        (gone if inside else kept).extend(lines[done:start])
        gone.extend(lines[start:end])
        inside = block.name == "solution-start"
        done = end
    (gone if inside else kept).extend(lines[done:])
    return "".join(kept), "".join(gone), inside
