"""The reference pages: library, equations, glossary, colophon, the search that finds them, the previews."""

import datetime
import doctest
import importlib
import inspect
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import colophon
import myst
import notebooks
import previews
import pytest
import reference
from chromium import AXE, DESKTOP, PHONE, Visit, axe_source
from playwright.sync_api import Browser, Page

import vae_lib
from vae_lib import live

ROOT = Path(__file__).resolve().parent.parent
BOOK = notebooks.chapters()
GLOSSARY = (ROOT / "book/appendix/glossary.md").read_text(encoding="utf-8")


def equation_labels() -> list[str]:
    return [
        display.label
        for chapter in BOOK
        for cell in notebooks.cells_of(chapter.notebook, "markdown")
        for display in myst.displays(notebooks.source(cell))
        if display.label
    ]


def public_things() -> Iterator[tuple[str, Any]]:
    """Everything with a docstring that the pages of the library show, methods included."""
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "book/reference").glob("*.md"))
    for name in re.findall(r"automodule:: ([\w.]+)", pages):
        module = importlib.import_module(name)
        for key, thing in vars(module).items():
            ours = getattr(thing, "__module__", "").startswith(name)
            if ours and not key.startswith("_") and (inspect.isclass(thing) or inspect.isfunction(thing)):
                yield f"{name}.{key}", thing
                if inspect.isclass(thing):
                    for method, function in vars(thing).items():
                        if inspect.isfunction(function) and not method.startswith("_"):
                            yield f"{name}.{key}.{method}", function


def test_examples_fit_their_frame() -> None:
    """The box of an entry takes 88 letters, the prompt included."""
    wide = [
        f"{name}: {line}"
        for name, thing in public_things()
        for example in doctest.DocTestParser().get_examples(inspect.getdoc(thing) or "")
        for line in (example.source + example.want).splitlines()
        if len(line) > 84
    ]
    assert not wide, "\n".join(wide)


# Names, labels, terms: read from the files -----------------------------------------------------------


def test_every_equation_has_one_name() -> None:
    labels, names = equation_labels(), reference.equation_names()
    missing, left = sorted(set(labels) - set(names)), sorted(set(names) - set(labels))
    assert not missing, f"give these a name in book/reference/equations.yml: {missing}"
    assert not left, f"book/reference/equations.yml names equations that no page displays: {left}"
    assert len(set(names.values())) == len(names), "two equations have one name"
    # The search takes what stands before a dot for a module.
    assert not [name for name in names.values() if "." in name or name != name.strip()]


def test_docstrings_name_equations_that_exist() -> None:
    labels = set(equation_labels())
    named = [(name, label) for name, thing in public_things() for label in docstring_labels(thing)]
    assert not [f"{name}: no equation {label}" for name, label in named if label not in labels]
    assert len(named) > 40


def docstring_labels(thing: Any) -> list[str]:
    return reference.book_labels(thing.__doc__ or "")


def test_what_shows_a_formula_says_where_the_book_derives_it() -> None:
    things = [(name, thing) for name, thing in public_things() if ".. math::" in (thing.__doc__ or "")]
    assert not [name for name, thing in things if not docstring_labels(thing)]
    assert len(things) > 10


def test_short_names_are_unique() -> None:
    names = [reference.short_name(name) for name, _ in public_things()]
    assert len(set(names)) == len(names)


def glossary_entries() -> list[tuple[list[str], str]]:
    """(terms, definition) of every entry."""
    body = next(block.body for block in myst.directives(GLOSSARY) if block.name == "glossary")
    entries = []
    for entry in body.strip().split("\n\n"):
        lines = entry.split("\n")
        terms = [line for line in lines if not line.startswith(" ")]
        entries.append((terms, " ".join(line.strip() for line in lines[len(terms) :])))
    return entries


def test_the_glossary_defines_every_term_once_and_leads_to_its_place() -> None:
    entries = glossary_entries()
    terms = [term.lower() for names, _ in entries for term in names]
    assert len(entries) >= 60
    assert len(set(terms)) == len(terms)
    assert not [names for names, text in entries if not re.search(r"See (\{book:equation\}|\[\]\()", text)]
    cited = set(re.findall(r"\{book:equation\}`([^`]+)`", GLOSSARY))
    assert cited <= set(equation_labels())
    firsts = [names[0].lower() for names, _ in entries]
    assert firsts == sorted(firsts)


