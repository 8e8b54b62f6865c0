"""The built site, as a reader's browser sees it: by http and by file, light and dark, on a phone.

The pages are loaded in one Chromium. Where none is installed, or the book is not built, the tests
are skipped with the reason; in CI that is a failure.
"""

from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import book_extension
import notebooks
import pytest
from chromium import AXE, DESKTOP, OVERFLOW, PHONE, SETTLE, Visit, axe_source
from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
PAGES = [*notebooks.toc_entries(ROOT), "genindex", "search"]
CHAPTERS = [str(c.path.relative_to(ROOT).with_suffix("")) for c in notebooks.chapters(ROOT)]
NARROW_WIDTHS = (390, 320)
MAX_KILOBYTES = 1000
# A shift of 0.1 is what readers begin to notice.
MAX_SHIFT = 0.1
# All rules once. Of the rest, what scrolls differs between the widths, and colours between the themes.
AXE_RUNS = (
    (PHONE, "dark", ["scrollable-region-focusable"]),
    (DESKTOP, "dark", ["color-contrast"]),
    (DESKTOP, "light", None),
)
# Nine tenths of a chapter's elements are the strokes of its formulas and the coloured words of its code. All
# of a kind look alike, and axe would take half a minute for them: so a formula becomes a box of its size, and
# a block of code keeps the first word of each colour. One chapter is left whole.
THIN_OUT = """() => {
    for (const formula of document.querySelectorAll("mjx-container")) {
        const {width, height} = formula.getBoundingClientRect();
        formula.textContent = "formula";
        formula.style.cssText +=
            `; display: inline-block; overflow: hidden; width: ${width}px; height: ${height}px`;
    }
    for (const block of document.querySelectorAll("pre")) {
        const seen = new Set();
        for (const word of block.querySelectorAll("span")) {
            if (seen.has(word.className)) word.replaceWith(word.textContent);
            seen.add(word.className);
        }
    }
}"""
WHOLE = CHAPTERS[0]

MATHEMATICS = """() => ({
    written: document.querySelectorAll(".math").length,
    bare: [...document.querySelectorAll(".math")]
        .filter(m => !m.querySelector("mjx-container")).map(m => m.textContent.slice(0, 60)),
    errors: [...document.querySelectorAll("mjx-merror")]
        .map(m => m.title || m.dataset.mjxError || m.textContent),
    fonts: [...document.fonts].filter(f => f.status === "error")
        .map(f => f.family),
})"""
FIGURES = """() => ({
    broken: [...document.images].filter(i => i.checkVisibility() && i.complete && !i.naturalWidth)
        .map(i => i.src),
    bare: [...document.querySelectorAll(".cell_output img")].filter(i =>
        !i.alt.trim() || !(i.closest("figure") && i.closest("figure").querySelector("figcaption")))
        .map(i => i.src),
    dead: document.querySelectorAll("script[type*='widget-view']").length,
    failed: [...document.querySelectorAll(".output.traceback, .output.stderr")]
        .map(o => o.textContent.slice(0, 200)),
})"""


def mathematics_problems(page: Page) -> list[str]:
    found = page.evaluate(MATHEMATICS)
    return [f"mathematics, {key}: {found[key]}" for key in ("bare", "errors", "fonts") if found[key]]


@pytest.mark.site
@pytest.mark.parametrize("name", PAGES)
def test_page(name: str, base: str, tab: Page) -> None:
    """Typeset mathematics, described figures, light, no foreign request, no script error, accessible."""
    visit = Visit(tab, base)
    visit.open(f"{name}.html")
    problems = mathematics_problems(tab)
    if (weight := visit.kilobytes()) > MAX_KILOBYTES:
        problems.append(f"the page weighs {weight:.0f} kB")
    if (shift := tab.evaluate("layoutShift")) > MAX_SHIFT:
        problems.append(f"the layout jumps by {shift:.3f}")
    problems += [f"figures, {key}: {found}" for key, found in tab.evaluate(FIGURES).items() if found]
    for width in NARROW_WIDTHS:
        tab.set_viewport_size({"width": width, "height": 844})
        tab.evaluate(SETTLE)
        if (excess := tab.evaluate(OVERFLOW)) > 0:
            problems.append(f"at {width} px the page itself scrolls sideways, by {excess} px")
    tab.evaluate(axe_source())
    if name != WHOLE:
        tab.evaluate(THIN_OUT)
    for device, theme, rules in AXE_RUNS:
        tab.set_viewport_size(device)
        tab.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        # The theme waits for the window to rest before it gives scrolling boxes a tab stop.
        tab.wait_for_timeout(400)
        where = f"{theme}, {device['width']} px wide"
        problems += [f"{where}: {violation}" for violation in tab.evaluate(AXE, rules)]
    problems += visit.problems
    assert not problems, f"{name}:\n" + "\n".join(problems)


