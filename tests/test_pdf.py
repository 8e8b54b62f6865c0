"""The book on paper: what is done to a page, and the printed book itself.

Printing takes Chromium some minutes, so `make pdf` does it; the tests of the printed book need its result.
"""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import notebooks
import pdf
import pytest
import yaml
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import Page
from pypdf import PdfReader
from pypdf.generic import DictionaryObject

ROOT = Path(__file__).resolve().parent.parent
STAMP = ROOT / "_build" / ".built-from"
PAGES = {"book/one", "book/part/two"}

PAGE = """<html><body><article><section id="title"><h1>Title<a class="headerlink" href="#title">#</a></h1>
<p><span class="viewcode-link">[source]</span></p>
<p id="here"><a href="#here">1</a> <a href="../one.html#there">2</a> <a href="../one.html">3</a>
<a href="../../genindex.html">4</a> <a href="https://example.org/#x">5</a></p>
<img src="../../_images/a.svg" loading="lazy"><img src="data:image/png;base64,AA">
<label for="here" aria-labelledby="title here">6</label>
<details class="hide above-input"><summary>Show</summary>code</details><details class="other">open</details>
<figure><div><live-thing config="{}"><noscript><img src="data:," alt="still"></noscript></live-thing></div>
<figcaption><p>See.</p></figcaption></figure><noscript>no script</noscript>
<div class="quiz admonition"><p class="admonition-title">Question 1</p>
<details><summary>What each answer says</summary>No.</details></div>
<div class="exercise admonition" id="ex"><p class="admonition-title">Exercise 1</p>
<section id="exercise-content">Why?</section></div>
<div class="solution dropdown admonition" id="sol"><p class="admonition-title">Solution</p>Because.</div>
</section><script>ouch()</script></article></body></html>"""


def paper(html: str = PAGE, level: int = 2) -> Tag:
    return pdf.on_paper("book/part/two", BeautifulSoup(html, "html.parser"), PAGES, level)


def test_links_lead_to_places_in_the_document() -> None:
    targets = [str(link["href"]) for link in paper().select("p:not(.admonition-title) a")]
    assert targets == [
        "#book-part-two--here", "#book-one--there", "#book-one", "https://example.org/#x"
    ]  # fmt: skip


def test_ids_are_those_of_one_page_only() -> None:
    article = paper()
    assert article["id"] == "book-part-two"
    assert article.find(id="book-part-two--here")
    label = article.find("label")
    assert isinstance(label, Tag)
    assert label["for"] == "book-part-two--here"
    assert label["aria-labelledby"] == "book-part-two--title book-part-two--here"
    ids = [str(element["id"]) for element in article.select("[id]")]
    assert len(ids) == len(set(ids))


def test_pictures_are_found_from_where_the_document_lies() -> None:
    first, second, *_ = paper().select("img")
    assert first["src"] == "../html/_images/a.svg"
    assert "loading" not in first.attrs
    assert str(second["src"]).startswith("data:")


def test_what_is_of_no_use_on_paper_is_left_out() -> None:
    text = str(paper())
    assert not re.search("headerlink|viewcode|ouch|above-input|noscript|live-thing", text)
    assert '<details class="other" open="">' in text


def test_a_live_figure_stands_still_and_says_so() -> None:
    figure = paper().find("figure")
    assert isinstance(figure, Tag)
    assert figure.select("img[alt=still]")
    assert "live" in figure.select(".still")[0].get_text()


def test_answers_come_last_and_exercises_point_to_them() -> None:
    article = paper()
    *_, last = article.select("section")
    assert last["class"] == ["answers"]
    assert [answer.name for answer in last.find_all(["details", "div"], recursive=False)] == [
        "details",
        "div",
    ]
    links = article.select("a.to-answer")
    assert [link.get_text() for link in links] == ["Answers", "Solution"]
    assert all(last.find(id=str(link["href"]).removeprefix("#")) for link in links)
    assert not article.select(".quiz details")
    summary = last.find("summary")
    assert summary is not None
    assert summary.get_text() == "Question 1"


@pytest.mark.parametrize(("level", "name"), [(1, "h1"), (2, "h2"), (6, "h6")])
def test_headings_take_their_place_below_the_part(level: int, name: str) -> None:
    heading = paper(level=level).find(re.compile("^h[1-6]$"))
    assert heading is not None
    assert heading.name == name


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        (r"<span>7.5. </span>Careful near <span>\(\lambda = \tfrac12\)</span>", "7.5. Careful near λ = 1/2"),
        (r"\(-\log\sigma\) for \(\mu\)", "-log σ for μ"),
        ("Bread &amp;\n<code>vl.train</code>", "Bread & vl.train"),
    ],
)
def test_an_outline_shows_titles_in_plain_letters(title: str, shown: str) -> None:
    assert pdf.plain(title) == shown