@pytest.mark.parametrize("chapter", BOOK, ids=lambda chapter: chapter.path.stem)
def test_a_chapter_says_how_long_it_takes(chapter: notebooks.Chapter) -> None:
    text = "\n\n".join(notebooks.source(cell) for cell in notebooks.cells_of(chapter.notebook, "markdown"))
    boxes = [b.body for b in myst.directives(text) if "prerequisites" in b.options.get("class", "")]
    assert re.search(r"\*\*Reading:\*\* \d+ minutes\. \*\*Running:\*\* [a-z ]+ on a laptop", boxes[0])


def test_every_source_has_a_link() -> None:
    entries = (ROOT / "book/references.bib").read_text(encoding="utf-8").split("\n@")
    bare = [entry.split(",")[0] for entry in entries if not re.search(r"\b(doi|url|eprint)\s*=", entry)]
    assert not bare


# The functions of the tools ----------------------------------------------------------------------


def test_names_are_short() -> None:
    assert reference.short_name("vae_lib.training.TrainConfig.lr_at") == "TrainConfig.lr_at"
    assert reference.short_name("vl.plotting.image_grid") == "image_grid"
    assert reference.short_name("live.KLExplorer") == "KLExplorer"


def test_what_a_cell_uses_is_read_from_its_code() -> None:
    code = "%time\nfrom vae_lib.live import BetaDial\nx = vl.plotting.image_grid(vl.load('mnist').train)"
    assert {"BetaDial", "image_grid", "load"} <= set(reference.names_used(code))
    assert not {"train", "mnist"} & set(reference.names_used(code))
    assert not list(reference.names_used("z = model.elbo(x)"))


def test_inline_code_is_recognised() -> None:
    assert reference.inline_name("vl.reparameterize(mu, logvar)", bare=False) == "reparameterize"
    assert reference.inline_name("vl.conv_vae((1, 28, 28), (8,), 10)", bare=False) == "conv_vae"
    assert reference.inline_name("train", bare=False) is None
    assert reference.inline_name("TrainConfig.seed", bare=True) == "TrainConfig.seed"
    assert reference.inline_name("vl.elbo is a bound", bare=False) is None


def test_names_in_highlighted_code_become_links() -> None:
    code = (
        '<span class="n">vl</span><span class="o">.</span><span class="n">{}</span><span class="p">(</span>'
    )
    linked = reference.link_highlighted(code.format("elbo"), {"elbo": "a.html#elbo"})
    assert linked.startswith('<a class="api" href="a.html#elbo"><span class="n">vl</span>')
    assert linked.endswith('</a><span class="p">(</span>')
    assert reference.link_highlighted(code.format("gone"), {"elbo": "a.html#elbo"}) == code.format("gone")


def test_parameters_are_no_definitions() -> None:
    signature = "f(\n<dl>\n<dd><em>x</em>,</dd>\n<dd><em>y</em>,</dd>\n</dl>\n)"
    assert reference.plain_parameters(signature).count('<span class="sig-line"><em>') == 2
    assert "<d" not in reference.plain_parameters(signature)
    assert reference.plain_parameters("<dl><dt>a</dt><dd>b</dd></dl>") == "<dl><dt>a</dt><dd>b</dd></dl>"


def test_docstrings_are_made_ready() -> None:
    lines = [
        "Sum `x`.",
        "",
        "Returns:",
        "    Shape (B,): summed.",
        "",
        "Book: eq-a-b.  Source: A (1990),",
        "p. 1.",
    ]
    lines += ["", ">>> 1", "1"]
    prepared = reference.prepare_docstring(lines)
    assert prepared[0] == "Sum ``x``."
    assert ":returns: Shape (B,): summed." in prepared
    finished = reference.finish_docstring("vae_lib.nothing", prepared)
    assert finished[-4:-1] == ["", ":In the book: :book:equation:`eq-a-b`", ":Source: A (1990), p. 1."]
    assert ".. rubric:: Example" in finished
    assert not [line for line in finished if line.startswith("Book")]


