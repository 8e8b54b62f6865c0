"""What this book adds to Sphinx: honest caching, pages that need no other host, launch buttons."""

import hashlib
import os
import re
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from light_pages import lighten
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

CACHE_FOLDER = "execution-cache"
LIVE_SCRIPT = "live.js"
# MathJax weighs 24 MB with every renderer and speech rule; a page needs one bundle, its fonts,
# and the TeX extensions that bundle loads when it meets a rarer command.
MATHJAX_PARTS = ("tex-mml-chtml.js", "output/chtml/fonts/woff-v2", "input/tex/extensions")

# Regular expression -> what takes its place.
MARKUP = {
    # A list may only hold list items, and the role of a bibliography entry is deprecated.
    'role="doc-biblioentry"': 'role="listitem"',
    # The label hides the text of the line, which says what it opens.
    '<summary aria-label="Toggle hidden content">': "<summary>",
    # Asked for early and across origins, a font is refused to a page opened as a file; the style
    # sheet asks for it again in a way that works.
    r'\s*<link rel="preload" as="font"[^>]*>': "",
    # A comma behind a formula must not begin the next line.
    r'(<span class="math notranslate nohighlight">[^<]*</span>[,.;:?!)]+)': (
        r'<span class="nobreak">\1</span>'
    ),
}
# Numbers of a live figure, under an id that names their content.
PIECE = re.compile(r'<script type="text/plain" id="(live-\w+)">[^<]*</script>')


def outcome_hash(root: Path) -> str:
    """Hash of what can change what a cell prints: the library, data, records, the installed packages."""
    paths = [path for path in sorted((root / "vae_lib").rglob("*")) if path.is_file()]
    paths += sorted((root / "book").glob("*/*.json"))  # tables recorded beforehand, which chapters read
    paths += [root / "requirements.txt", root / "constraints.txt"]
    digest = hashlib.sha256(sys.version.encode())
    for path in paths:
        if "__pycache__" not in path.parts:
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def choose_execution_cache(app: Sphinx, config: Config) -> None:
    """Tie the execution cache to the library.

    jupyter-cache looks at the cells alone, so without this a changed library would leave the
    outputs of the old one on the pages.
    """
    caches = Path(app.outdir).parent / CACHE_FOLDER
    current = caches / outcome_hash(Path(app.srcdir))
    for older in caches.glob("*"):
        if older != current:
            shutil.rmtree(older)
    config.nb_execution_cache_path = str(current)


def add_repository(app: Sphinx, config: Config) -> None:
    """Show repository and launch buttons if, and only if, BOOK_REPOSITORY says where they lead."""
    options = config.html_theme_options
    repository = os.environ.get("BOOK_REPOSITORY", "").strip().rstrip("/").removesuffix(".git")
    options["use_repository_button"] = options["use_issues_button"] = bool(repository)
    if not repository:
        # Jupyter Book's own address is the default and would show up in the buttons.
        options.pop("repository_url", None)
        options["launch_buttons"] = {}
        return
    options["repository_url"] = repository
    options["repository_branch"] = os.environ.get("BOOK_BRANCH", "").strip() or "main"
    options["path_to_docs"] = ""
    options["launch_buttons"] = {
        "notebook_interface": "jupyterlab",
        "binderhub_url": "https://mybinder.org",
        # Colab opens notebooks from GitHub alone.
        "colab_url": "https://colab.research.google.com" if "//github.com/" in repository else "",
    }


def write_live_script(app: Sphinx) -> None:
    """Put the script of the live figures into the site, in one piece."""
    from vae_lib.live.base import page_script  # brings torch along, which takes seconds to load

    path = Path(app.outdir) / "_static" / LIVE_SCRIPT
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page_script(), encoding="utf-8")


def load_live_script(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Load that script on the pages that show a live figure, and on no other.

    In the head and not deferred, so that a figure has its size before anything is painted.
    """
    if "<live-" in context.get("body", ""):
        app.add_js_file(LIVE_SCRIPT)


def keep_pieces_once(page: str) -> str:
    """Leave out the numbers of a live figure that an earlier figure of the page has brought already."""
    seen: set[str] = set()

    def first_only(piece: re.Match[str]) -> str:
        known = piece[1] in seen
        seen.add(piece[1])
        return "" if known else piece[0]

    return PIECE.sub(first_only, page)


def mend_pages(app: Sphinx, error: Exception | None) -> None:
    """Put right what Sphinx, MyST-NB and the theme write into every page."""
    for path in Path(app.outdir).rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        mended = keep_pieces_once(page)
        for written, wanted in MARKUP.items():
            mended = re.sub(written, wanted, mended)
        if mended != page:
            path.write_text(mended, encoding="utf-8")


def copy_mathjax(app: Sphinx, error: Exception | None) -> None:
    """Put MathJax into the site, so that no page asks another host for it."""
    package = find_spec("sphinx-mathjax-offline")
    if package is None or package.origin is None:
        raise ExtensionError("sphinx-mathjax-offline is missing: pip install -r requirements.txt")
    source = Path(package.origin).parent / "static" / "mathjax"
    target = Path(app.outdir) / "_static" / "mathjax"
    for part in MATHJAX_PARTS:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, target / part, dirs_exist_ok=True)
        else:
            shutil.copy2(source / part, target / part)


def make_light(app: Sphinx, error: Exception | None) -> None:
    if error is None:
        lighten(Path(app.outdir))


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("config-inited", choose_execution_cache)
    app.connect("config-inited", add_repository)
    app.connect("builder-inited", write_live_script)
    app.connect("html-page-context", load_live_script)
    app.connect("build-finished", copy_mathjax)
    app.connect("build-finished", mend_pages)
    app.connect("build-finished", make_light)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