def test_a_quoted_title_does_not_end_the_style() -> None:
    style = pdf.page_style("book/one", "Part", 'The "best" model')
    assert 'content: "The \\22 best\\22  model"' in style


def test_the_table_of_contents_leaves_out_what_every_chapter_has() -> None:
    number = '<span class="section-number">1.1. </span>'
    sections = "".join(f'<section id="s{i}"><h2>{number}{name}</h2></section>'
                       for i, name in enumerate(("Start", "Summary", "Further reading")))  # fmt: skip
    article = paper(
        f"<article><section id='t'><h1>Title</h1>{sections}<h2>No number</h2></section></article>"
    )
    entries = BeautifulSoup(pdf.contents_of(article, 2), "html.parser").select("a")
    assert [entry["href"] for entry in entries] == ["#book-part-two", "#book-part-two--s0"]


def test_parts_and_pages_are_those_of_the_contents(tmp_path: Path) -> None:
    assert [page for part in pdf.parts() for page in part.pages] == notebooks.toc_entries(ROOT)
    (tmp_path / "_toc.yml").write_text(
        "root: book/index\nparts:\n- caption: A\n  chapters:\n  - file: book/a.md\n"
        "    sections:\n    - file: book/b.ipynb\n"
    )
    assert pdf.parts(tmp_path) == [pdf.Part("", ("book/index",)), pdf.Part("A", ("book/a", "book/b"))]


def test_the_document_asks_for_each_script_and_style_once(tmp_path: Path) -> None:
    (tmp_path / "_build" / "html").mkdir(parents=True)
    (tmp_path / "_config.yml").write_text("{title: T & Co, author: A, logo: logo.svg}")
    (tmp_path / "_toc.yml").write_text("root: one\nparts:\n- caption: P & Q\n  chapters:\n  - file: two\n")
    for name, version in (("one", ""), ("two", "?v=1")):
        (tmp_path / "_build" / "html" / f"{name}.html").write_text(
            f'<html><head><link rel="stylesheet" href="_static/book.css{version}">'
            '<script src="book.js"></script>'
            f'<script defer src="_static/mathjax/tex.js{version}"></script></head>'
            f"<body><article><section id='s'><h1>{name}</h1></section></article></body></html>"
        )
    document = BeautifulSoup(pdf.compose(tmp_path), "html.parser")
    scripts = [str(script["src"]) for script in document.select("script")]
    assert scripts == ["../html/_static/mathjax/tex.js"]
    styles = [str(style["href"]) for style in document.select("link")]
    assert styles == ["../html/_static/book.css", "../../book/_static/print.css"]
    assert pdf.titles(str(document)) == ["Contents", "About this book", "P & Q", "two"]
    listed = [(entry["class"], entry.get_text().strip()) for entry in document.select("nav a")]
    assert listed == [(["level-1"], "About this book"), (["level-1"], "P & Q"), (["level-2"], "two")]


@pytest.mark.site
def test_what_is_too_wide_is_printed_smaller_or_reported(tab: Page) -> None:
    wide = '<tr><td style="min-width: 300px">x</td><td style="min-width: 300px">y</td></tr>'
    tab.set_content(
        f'<body style="margin: 0; width: 400px"><div><table>{wide}</table></div>'
        '<mjx-container display style="display: block; overflow: hidden">'
        '<p style="width: 60em; margin: 0">equation</p></mjx-container></body>'
    )
    assert tab.evaluate(pdf.FIT, 400) == []
    assert tab.evaluate("document.querySelector('table').getBoundingClientRect().width") <= 400
    tab.set_content('<body style="margin: 0"><p id="long" style="width: 500px">long</p></body>')
    assert 'id="long"' in tab.evaluate(pdf.FIT, 400)[0]


# The printed book ---------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def book() -> PdfReader:
    # Printing takes minutes: `make test` looks at a PDF that is there, `make pdf` makes one and runs this.
    if not STAMP.exists() or not pdf.BOOK.exists() or pdf.BOOK.stat().st_mtime < STAMP.stat().st_mtime:
        pytest.skip("There is no PDF of the site as it is now: `make pdf` prints and tests it.")
    return PdfReader(pdf.BOOK)


def entries(outline: Any, depth: int = 0) -> list[tuple[int, str, Any]]:
    """(depth, title, destination) of everything in the outline."""
    found = []
    for entry in outline:
        if isinstance(entry, list):
            found += entries(entry, depth + 1)
        else:
            found.append((depth, str(entry.title), entry))
    return found