@pytest.mark.parametrize(
    ("formula", "result"),
    [
        ("a = b +\n c", "a = b + c"),
        (r"\begin{aligned} a &= b && \text{why} \\ &= c . \end{aligned}", "a = c"),
        (r"\begin{aligned} a &= b \\[2pt] &\ge c && \text{Jensen} \\ &= d \end{aligned}", r"a \ge d"),
        (r"\begin{aligned} f(b) &= \tfrac12 b^2 \\ f'(b) &= b \le 1 \\ b &= 0. \end{aligned}", "b = 0"),
        (r"\begin{aligned} a &\le b \\ &\ge c \end{aligned}", None),
        (r"\begin{aligned} a &= \begin{cases} 1 & b \\ 2 & c \end{cases} \end{aligned}", None),
        (r"a = \begin{pmatrix} 1 & 2 \end{pmatrix}", None),
    ],
)
def test_of_a_derivation_the_list_shows_its_two_ends(formula: str, result: str | None) -> None:
    assert reference.result_of(formula) == result


def test_the_list_shows_the_formulas_that_people_look_for() -> None:
    text = reference.list_of_equations(ROOT, "", "main")
    assert r"\mathrm{KL}(q \,\|\, p) = \tfrac12 \left(\mu^2 + \sigma^2 - 1 - \log \sigma^2\right)" in text
    assert r"\log p(x) = \mathrm{ELBO}(x, q) + \mathrm{KL}\bigl(q(z) \,\|\, p(z \mid x)\bigr)" in text


@pytest.mark.slow
def test_the_list_of_equations_holds_them_all() -> None:
    text = reference.list_of_equations(ROOT, "https://example.org/r", "main")
    # The two that most readers look for are long in TeX.
    for label in ("eq-kl-gaussian", "eq-pytorch-loss"):
        assert "$$" in text.partition(f"{{eq}}`{label}`")[2].partition("{eq}")[0], label
    assert re.findall(r"^\{eq\}`([^`]+)`", text, flags=re.MULTILINE) == equation_labels()
    tested = text.count("Tested in [`tests/equations/")
    assert tested == len([label for label in equation_labels() if label.startswith("eq-")])
    assert "https://example.org/r/blob/main/tests/equations/test_kl.py#L" in text
    assert "](" not in reference.list_of_equations(ROOT, "", "main")


