"""`make pdf`: the whole built site as one PDF, _build/vae-book.pdf.

The text of every page goes into one HTML document, made fit for paper: live figures stand still, the code
of figures is left out, solutions move to the end of their chapter, links lead to places in the document.
Chromium typesets and prints that document; pypdf adds what Chromium cannot: who wrote it, the page labels.
"""

import logging
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape, unescape
from pathlib import Path
from posixpath import join, normpath
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import sync_playwright
from pypdf import PdfReader, PdfWriter
from pypdf.constants import PageLabelStyle
from pypdf.generic import BooleanObject, DictionaryObject, NameObject, TextStringObject
from release import EARLIEST, source_date

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
BOOK = BUILD / "vae-book.pdf"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

# A4 less the margins of print.css, in the 96 pixels to an inch of CSS.
TEXT_WIDTH, TEXT_HEIGHT = 635, 930
PATIENCE = 300_000.0  # milliseconds

# What has no use on paper; of folded cells only the picture is printed.
LEFT_OUT = "a.headerlink, .viewcode-link, details.hide.above-input, script, style, .paper-omit"
# Answers wait at the end of the chapter, out of sight of who wants to think first.
ANSWERS = "div.solution.admonition, .quiz.admonition details"
# Every chapter ends in these, so the table of contents leaves them out.
SAME = ("Summary", "Further reading")
# Attributes that name the id of another element.
REFERENCES = ("for", "aria-labelledby", "aria-describedby", "aria-controls")

SETTLE = """async patience => {
    const settled = async () => {
        await MathJax.startup.promise;
        await document.fonts.ready;
        await Promise.all([...document.images].map(image => image.decode().catch(() => {})));
    };
    const late = new Promise((_, fail) =>
        setTimeout(() => fail(Error("the mathematics is not typeset in time")), patience));
    await Promise.race([settled(), late]);
}"""
# Paper does not scroll: what is too wide is printed smaller.
FIT = """width => {
    for (const math of document.querySelectorAll("mjx-container[display]")) {
        const room = math.clientWidth, needed = math.scrollWidth;
        if (needed > room) math.style.fontSize = `${100 * 0.99 * room / needed}%`;
    }
    for (const table of document.querySelectorAll("table")) {
        const room = table.parentElement.clientWidth, needed = table.scrollWidth;
        if (needed > room) table.style.zoom = 0.99 * room / needed;
    }
    // The browser would shrink every page until the widest of them fits.
    return [...document.querySelectorAll("body *")]
        .filter(part => part.getBoundingClientRect().right > width + 1 && !part.closest("mjx-assistive-mml"))
        .map(part => part.outerHTML.slice(0, 120));
}"""
NUMBER_CONTENTS = """numbers => {
    for (const link of document.querySelectorAll("nav.book-contents a"))
        link.querySelector(".page").textContent = numbers[link.hash.slice(1)] ?? "";
}"""


@dataclass(frozen=True)
class Part:
    """Pages that stand together; the front page has no caption."""

    caption: str
    pages: tuple[str, ...]


def parts(root: Path = ROOT) -> list[Part]:
    """The pages of the book in the order of `_toc.yml`."""

    def files(entries: list[dict[str, object]]) -> Iterator[str]:
        for entry in entries:
            yield re.sub(r"\.(ipynb|md)$", "", str(entry["file"]))
            yield from files(entry.get("sections", []))  # type: ignore[arg-type]

    contents = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    found = [Part("", (contents["root"],))]
    return found + [Part(part["caption"], tuple(files(part["chapters"]))) for part in contents["parts"]]


# One page -----------------------------------------------------------------------------------------


def anchor(page: str, place: str = "") -> str:
    """The id in the document of a place on a page; without a place, of the page itself."""
    return re.sub(r"[^\w-]+", "-", page) + (f"--{place}" if place else "")