def links(book: PdfReader) -> list[DictionaryObject]:
    found = [note.get_object() for page in book.pages for note in page.get("/Annots", [])]
    return [note for note in found if note["/Subtype"] == "/Link"]


@pytest.mark.site
def test_the_outline_has_every_part_and_chapter_in_order(book: PdfReader) -> None:
    outline = entries(book.outline)
    parts = [title for depth, title, _ in outline if depth == 0]
    assert parts == ["Contents", "About this book", *(part.caption for part in pdf.parts()[1:])]
    chapters = [title for depth, title, _ in outline if depth == 1]
    for chapter in notebooks.chapters(ROOT):
        title = notebooks.myst.headings(notebooks.source(chapter.notebook["cells"][0]))[0][1]
        assert any(found.endswith(title) for found in chapters), title
    assert len([title for depth, title, _ in outline if depth == 2]) > 10 * len(notebooks.chapters(ROOT))


@pytest.mark.site
def test_the_outline_leads_to_the_titles(book: PdfReader) -> None:
    outline = [entry for entry in entries(book.outline) if entry[0] == 1]
    numbers = [book.get_destination_page_number(entry) for *_, entry in outline]
    assert all(number is not None for number in numbers)
    assert all(before <= after for before, after in pairwise(numbers) if before and after)
    for (_, title, _), number in zip(outline, numbers, strict=True):
        assert number is not None
        text = book.pages[number].extract_text()
        assert all(word in text for word in re.findall(r"\w{4,}", title)), title


@pytest.mark.site
def test_every_internal_link_leads_to_a_page(book: PdfReader) -> None:
    places = {
        name: book.get_destination_page_number(place) for name, place in book.named_destinations.items()
    }
    internal = [str(link["/Dest"]) for link in links(book) if "/Dest" in link]
    assert len(internal) > 500
    lost = {name for name in internal if places.get(name) is None}
    assert not lost
    crossing = [
        name for name in internal if "equation-" in name or "--fig-" in name or "references--" in name
    ]
    assert len(crossing) > 100


@pytest.mark.site
def test_every_other_link_leads_to_the_web(book: PdfReader) -> None:
    external = [str(link["/A"]["/URI"]) for link in links(book) if "/A" in link]  # type: ignore[index]
    assert external
    assert [address for address in external if not re.match("https?://", address)] == []


@pytest.mark.site
def test_the_table_of_contents_names_the_right_pages(book: PdfReader) -> None:
    start = next(entry for _, title, entry in entries(book.outline) if title == "About this book")
    first = book.get_destination_page_number(start)
    text = " ".join("\n".join(page.extract_text() for page in book.pages[1:first]).split())
    for depth, title, entry in entries(book.outline):
        number = book.get_destination_page_number(entry)
        if depth == 1 and re.match(r"\d", title):
            assert number is not None
            assert f"{title} {number + 1} " in text, title


@pytest.mark.site
def test_no_page_is_empty_and_all_are_of_one_size(book: PdfReader) -> None:
    for number, page in enumerate(book.pages, start=1):
        contents = page.get_contents()
        assert contents is not None
        drawn = len(re.findall(rb"\bT[jJ]\b", contents.get_data()))
        assert drawn > 1, f"page {number} shows nothing but its number"
        assert [round(float(side)) for side in page.mediabox[2:]] == [595, 842], number
    assert book.page_labels == [str(number) for number in range(1, len(book.pages) + 1)]


@pytest.mark.site
def test_fonts_are_embedded(book: PdfReader) -> None:
    fonts = {
        font.get_object()["/BaseFont"]: font.get_object()
        for page in book.pages
        for font in page["/Resources"].get("/Font", {}).values()  # type: ignore[union-attr]
        if "/BaseFont" in font.get_object()
    }
    assert fonts
    for name, font in fonts.items():
        inner = font["/DescendantFonts"][0].get_object() if "/DescendantFonts" in font else font
        assert {"/FontFile", "/FontFile2", "/FontFile3"} & set(inner["/FontDescriptor"]), name


@pytest.mark.site
def test_the_file_says_what_it_is_and_can_be_sent(book: PdfReader) -> None:
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert book.metadata is not None
    assert (book.metadata.title, book.metadata.author) == (config["title"], config["author"])
    assert book.trailer["/Root"]["/Lang"] == "en"  # type: ignore[index]
    assert book.trailer["/Root"]["/MarkInfo"]["/Marked"]  # type: ignore[index]
    assert pdf.BOOK.stat().st_size < 40e6
