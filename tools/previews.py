"""Sphinx extension: what a reader sees on resting on a link to an equation, a figure, a term, a source.

After the build, the targets of internal links are cut out of the finished pages and written to one
script, `_static/previews.js`, which preview.js loads when it is first needed. A script works where a page is
opened as a file, too; `fetch` would not.
"""

import json
import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag
from sphinx.application import Sphinx

FILE = "_static/previews.js"
#: Stands in an address for the way from the page to the top of the site.
ROOT = "{root}"
LONGEST = 6000
#: What helps to get about on the page itself, and has no place in a preview.
REMOVED = "a.headerlink, .viewcode-link, button, script, style, .toggle-button, .label"


def article(page: str) -> BeautifulSoup:
    """The text of a page, without its frame: that is most of the time that reading it takes."""
    found = re.search(r"<article\b.*?</article>", page, flags=re.DOTALL)
    return BeautifulSoup(found[0] if found else "", "html.parser")


def classes(tag: Tag) -> set[str]:
    found = tag.get("class") or ""
    return set(found.split() if isinstance(found, str) else found)


def targets_of(page: str, text: BeautifulSoup) -> set[tuple[str, str]]:
    """(page, anchor) of every internal link, pages named from the top of the site."""
    found = set()
    for link in text.select("a[href*='#']"):
        address = urlsplit(str(link["href"]))
        if not address.scheme and "headerlink" not in classes(link):
            path = posixpath.join(posixpath.dirname(page), address.path) if address.path else page
            found.add((posixpath.normpath(unquote(path)), unquote(address.fragment)))
    return found


def pieces(target: Tag) -> list[Tag]:
    """The parts of the page that a link to this place is about; none for a place without a preview."""
    if target.name == "div" and {"math", "exercise", "citation"} & classes(target):
        return [target]
    if target.name == "figure":
        # A live figure is known by its caption.
        return [*target.find_all("img", limit=1), *target.find_all("figcaption", limit=1)]
    if target.name == "dt":
        told = target.find_next_sibling("dd")
        if isinstance(told, Tag) and "sig" in classes(target):
            return [target, *told.find_all("p", recursive=False, limit=1)]
        return [target, told] if isinstance(told, Tag) else []
    return []


def preview(page: str, target: Tag) -> str:
    """The target as HTML that can stand on any page: no links, no anchors, pictures found from the top."""
    made = BeautifulSoup("".join(str(piece) for piece in pieces(target)), "html.parser")
    for piece in made.select(REMOVED):
        piece.decompose()
    for piece in made.find_all(True):
        for attribute in ("id", "role", "tabindex", "title", "style", "loading"):
            piece.attrs.pop(attribute, None)
        if piece.name == "img":
            piece["src"] = ROOT + posixpath.normpath(
                posixpath.join(posixpath.dirname(page), str(piece["src"]))
            )
            piece["alt"] = str(piece.get("alt") or "")
        if piece.name == "dt":
            piece.name = "p"
            piece["class"] = "preview-title"
        elif piece.name in ("dd", "figcaption"):
            piece.name = "div"
    for link in made.find_all("a"):
        link.unwrap()
    html = str(made).strip()
    return html if len(html) <= LONGEST else ""


def previews(pages: dict[str, str], title: Callable[[str], str]) -> dict[str, str]:
    """`page#anchor` -> preview, for every internal link of the pages. `title` names an equation's anchor."""
    texts = {name: article(page) for name, page in pages.items()}
    wanted = set().union(*(targets_of(name, text) for name, text in texts.items()))
    found = {}
    for name, text in texts.items():
        anchors = {anchor for page, anchor in wanted if page == name}
        for target in text.find_all(id=lambda value, anchors=anchors: value in anchors):
            anchor = str(target["id"])
            heading = f'<p class="preview-title">{title(anchor)}</p>' if title(anchor) else ""
            if html := preview(name, target):
                found[f"{name}#{anchor}"] = heading + html
    return dict(sorted(found.items()))


def write_previews(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.name != "html":
        return
    from reference import name_of

    site = Path(app.outdir)
    names = [f"{page}.html" for page in sorted(app.env.found_docs)]
    pages = {name: (site / name).read_text(encoding="utf-8") for name in names}
    found = previews(pages, lambda anchor: name_of(anchor[9:]) if anchor.startswith("equation-") else "")
    text = json.dumps(found, ensure_ascii=False, indent=0)
    (site / FILE).write_text(f"window.bookPreviews = {text};\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_css_file("preview.css")
    app.add_js_file("preview.js", loading_method="defer")
    app.connect("build-finished", write_previews, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