def make_unique(article: Tag, page: str, pages: set[str]) -> None:
    """Give every id the page's name in front, and lead links to where their target is now."""
    for element in article.find_all(True):
        if "id" in element.attrs:
            element["id"] = anchor(page, str(element["id"]))
        for name in REFERENCES:
            if name in element.attrs:
                element[name] = " ".join(anchor(page, one) for one in str(element[name]).split())
    for element in article.select("[src]"):
        if not urlsplit(str(element["src"])).scheme:
            element["src"] = normpath(join("../html", page, "..", str(element["src"])))
    for link in article.select("a[href]"):
        path, place = urldefrag(str(link["href"]))
        if urlsplit(path).scheme:
            continue
        target = normpath(join(page, "..", unquote(path))).removesuffix(".html") if path else page
        if target in pages:
            link["href"] = "#" + anchor(target, unquote(place))
        else:  # the index, the search, a file to download: the document has none of them
            link.unwrap()


def stand_still(article: Tag, document: BeautifulSoup) -> None:
    """Show the picture that a live figure keeps for readers without scripts."""
    for still in article.select("noscript"):
        live = still.parent
        picture = still.find("img")
        if live is None or not live.name.startswith("live-") or not isinstance(picture, Tag):
            still.decompose()
            continue
        figure = live.find_parent("figure")
        live.replace_with(picture)
        if figure is not None and (caption := figure.find("figcaption")) is not None:
            note = document.new_tag("p", attrs={"class": "still"})
            note.string = "A still picture. On the site, this figure is live."
            caption.append(note)


def gather_answers(article: Tag, page: str, document: BeautifulSoup) -> None:
    """Move the answers behind everything else, under a heading of their own."""
    answers = article.select(ANSWERS)
    chapter = article.find("section")
    if not answers or chapter is None:
        return
    section = document.new_tag("section", attrs={"id": anchor(page, "answers"), "class": "answers"})
    heading = document.new_tag("h2")
    heading.string = "Solutions"
    section.append(heading)
    for number, answer in enumerate(answers):
        place = str(answer.get("id") or anchor(page, f"answer-{number}"))
        question = answer.find_parent(class_="quiz") or answer.find_previous(class_="exercise")
        title = question.find(class_="admonition-title") if question is not None else None
        if answer.name == "details":
            if title is not None and (summary := answer.find("summary")) is not None:
                summary.string = title.get_text()
            answer["open"] = ""
        answer["id"] = place
        if title is not None:
            link = document.new_tag("a", attrs={"href": f"#{place}", "class": "to-answer"})
            link.string = "Solution" if answer.name == "div" else "Answers"
            title.append(link)
        section.append(answer.extract())
    chapter.append(section)


def on_paper(page: str, built: BeautifulSoup, pages: set[str], level: int) -> Tag:
    """The text of a page, fit for the document, with its title at the given level."""
    article = built.find("article")
    assert isinstance(article, Tag), f"{page} has no text"
    for element in article.select(LEFT_OUT):
        element.decompose()
    for element in article.select("#exercise-content, #solution-content"):
        del element["id"]  # every exercise of a page has the same
    make_unique(article, page, pages)
    stand_still(article, built)
    gather_answers(article, page, built)
    for details in article.select("details"):
        details["open"] = ""
    for image in article.select("img[loading]"):
        del image["loading"]  # nobody scrolls to it
    for heading in article.find_all(re.compile("^h[1-6]$")):
        heading.name = f"h{min(6, int(heading.name[1]) + level - 1)}"
    article.name = "section"
    article["class"] = "bd-article chapter"
    article["id"] = anchor(page)
    return article


# The document -------------------------------------------------------------------------------------


def page_style(page: str, left: str, right: str) -> str:
    """What stands above the text of one chapter. A page of its own kind also begins on a new sheet."""
    left, right = (text.replace("\\", "").replace('"', "\\22 ") for text in (left, right))
    name = anchor(page)
    return (
        f'@page {name} {{ @top-left {{ content: "{left}" }} @top-right {{ content: "{right}" }} }}\n'
        f"#{name} {{ page: {name} }}\n"
    )