@pytest.mark.site
@pytest.mark.parametrize("name", [PAGES[0], *CHAPTERS[:1], *CHAPTERS[-1:]])
def test_page_opened_as_a_file(name: str, site: Path, tab: Page) -> None:
    visit = Visit(tab, site.as_uri() + "/")
    visit.open(f"{name}.html")
    problems = mathematics_problems(tab) + visit.problems
    assert not problems, f"{name}:\n" + "\n".join(problems)


@pytest.mark.site
def test_the_front_door_leads_to_the_first_page(site: Path, tab: Page) -> None:
    tab.goto((site / "index.html").as_uri())
    tab.wait_for_url(f"**/{PAGES[0]}.html", timeout=10_000)


@pytest.mark.site
def test_solutions_are_folded_and_open(base: str, tab: Page) -> None:
    Visit(tab, base).open(f"{CHAPTERS[0]}.html")
    solution = tab.locator(".solution.admonition").first
    inside = solution.locator(".admonition-title ~ *").first
    assert not inside.is_visible()
    solution.locator("button.toggle-button").click()
    assert inside.is_visible()


@pytest.mark.site
def test_the_search_finds_a_chapter(base: str, tab: Page) -> None:
    Visit(tab, base).open("search.html?q=autoencoder")
    tab.wait_for_selector("#search-results li a", timeout=10_000)


# Links, read from the files ----------------------------------------------------------------------


