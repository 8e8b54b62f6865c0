"""The decks: which cells are on them, what becomes of MyST, and how each slide looks in a browser."""

import base64
import json
from pathlib import Path

import nbformat
import notebooks
import pytest
import slides
import solutions
from chromium import Visit, unavailable
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parent.parent
DECKS = list(slides.decks(ROOT))
STAGE = {"width": 1280, "height": 720}
# The decks take long to make: all tests of this file in one process.
pytestmark = pytest.mark.xdist_group("slides")
TYPES = {*slides.SHOWN, "notes", "skip"}
BOOK = slides.Book(
    numbers={"eq-a": "4.1", "fig-b": "Fig. 4.2"},
    titles={"02-elbo.ipynb": "The ELBO"},
    sources={"k2014": "Kingma and Welling, 2014", "b2016": "Burda et al., 2016"},
    glued={"gap": "0.123456", "name": "'dense'"},
)

# Which cells ---------------------------------------------------------------------------------------


def test_four_core_chapters_have_a_deck() -> None:
    names = ("from-autoencoders-to-vaes", "kl-divergence", "elbo", "reparameterization")
    assert [deck.path.stem.split("-", 1)[1] for deck in DECKS] == list(names)


@pytest.mark.parametrize("deck", DECKS, ids=lambda deck: deck.path.stem)
def test_every_cell_says_where_it_goes(deck: notebooks.Chapter) -> None:
    """Untold, a cell is appended to the slide before: JupyterLab and nbconvert do that."""
    cells = deck.notebook["cells"]
    untold = [cell["id"] for cell in cells if slides.slide_type(cell) not in TYPES]
    assert not untold, f"{untold}: run `python tools/slides.py skip`, or make slides of them."
    starts = [cell for cell in cells if slides.slide_type(cell) in ("slide", "subslide")]
    assert 12 <= len(starts) <= 20


@pytest.mark.parametrize("deck", DECKS, ids=lambda deck: deck.path.stem)
def test_no_answer_and_no_hidden_cell_is_on_a_slide(deck: notebooks.Chapter) -> None:
    kept, _ = solutions.cut_notebook(deck.notebook)
    open_to_all = {cell["id"] for cell in kept["cells"]}
    for cell in deck.notebook["cells"]:
        if slides.slide_type(cell) != "skip":
            assert cell["id"] in open_to_all
            assert "{solution}" not in notebooks.source(cell)
            assert "remove-cell" not in cell["metadata"].get("tags", [])


def test_skip_marks_what_is_unmarked(tmp_path: Path) -> None:
    def cell(name: str, kind: str = "") -> dict[str, object]:
        metadata = {"slideshow": {"slide_type": kind}} if kind else {}
        return {"cell_type": "markdown", "id": name, "metadata": metadata, "source": "# A"}

    (tmp_path / "_toc.yml").write_text("root: a\nchapters: [{file: b}]\n")
    for name, cells in {"a": [cell("one")], "b": [cell("one", "slide"), cell("two")]}.items():
        (tmp_path / f"{name}.ipynb").write_text(json.dumps({"cells": cells}))
    slides.skip_unmarked(tmp_path)
    marks = [
        [slides.slide_type(cell) for cell in json.loads((tmp_path / f"{name}.ipynb").read_text())["cells"]]
        for name in "ab"
    ]
    assert marks == [[""], ["slide", "skip"]]


# What becomes of MyST ------------------------------------------------------------------------------


@pytest.fixture
def render(tmp_path: Path) -> slides.Renderer:
    (tmp_path / "x.svg").write_text("<svg/>")
    return slides.Renderer(BOOK, tmp_path)