def contents_entry(level: int, target: str, title: str) -> str:
    return f'<a class="level-{level}" href="#{target}"><span>{title}</span><span class="page"></span></a>\n'


def contents_of(chapter: Tag, level: int) -> str:
    """Its lines in the table of contents: the title, and the sections that other chapters do not have."""
    title, *sections = chapter.find_all([f"h{level}", f"h{level + 1}"])
    lines = [contents_entry(level, str(chapter["id"]), title.decode_contents())]
    for section in sections:
        numbered = section.find(class_="section-number") is not None
        if numbered and section.parent is not None and not plain(str(section)).endswith(SAME):
            lines.append(contents_entry(level + 1, str(section.parent["id"]), section.decode_contents()))
    return "".join(lines)


def title_page(config: dict[str, Any]) -> str:
    date = source_date()
    edition = f"Edition of {date:%B} {date.year}" if date > EARLIEST else ""
    return f"""<section class="title-page">
<img src="../../{config["logo"]}" alt="">
<p class="title">{escape(config["title"])}</p>
<p class="author">{escape(config["author"])}</p>
<p class="edition">{edition}</p>
</section>"""


def compose(root: Path = ROOT) -> str:
    """The whole book as one HTML document, to be put into `_build/pdf`."""
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    book = parts(root)
    pages = {page for part in book for page in part.pages}
    head: dict[str, None] = {}  # each line once, in the order in which the pages ask for them
    styles = contents = text = ""
    for number, part in enumerate(book):
        level = 2 if part.caption else 1
        if part.caption:
            name = f"part-{number}"
            contents += contents_entry(1, name, escape(part.caption))
            text += f'<section class="part" id="{name}"><h1>{escape(part.caption)}</h1></section>\n'
        for page in part.pages:
            html = (root / "_build" / "html" / f"{page}.html").read_text(encoding="utf-8")
            built = BeautifulSoup(html, "html.parser")
            for line in built.select("head link[rel=stylesheet], head script"):
                if line.name == "link" or "mathjax" in str(line).lower():
                    for key in {"href", "src"} & set(line.attrs):
                        # The version behind the question mark may differ between pages.
                        path = urlsplit(str(line[key])).path
                        line[key] = normpath(join("../html", page, "..", path))
                    head[str(line)] = None
            chapter = on_paper(page, built, pages, level)
            title = chapter.find(f"h{level}")
            assert isinstance(title, Tag), f"{page} has no title"
            if not part.caption:
                title.string = "About this book"
            styles += page_style(page, part.caption or config["title"], plain(str(title)))
            contents += contents_of(chapter, level)
            text += f"{chapter}\n"
    return f"""<!DOCTYPE html>
<html lang="en" data-theme="light">
<head><meta charset="utf-8"><title>{escape(config["title"])}</title>
{"".join(f"{line}" for line in head)}
<link rel="stylesheet" href="../../book/_static/print.css"><style>{styles}</style></head>
<body class="paper">
{title_page(config)}
<nav class="bd-article book-contents"><h1>Contents</h1>
{contents}</nav>
{text}</body></html>"""


def plain(html: str) -> str:
    r"""A title as an outline can show it: no tags, formulas as letters.

    >>> plain(r"<span>7.5. </span>Careful near <span>\(\lambda = \tfrac12\)</span>")
    '7.5. Careful near λ = 1/2'
    """

    def symbol(match: re.Match[str]) -> str:
        name = match[1].replace("lambda", "lamda")  # as Unicode spells it
        try:
            return unicodedata.lookup(f"GREEK SMALL LETTER {name}")
        except KeyError:
            return f"{match[1]} "

    text = re.sub(r"\\[()]", "", unescape(re.sub(r"<[^>]*>", "", html)))
    text = re.sub(r"\\[td]?frac\s*\{?(\w)\}?\{?(\w)\}?", r"\1/\2", text)
    return " ".join(re.sub(r"\\([a-zA-Z]+)", symbol, text).split())


