"""Make the built pages light: what is not needed is not sent, and what comes later has its place kept.

`lighten` works on the finished site, because what the theme puts into a page is known only then.
"""

import base64
import hashlib
import html
import os
import re
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from fontTools import subset
from fontTools.ttLib import TTFont

ICONS = Path("_static/vendor/fontawesome")
# The theme's icons as a script of 1.5 MB. The style sheet beside it draws the same ones from a font.
ICON_SCRIPT = re.compile(r"\s*<(?:script|link)\b[^>]*/fontawesome/[^>]*\.js[^>]*>(?:</script>)?")
STILL = re.compile(r'\bsrc="data:image/png;base64,([A-Za-z0-9+/=]{1000,})"')
IMAGE = re.compile(r'<img\b[^>]*\bsrc="([^":]+\.(?:svg|png))"[^>]*>')
POINT = 4 / 3  # pixels
EQUATION = re.compile(r'<div class="math notranslate nohighlight"(?! style)([^>]*)>(.*?)</div>', re.DOTALL)
# What makes a line of a displayed equation tall, and the heights of lines, measured on typeset pages.
TALL = re.compile(r"\\(frac|sum|int|prod|underbrace|begin\{p?matrix)")
TALL_LINE, LOW_LINE, PADDING = 2.8, 1.6, 0.7  # rem
FORMULA = re.compile(r'<span class="math notranslate nohighlight">\\\((.*?)\\\)</span>', re.DOTALL)
# A command is about as wide as a letter; what only groups or raises has no width.
COMMAND, GROUPING = re.compile(r"\\[a-zA-Z]+ ?|\\."), re.compile(r"[{}_^ ]")
LETTER = 0.55  # em
ICON_RULE = re.compile(r'(?:\.fa-[a-z0-9-]+:before,?)+\{content:"\\([0-9a-f]+)"\}')


def lighten(site: Path) -> None:
    """Drop the icon script, cut the icon fonts down, and give pictures and equations their places."""
    for path in site.rglob("*.html"):
        page = path.read_text(encoding="utf-8")
        lighter = move_stills(ICON_SCRIPT.sub("", page), site, path.parent)
        lighter = size_images(keep_places(lighter), path.parent)
        if lighter != page:
            path.write_text(lighter, encoding="utf-8")
    for style in (site / ICONS).glob("*/css/all.min.css"):
        cut_icon_fonts(site, style)


# Equations ---------------------------------------------------------------------------------------


def keep_places(page: str) -> str:
    """Note how large each formula will be, so that the text around it stands still when it is typeset."""

    def noted(equation: re.Match[str]) -> str:
        lines = html.unescape(equation[2]).split(r"\\")
        height = PADDING + sum(TALL_LINE if TALL.search(line) else LOW_LINE for line in lines)
        opening = f'<div class="math notranslate nohighlight" style="--height: {height:.1f}rem"'
        return f"{opening}{equation[1]}>{equation[2]}</div>"

    def noted_inline(formula: re.Match[str]) -> str:
        letters = GROUPING.sub("", COMMAND.sub("x", html.unescape(formula[1])))
        width = f"--width: {LETTER * len(letters):.1f}em"
        return formula[0].replace("<span", f'<span style="{width}"', 1)

    return FORMULA.sub(noted_inline, EQUATION.sub(noted, page))


# Pictures ----------------------------------------------------------------------------------------


def move_stills(page: str, site: Path, folder: Path) -> str:
    """Make files of the pictures inside a page: of a live figure, only who runs no script needs the still."""

    def moved(picture: re.Match[str]) -> str:
        content = base64.b64decode(picture[1])
        path = site / "_images" / f"{hashlib.sha256(content).hexdigest()[:32]}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return f'src="{Path(os.path.relpath(path, folder)).as_posix()}"'

    return STILL.sub(moved, page)


def size_images(page: str, folder: Path) -> str:
    """Tell the browser the size of every picture, and to fetch those below the screen when they are near.

    Without the size the text jumps when a picture arrives.
    """
    seen = 0

    def sized(image: re.Match[str]) -> str:
        nonlocal seen
        tag, path = image[0], (folder / unquote(image[1])).resolve()
        if "height=" in tag or not path.is_file():
            return tag
        width, height = size_of(path)
        in_text = "/_static/" not in str(path)
        seen += in_text
        # The first picture may be the largest thing on the first screen: that one must not wait.
        lazy = ' loading="lazy"' if in_text and seen > 1 else ""
        return f'<img width="{width}" height="{height}"{lazy}{tag.removeprefix("<img")}'

    return IMAGE.sub(sized, page)


@cache
def size_of(path: Path) -> tuple[int, int]:
    """Width and height in pixels."""
    if path.suffix == ".png":
        return struct.unpack(">II", path.read_bytes()[16:24])
    tag = re.search(r"<svg\b[^>]*>", path.read_text(encoding="utf-8"))
    box = re.search(r'viewBox="[^ "]+ [^ "]+ ([\d.]+) ([\d.]+)"', tag[0]) if tag else None
    if not tag or not box:
        raise ValueError(f"{path.name} has no viewBox, so nobody knows its size")
    unit = POINT if re.search(r'\bwidth="[\d.]+pt"', tag[0]) else 1.0
    return round(unit * float(box[1])), round(unit * float(box[2]))


# Icons -------------------------------------------------------------------------------------------


def texts(site: Path) -> Iterator[str]:
    """Everything that may name an icon, but for the style sheet that names them all."""
    for kind in ("html", "js", "css"):
        for path in site.rglob(f"*.{kind}"):
            if not {"fontawesome", "mathjax"} & set(path.parts):
                yield path.read_text(encoding="utf-8")


def icons_in_use(site: Path, style: str) -> set[int]:
    """Code points of the icons that some page, script or style sheet names."""
    codes: dict[str, int] = {}
    for selectors, code in re.findall(r'([^{}]+)\{content:"\\([0-9a-f]+)"', style):
        for name in re.findall(r"\.(fa-[a-z0-9-]+):before", selectors):
            codes[name] = int(code, 16)
    used = set()
    for text in texts(site):
        used |= {codes[name] for name in re.findall(r"\bfa-[a-z0-9-]+", text) if name in codes}
        used |= {int(code, 16) for code in re.findall(r"\\(f[0-9a-f]{3})\b", text)}
    return used


def cut_icon_fonts(site: Path, style_path: Path) -> None:
    """Leave in the icon fonts and their style sheet what the site shows: 10 kB instead of 300."""
    style = style_path.read_text(encoding="utf-8")
    used = icons_in_use(site, style)
    for path in sorted((style_path.parent.parent / "webfonts").glob("*.ttf")):
        font = TTFont(path)
        options = subset.Options(flavor="woff", layout_features=[], notdef_outline=False)
        cutter = subset.Subsetter(options)
        cutter.populate(unicodes=used)
        cutter.subset(font)
        subset.save_font(font, str(path.with_suffix(".woff")), options)
        path.unlink()
        path.with_suffix(".woff2").unlink(missing_ok=True)
        style = re.sub(
            rf'url\([^)]*{path.stem}\.woff2\) format\("woff2"\),url\([^)]*\.ttf\) format\("truetype"\)',
            f'url(../webfonts/{path.stem}.woff) format("woff")',
            style,
        )
    style = ICON_RULE.sub(lambda rule: rule[0] if int(rule[1], 16) in used else "", style)
    style_path.write_text(style, encoding="utf-8")
    for script in (style_path.parent.parent / "js").glob("*"):
        script.unlink()