@pytest.mark.parametrize(
    ("markdown", "wanted"),
    [
        ("$a < b$", r"<p>\(a &lt; b\)</p>"),
        ("$$\na\n$$ (eq-a)", r"\[a \tag{4.1}\]"),
        ("$$ a $$", r"\[a\]"),
        ("By {eq}`eq-a`.", "<p>By (4.1).</p>"),
        ("See {numref}`fig-b`.", "<p>See Fig. 4.2.</p>"),
        ("{glue:text}`gap:.2f` {glue:text}`name`", "<p>0.12 dense</p>"),
        ("{cite}`k2014,b2016`", "<p>(Kingma and Welling, 2014; Burda et al., 2016)</p>"),
        ("{cite:t}`k2014`", "<p>Kingma and Welling (2014)</p>"),
        ("[](../2-derivations/02-elbo.ipynb)", "<p><em>The ELBO</em></p>"),
        ("[the bound](02-elbo.ipynb)", "<p><em>the bound</em></p>"),
        (
            ":::{admonition} A $b$\n:class: pitfall\n\n*c*\n:::",
            r'<div class="admonition pitfall"><p class="admonition-title">A \(b\)</p><p><em>c</em></p>'
            + "\n</div>",
        ),
        (
            "```{figure} x.svg\n:name: fig-b\n:alt: A <b>\n\nSee $c$.\n```",
            '<figure><img alt="A &lt;b&gt;" src="data:image/svg+xml;base64,PHN2Zy8+">'
            r"<figcaption><b>Fig. 4.2</b> See \(c\).</figcaption></figure>",
        ),
        ("(target)=\ntext", "<p>text</p>"),
    ],
)
def test_myst_becomes_html(render: slides.Renderer, markdown: str, wanted: str) -> None:
    assert render.of(markdown).strip() == wanted


@pytest.mark.parametrize("markdown", ["{eq}`eq-gone`", "{abbr}`x`", "```{note}\nx\n```"])
def test_what_a_slide_cannot_show_is_refused(render: slides.Renderer, markdown: str) -> None:
    with pytest.raises(LookupError):
        render.of(markdown)


def test_numbers_come_from_the_built_page() -> None:
    page = (
        '<div class="math" id="equation-eq-a">\n<span class="eqno">(4.1)<a href="#">#</a></span></div>'
        '<figure class="x" id="plain"><img></figure>'
        '<figure class="align-default" id="fig-b">\n<img>\n<figcaption>'
        '<p><span class="caption-number">Fig. 4.2 </span>'
    )
    assert slides.numbers_on(page) == BOOK.numbers


def test_a_code_cell_becomes_code_and_figure(render: slides.Renderer) -> None:
    picture = base64.b64encode(b"png").decode()
    shown = new_output("display_data", {"image/png": picture, "text/plain": "<Figure>"})
    stored = new_output("display_data", {"application/papermill.record/text/plain": "1"})
    stored.metadata.scrapbook = {"name": "key"}
    cell = new_code_cell("x = 1", outputs=[stored, shown])
    assert 'class="highlight"' in slides.code_cell(cell, render)
    cell.metadata = nbformat.from_dict(
        {
            "tags": ["hide-input"],
            "mystnb": {"figure": {"name": "fig-b", "caption": "C"}, "image": {"alt": "B"}},
        }
    )
    text = slides.code_cell(cell, render)
    assert text.count("<img") == 1
    assert f'<figure><img alt="B" src="data:image/png;base64,{picture}"><figcaption><b>Fig. 4.2</b> C' in text
    assert "highlight" not in text
    assert slides.glued_values(new_notebook(cells=[cell])) == {"key": "1"}


def test_a_deck_has_the_marked_cells_and_no_others(render: slides.Renderer) -> None:
    kinds = {
        "# Title": "slide",
        "hidden": "skip",
        "more": "fragment",
        "## Part": "slide",
        "plain": "subslide",
        "say": "notes",
    }
    cells = [
        new_markdown_cell(text, metadata={"slideshow": {"slide_type": kind}}) for text, kind in kinds.items()
    ]
    page = slides.deck(new_notebook(cells=cells), render)
    assert "hidden" not in page
    assert page.count("<section>") == 2 + 3
    assert '<div class="fragment"><p>more</p>' in page
    assert '<p class="section">Part</p>\n<p>plain</p>' in page
    assert '<aside class="notes">' in page
    assert "<title>Title" in page


# In a browser --------------------------------------------------------------------------------------