def titles(html: str) -> list[str]:
    """Every heading of the document, in order."""
    return [plain(text) for _, text in re.findall(r"<h([1-6])[^>]*>(.*?)</h\1>", html, re.DOTALL)]


# Printing -----------------------------------------------------------------------------------------


def page_numbers(pdf: Path) -> dict[str, int]:
    """The page, counted from one, on which each place that a link leads to lies."""
    reader = PdfReader(pdf)
    found = {}
    for name, place in reader.named_destinations.items():
        number = reader.get_destination_page_number(place)
        if number is not None:
            found[name.removeprefix("/")] = number + 1
    return found


def print_pages(html: Path, pdf: Path) -> list[str]:
    """Print the document; return what is too wide for the paper."""
    program = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if program is None:
        raise SystemExit("No Chromium on PATH: `apt-get install chromium`, or install Google Chrome.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        page = browser.new_page(viewport={"width": TEXT_WIDTH, "height": TEXT_HEIGHT})
        page.set_default_timeout(PATIENCE)
        page.emulate_media(media="print")
        page.goto(html.as_uri())
        page.evaluate(SETTLE, PATIENCE)
        too_wide = page.evaluate(FIT, TEXT_WIDTH)
        # Once, and without what costs time, to learn where everything lies; then with the page numbers.
        page.pdf(path=pdf, prefer_css_page_size=True, print_background=True)
        page.evaluate(NUMBER_CONTENTS, page_numbers(pdf))
        page.pdf(path=pdf, prefer_css_page_size=True, print_background=True, outline=True, tagged=True)
        browser.close()
    return too_wide


def outline(node: DictionaryObject) -> Iterator[DictionaryObject]:
    """The entries below a node of the outline, from top to bottom."""
    entry = node.get("/First")
    while entry is not None:
        found = entry.get_object()
        yield found
        yield from outline(found)
        entry = found.get("/Next")


def finish(printed: Path, pdf: Path, headings: list[str], config: dict[str, Any]) -> int:
    """Add what Chromium leaves out, and return the number of pages."""
    writer = PdfWriter(clone_from=printed)
    # Chromium doubles the words of some headings and drops their formulas.
    for entry, heading in zip(outline(writer.get_outline_root()), headings, strict=True):
        entry[NameObject("/Title")] = TextStringObject(heading)
    date = source_date().strftime("D:%Y%m%d%H%M%S+00'00'")
    writer.add_metadata(
        {"/Title": config["title"], "/Author": config["author"], "/CreationDate": date, "/ModDate": date}
    )
    # The number at the foot of a page and the one that a reader types are the same.
    writer.set_page_label(0, len(writer.pages) - 1, style=PageLabelStyle.DECIMAL, start=1)
    writer.pdf_header = "%PDF-1.7"
    writer.page_mode = "/UseOutlines"
    preferences = DictionaryObject({NameObject("/DisplayDocTitle"): BooleanObject(True)})
    writer.root_object[NameObject("/ViewerPreferences")] = preferences
    unfinished = pdf.with_suffix(".part")
    writer.write(unfinished)
    unfinished.replace(pdf)
    return len(writer.pages)


def main() -> int:
    logging.getLogger("pypdf").setLevel(logging.ERROR)  # Chromium miscounts its objects, which harms nothing
    if not (BUILD / "html" / "index.html").exists():
        print("There is no site to print: run `make book` first.")
        return 1
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    work = BUILD / "pdf"
    work.mkdir(exist_ok=True)
    html, printed = work / "book.html", work / "printed.pdf"
    document = compose()
    html.write_text(document, encoding="utf-8")
    if too_wide := print_pages(html, printed):
        print("Too wide for the paper:", *too_wide, sep="\n  ")
        return 1
    count = finish(printed, BOOK, titles(document), config)
    print(f"{BOOK.relative_to(ROOT)} has {count} pages, {BOOK.stat().st_size / 1e6:.1f} MB.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