def test_the_date_of_the_last_change(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert colophon.last_change(tmp_path) == datetime.date(1970, 1, 2)
    assert colophon.last_change_sentence(tmp_path).endswith("on 2 January 1970.")
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert colophon.last_change(tmp_path) is None
    assert colophon.last_change_sentence(tmp_path) == ""


def test_times_are_added_up() -> None:
    table = colophon.execution_table([("a.ipynb", "A", 61.4), ("b.ipynb", "B", None), ("c.ipynb", "C", 12.0)])
    assert "| [A](/a.ipynb) | 61 s |" in table
    assert "| [B](/b.ipynb) | not known |" in table
    assert table.endswith("| together | 1 min 13 s |")


def test_the_citation_is_made_from_the_file() -> None:
    citation = {"authors": [{"name": "the people"}, {"family-names": "Roe", "given-names": "Jo"}]}
    entry = colophon.bibtex(citation | {"title": "On VAEs", "version": 1, "date-released": "2026-01-02"})
    assert entry.startswith(
        "@misc{on2026,\n  author  = {{the people} and Roe, Jo},\n  title   = {{On VAEs}},"
    )
    assert "url" not in entry
    assert "year    = {2026}" in entry
    file = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    block = colophon.citation_block(ROOT, "https://example.org/r")
    assert re.search(r'title: "(.*)"', file)[1] in block
    assert "url     = {https://example.org/r}" in block


PAGES_OF_TWO = {
    "a/one.html": '<article><div class="math" id="equation-x">(1)<a class="headerlink" href="#equation-x">#'
    '</a>x</div><figure id="fig"><img src="../i/p.svg" alt="p"><figcaption>See <a href="#fig">it</a>'
    '</figcaption></figure><dl><dt id="term">word</dt><dd>means</dd></dl><a href="#fig">f</a></article>',
    "two.html": '<article><a href="a/one.html#equation-x">1</a><a href="a/one.html#term">w</a>'
    '<a href="https://example.org/#away">x</a><a href="#gone">y</a></article>',
}


def test_previews_are_cut_out_of_the_pages() -> None:
    found = previews.previews(PAGES_OF_TWO, lambda anchor: "The name" if anchor == "equation-x" else "")
    assert list(found) == ["a/one.html#equation-x", "a/one.html#fig", "a/one.html#term"]
    assert (
        found["a/one.html#equation-x"] == '<p class="preview-title">The name</p><div class="math">(1)x</div>'
    )
    assert found["a/one.html#fig"] == '<img alt="p" src="{root}i/p.svg"/><div>See it</div>'
    assert found["a/one.html#term"] == '<p class="preview-title">word</p><div>means</div>'


# The built site ----------------------------------------------------------------------------------


def inventory(site: Path) -> list[str]:
    """The lines of objects.inv: what has an entry, and where."""
    raw = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    return zlib.decompress(raw).decode().splitlines()


@pytest.mark.site
def test_every_public_name_has_an_entry(site: Path) -> None:
    entries = {reference.short_name(line.split()[0]) for line in inventory(site) if " py:" in line}
    names = set(vae_lib.__all__) - {"plotting"} | set(live.__all__)
    assert not names - entries


@pytest.mark.site
def test_entry_equation_and_chapter_point_at_each_other(site: Path) -> None:
    entry = (site / "book/reference/distributions.html").read_text(encoding="utf-8")
    entry = entry.partition('id="vae_lib.distributions.gaussian_kl"')[2].partition('<dt class="sig ')[0]
    assert "01-kl-divergence.html#equation-eq-kl-gaussian" in entry
    chapter = (site / "book/2-derivations/01-kl-divergence.html").read_text(encoding="utf-8")
    address = "../reference/distributions.html#vae_lib.distributions.gaussian_kl"
    assert f'<a class="reference internal" href="{address}"><code' in chapter
    assert f'<a class="api" href="{address}"><span class="n">vl</span>' in chapter


@pytest.mark.site
def test_the_colophon_tells_versions_and_times(site: Path) -> None:
    page = (site / "book/appendix/colophon.html").read_text(encoding="utf-8")
    assert "<!-- " not in re.search(r"<article.*?</article>", page, flags=re.DOTALL)[0]
    assert "torch" in page
    assert re.search(r"together</p></td>\s*<td><p>\d+ min \d+ s", page)


SEARCHES = {
    "ELBO identity": "02-elbo.html#equation-eq-elbo-identity",
    "Jensen": "02-probability.html#equation-eq-probability-jensen",
    "KL two Gaussians": "01-kl-divergence.html#equation-eq-kl-univariate",
    "reparameterization": "03-reparameterization.html",
    "reparameterization trick": "03-reparameterization.html",
    "importance-weighted bound": "02-elbo.html#equation-def-elbo-iwae",
    "gumbel-max": "03-reparameterization.html#equation-eq-reparam-gumbel-max",
    "recognition model": "glossary.html#term-recognition-model",
    "variational bound": "glossary.html#term-variational-bound",
    "gaussian_kl": "distributions.html#vae_lib.distributions.gaussian_kl",
    "posterior collapse": "03-posterior-collapse.html",
}


@pytest.mark.site
@pytest.mark.parametrize("query", SEARCHES)
def test_the_search_leads_to_the_place(query: str, base: str, tab: Page) -> None:
    Visit(tab, base).open("search.html?q=" + query.replace(" ", "+"))
    tab.wait_for_selector("#search-results li:nth-child(2) a", timeout=10_000)
    links = tab.locator("#search-results li > a")
    first = [links.nth(i).get_attribute("href") or "" for i in range(2)]
    assert any(link.endswith(SEARCHES[query]) for link in first), first


CHAPTER = "book/4-understanding/03-posterior-collapse.html"
FAR = ".bd-article a.reference[href*='02-elbo.html#equation-']"
NEAR = ".bd-article a.reference[href^='#equation-']"
SOURCE = ".bd-article a.reference[href*='references.html#']"
API = ".bd-article a.api"
#: On a page of the library, which axe reads faster than a chapter.
SHORT = ".bd-article a.reference[href*='#equation-']"


def fits(page: Page) -> bool:
    """Whether the preview lies within the window and cuts no formula off."""
    return bool(
        page.evaluate("""() => {
            const box = document.querySelector(".preview.ready"), place = box.getBoundingClientRect();
            return place.left >= 0 && place.right <= document.documentElement.clientWidth
                && [...box.querySelectorAll("mjx-container")].every(f => f.scrollWidth <= f.clientWidth + 1);
        }""")
    )


@pytest.mark.site
@pytest.mark.parametrize("kind", ["http", "file"])
def test_a_link_shows_what_it_leads_to(kind: str, base: str, site: Path, tab: Page) -> None:
    visit = Visit(tab, base if kind == "http" else site.as_uri() + "/")
    visit.open(CHAPTER)
    box = tab.locator(".preview.ready")
    for link, typeset in ((FAR, True), (NEAR, True), (SOURCE, False), (API, False)):
        target = tab.locator(link).first
        target.scroll_into_view_if_needed()
        target.hover()
        box.wait_for(timeout=5_000)
        assert (box.locator("mjx-container").count() > 0) == typeset
        assert len(box.inner_text()) > 10
        assert box.locator("a, [id]").count() == 0
        assert fits(tab)
        assert target.get_attribute("aria-describedby") == "preview"
        tab.keyboard.press("Escape")
        assert box.count() == 0
        assert target.get_attribute("aria-describedby") is None
        tab.mouse.move(2, 2)
    assert not visit.problems


@pytest.mark.site
def test_the_pointer_may_go_into_a_preview(base: str, tab: Page) -> None:
    Visit(tab, base).open(CHAPTER)
    box = tab.locator(".preview.ready")
    tab.locator(FAR).first.hover()
    box.wait_for(timeout=5_000)
    place = box.bounding_box()
    assert place is not None
    tab.mouse.move(place["x"] + 40, place["y"] + 20, steps=5)
    tab.wait_for_timeout(600)
    assert box.count() == 1
    tab.mouse.move(2, 2)
    tab.wait_for_timeout(600)
    assert box.count() == 0


@pytest.mark.site
def test_the_keyboard_opens_and_closes_a_preview(base: str, tab: Page) -> None:
    Visit(tab, base).open("book/reference/distributions.html")
    # A script's focus counts as the keyboard's only after a key was pressed.
    tab.keyboard.press("Tab")
    tab.locator(SHORT).first.evaluate("link => link.focus()")
    tab.locator(".preview.ready").wait_for(timeout=5_000)
    tab.evaluate(axe_source())
    assert tab.evaluate(AXE, None) == []
    tab.keyboard.press("Tab")
    tab.wait_for_timeout(100)
    assert tab.locator(SHORT).first.get_attribute("aria-describedby") is None


@pytest.mark.site
def test_a_tap_follows_the_link(base: str, browser: Browser) -> None:
    page = browser.new_page(viewport=PHONE, has_touch=True, is_mobile=True)
    Visit(page, base).open(CHAPTER)
    target = page.locator(NEAR).first
    target.scroll_into_view_if_needed()
    target.tap()
    page.wait_for_timeout(800)
    assert page.locator(".preview").count() == 0
    assert "#equation-" in page.url
    page.close()


@pytest.mark.site
def test_a_permalink_appears_and_copies_its_address(base: str, browser: Browser) -> None:
    context = browser.new_context(viewport=DESKTOP, permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    Visit(page, base).open(CHAPTER)
    link = page.locator("span.eqno a.headerlink").first
    opacity = "a => Number(getComputedStyle(a).opacity)"
    assert link.evaluate(opacity) == 0
    page.keyboard.press("Tab")
    link.evaluate("a => a.focus()")
    page.wait_for_timeout(400)
    assert link.evaluate(opacity) > 0.5
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)
    assert page.evaluate("() => navigator.clipboard.readText()") == page.url
    assert "#equation-" in page.url
    assert page.locator("[role=status].copied").inner_text() == "Address copied"
    Visit(page, base).open("book/appendix/cite.html")
    page.locator("div.highlight").first.hover()
    page.locator("button.copybtn").first.click()
    page.wait_for_timeout(300)
    assert page.evaluate("() => navigator.clipboard.readText()").startswith("@misc{")
    context.close()


@pytest.mark.site
def test_every_internal_reference_to_an_equation_has_a_preview(site: Path) -> None:
    text = (site / "_static/previews.js").read_text(encoding="utf-8")
    found = json.loads(text.removeprefix("window.bookPreviews = ").rstrip().removesuffix(";"))
    assert {f"equation-{label}" for label in equation_labels()} <= {key.partition("#")[2] for key in found}
    assert not [
        key for key, html in found.items() if "<script" in html or "<live-" in html or "href=" in html
    ]