REACH = """() => {
    const slide = Reveal.getCurrentSlide(), scale = Reveal.getScale(), box = slide.getBoundingClientRect();
    const shown = [...slide.querySelectorAll("*")].filter(e => !e.closest("aside.notes, mjx-assistive-mml"));
    const boxes = shown.map(e => e.getBoundingClientRect()).filter(b => b.width);
    const farthest = reach => Math.max(...boxes.map(reach)) / scale;
    return [farthest(b => b.bottom - box.top), farthest(b => b.right - box.left)];
}"""
PLACES = """() => Reveal.getSlides().map(slide => {
    const {h, v} = Reveal.getIndices(slide);
    return [h, v ?? 0, slide.querySelectorAll(".fragment").length - 1];
})"""
STATE = """() => ({
    formulas: document.querySelectorAll("mjx-container").length,
    errors: [...document.querySelectorAll("mjx-merror")].map(e => e.textContent),
    bare: [...document.querySelectorAll("section > p, section > .fragment > p")]
        .map(e => e.textContent).filter(t => /\\\\\\(|\\\\\\[|\\$|\\{(eq|cite|glue)/.test(t)),
    blank: [...document.images].filter(i => i.complete && !i.naturalWidth).length,
    silent: [...document.images].filter(i => !i.alt.trim()).length,
    live: [...document.querySelectorAll("[config]")].map(e => Boolean(e.shadowRoot)),
})"""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("slides") / "slides"
    try:
        slides.build(target)
    except LookupError as problem:
        unavailable(str(problem))
    return target


@pytest.fixture
def stage(tab: Page) -> Page:
    tab.set_viewport_size(STAGE)  # type: ignore[arg-type]
    return tab


def open_deck(page: Page, folder: Path, name: str) -> Visit:
    visit = Visit(page, folder.as_uri() + "/")
    visit.open(name)
    page.wait_for_function("() => window.Reveal?.isReady()")
    return visit


def overfull(page: Page) -> list[str]:
    """The slides that reach over the edge of the stage, with all their parts uncovered."""
    problems = []
    for number, (h, v, last) in enumerate(page.evaluate(PLACES), start=1):
        page.evaluate("([h, v, f]) => Reveal.slide(h, v, f)", [h, v, last])
        page.wait_for_timeout(150)  # live figures draw themselves in a later frame
        bottom, right = page.evaluate(REACH)
        if bottom > STAGE["height"] - 6 or right > STAGE["width"] - 6:
            problems.append(f"slide {number} reaches to {right:.0f} x {bottom:.0f}")
    return problems


@pytest.mark.site
@pytest.mark.parametrize("deck", DECKS, ids=lambda deck: deck.path.stem)
def test_a_deck_works_from_a_file(deck: notebooks.Chapter, folder: Path, stage: Page) -> None:
    """No other host, no script error; mathematics typeset; live figures alive; nothing over the edge."""
    visit = open_deck(stage, folder, f"{deck.path.stem.split('-', 1)[1]}.html")
    state = stage.evaluate(STATE)
    assert state["formulas"] > 10
    assert {key: state[key] for key in ("errors", "bare", "blank", "silent")} == {
        "errors": [],
        "bare": [],
        "blank": 0,
        "silent": 0,
    }
    assert state["live"]
    assert all(state["live"])
    assert not overfull(stage)
    assert not visit.problems


@pytest.mark.site
def test_keys_turn_the_slides_but_not_from_within_a_live_figure(folder: Path, stage: Page) -> None:
    open_deck(stage, folder, "elbo.html")
    stage.keyboard.press("Space")
    assert stage.evaluate("() => Reveal.getSlidePastCount()") == 1
    place = stage.evaluate(
        "() => { const {h, v} = Reveal.getIndices(document.querySelector('live-elbo').closest('section'));"
        " Reveal.slide(h, v); return [h, v]; }"
    )
    stage.locator("live-elbo input").first.focus()
    stage.keyboard.press("ArrowRight")
    assert stage.evaluate("() => { const {h, v} = Reveal.getIndices(); return [h, v]; }") == place


@pytest.mark.site
def test_a_slide_that_is_too_full_is_caught(folder: Path, stage: Page) -> None:
    open_deck(stage, folder, "elbo.html")
    stage.evaluate("() => Reveal.getSlides()[2].insertAdjacentHTML('beforeend', '<p>x</p>'.repeat(30))")
    assert [problem.split(" reaches")[0] for problem in overfull(stage)] == ["slide 3"]


@pytest.mark.site
def test_the_list_of_decks_leads_to_each(folder: Path, stage: Page) -> None:
    stage.goto((folder / "index.html").as_uri())
    links = stage.eval_on_selector_all("a", "all => all.map(a => a.getAttribute('href'))")
    assert len(links) == len(DECKS)
    assert all((folder / link).exists() for link in links)