class Links(HTMLParser):
    """What a page points to and what in it can be pointed to."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if value and (key == "id" or (key == "name" and tag == "a")):
                self.targets.add(value)
            elif value is not None and key in ("href", "src"):
                self.links.append(value)


def read_page(text: str) -> Links:
    page = Links()
    page.feed(text)
    return page


def broken_links(site: Path) -> list[str]:
    pages = {
        path.resolve(): read_page(path.read_text(encoding="utf-8"))
        for path in site.rglob("*.html")
        if "_static" not in path.relative_to(site).parts
    }
    problems = []
    for path, page in pages.items():
        for link in page.links:
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            where = f"{path.relative_to(site.resolve())} links to {link}"
            if not target.is_file():
                problems.append(f"{where}: no such file")
            elif (
                target in pages
                and address.fragment
                and unquote(address.fragment) not in pages[target].targets
            ):
                problems.append(f"{where}: no such place on that page")
    return problems


@pytest.mark.site
def test_no_internal_link_is_broken(site: Path) -> None:
    assert not broken_links(site), "\n" + "\n".join(broken_links(site))


@pytest.mark.site
def test_no_page_points_to_the_template_repository(site: Path) -> None:
    wrong = [p.name for p in site.rglob("*.html") if "executablebooks/jupyter-book" in p.read_text()]
    assert not wrong, f"{wrong} link to Jupyter Book's own repository"


def test_a_broken_link_is_caught(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<p id="here"></p><a href="#here"></a><a href="b.html#there"></a><a href="b.html"></a>'
        '<a href="https://example.org/"></a><a href="#gone"></a><img src="c%20d.png">'
    )
    (tmp_path / "b.html").write_text("<p></p>")
    broken = broken_links(tmp_path)
    assert len(broken) == 3
    assert all(part in "\n".join(broken) for part in ("#there: no such place", "#gone", "c%20d"))


@pytest.mark.site
def test_a_bad_page_is_caught(browser: Browser, tmp_path: Path, tab: Page) -> None:
    (tmp_path / "bad.html").write_text(
        '<html><body><span class="math">x</span><img src="data:image/png;base64,AAAA">'
        '<div class="cell_output"><img alt=" " src="data:,"></div><div style="width:3000px">.</div>'
        '<pre><span class="k">if</span> <span class="s" style="color:#ccc">pale</span>'
        ' <span class="s" style="color:#ccc">pale</span></pre><mjx-container role="drawing">x</mjx-container>'
        '<script>console.error("ouch"); missing();</script>'
        '<script src="https://example.invalid/x.js"></script></body></html>'
    )
    visit = Visit(tab, tmp_path.as_uri() + "/")
    visit.open("bad.html")
    text = "\n".join(visit.problems)
    assert all(part in text for part in ("example.invalid", "ouch", "missing"))
    assert mathematics_problems(tab) == ["mathematics, bare: ['x']"]
    figures = tab.evaluate(FIGURES)
    assert figures["broken"]
    assert figures["bare"]
    assert tab.evaluate(OVERFLOW) > 0
    tab.evaluate(axe_source())
    tab.evaluate(THIN_OUT)
    violations = "\n".join(tab.evaluate(AXE))
    assert all(rule in violations for rule in ("image-alt", "aria-roles"))
    assert violations.count('\n    <span class="s"') == 1


# The Sphinx extension ----------------------------------------------------------------------------


def theme_options(monkeypatch: pytest.MonkeyPatch, repository: str, branch: str = "") -> Any:
    monkeypatch.setenv("BOOK_REPOSITORY", repository)
    monkeypatch.setenv("BOOK_BRANCH", branch)
    config = SimpleNamespace(html_theme_options={"repository_url": "https://example.org/template"})
    book_extension.add_repository(SimpleNamespace(), config)  # type: ignore[arg-type]
    return config.html_theme_options


def test_without_a_repository_there_are_no_buttons(monkeypatch: pytest.MonkeyPatch) -> None:
    options = theme_options(monkeypatch, "")
    assert "repository_url" not in options
    assert options["launch_buttons"] == {}
    assert not options["use_repository_button"]
    assert not options["use_issues_button"]


def test_a_repository_brings_the_buttons(monkeypatch: pytest.MonkeyPatch) -> None:
    options = theme_options(monkeypatch, "https://github.com/owner/name.git/", "draft")
    assert options["repository_url"] == "https://github.com/owner/name"
    assert options["repository_branch"] == "draft"
    assert options["use_repository_button"]
    assert options["launch_buttons"]["binderhub_url"]
    assert options["launch_buttons"]["colab_url"]
    elsewhere = theme_options(monkeypatch, "https://gitlab.com/owner/name")
    assert elsewhere["repository_branch"] == "main"
    assert not elsewhere["launch_buttons"]["colab_url"]


def test_a_change_in_the_library_or_its_data_empties_the_cache(tmp_path: Path) -> None:
    library = tmp_path / "vae_lib"
    (library / "data_files").mkdir(parents=True)
    (library / "models.py").write_text("z_dim = 2")
    for name in ("requirements.txt", "constraints.txt"):
        (tmp_path / name).write_text("numpy==2.4.6\n")
    (library / "data_files" / "digits").write_bytes(b"\0")
    app = SimpleNamespace(srcdir=tmp_path, outdir=tmp_path / "_build" / "html")

    def cache() -> Path:
        config = SimpleNamespace()
        book_extension.choose_execution_cache(app, config)  # type: ignore[arg-type]
        folder = Path(config.nb_execution_cache_path)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    first = cache()
    (library / "__pycache__").mkdir()
    (library / "__pycache__" / "models.pyc").write_bytes(b"\0")
    assert cache() == first
    (library / "models.py").write_text("z_dim = 3")
    second = cache()
    assert second != first
    assert not first.exists()
    (library / "data_files" / "digits").write_bytes(b"\1")
    third = cache()
    assert third != second
    (tmp_path / "constraints.txt").write_text("numpy==2.5.0\n")
    assert cache() != third
