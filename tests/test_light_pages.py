"""What makes the pages light: sizes of pictures and formulas, and icon fonts cut down to what is used."""

import base64
import struct
from pathlib import Path

import light_pages
import matplotlib
import pytest
from fontTools.ttLib import TTFont

SVG = '<?xml version="1.0"?>\n<svg height="90pt" viewBox="0 0 120 90" width="120pt" xmlns="x"></svg>'
ICON_CSS = (
    '.fa-bars:before,.fa-navicon:before{content:"\\f0c9"}.fa-sun:before{content:"\\f185"}'
    '.fa-x:before{content:"\\58"}'
)


def test_a_picture_gets_its_size_and_the_later_ones_wait(tmp_path: Path) -> None:
    (tmp_path / "plot.svg").write_text(SVG)
    (tmp_path / "drawn.svg").write_text('<svg viewBox="0 0 600 400"></svg>')
    (tmp_path / "a b.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 30, 20))
    page = '<img alt="" src="plot.svg"><img src="drawn.svg"><img src="a%20b.png"><img src="gone.svg">'
    sized = light_pages.size_images(page, tmp_path)
    assert '<img width="160" height="120" alt="" src="plot.svg">' in sized
    assert '<img width="600" height="400" loading="lazy" src="drawn.svg">' in sized
    assert '<img width="30" height="20" loading="lazy" src="a%20b.png">' in sized
    assert '<img src="gone.svg">' in sized
    assert light_pages.size_images(sized, tmp_path) == sized


def test_a_still_in_the_page_becomes_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "book" / "part"
    folder.mkdir(parents=True)
    content = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 30, 20) + bytes(1000)
    page = f'<noscript><img src="data:image/png;base64,{base64.b64encode(content).decode()}"></noscript>'
    moved = light_pages.move_stills(page, tmp_path, folder)
    (file,) = (tmp_path / "_images").iterdir()
    assert file.read_bytes() == content
    assert moved == f'<noscript><img src="../../_images/{file.name}"></noscript>'
    assert light_pages.move_stills(moved, tmp_path, folder) == moved


def test_pictures_in_the_page_itself_are_left_alone(tmp_path: Path) -> None:
    page = '<img src="data:image/png;base64,AAAA.png">'
    assert light_pages.size_images(page, tmp_path) == page


def test_a_picture_of_unknown_size_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "plot.svg").write_text("<svg></svg>")
    with pytest.raises(ValueError, match="viewBox"):
        light_pages.size_images('<img src="plot.svg">', tmp_path)


def test_formulas_keep_their_places() -> None:
    kind = 'class="math notranslate nohighlight"'
    page = (
        f'<div {kind} id="e">\n<span>(1)</span>\\[\\frac12 \\\\ x\\]</div>'
        f"<span {kind}>\\(\\alpha_1 + x\\)</span><span {kind}>\\(x \\lt 1\\)</span>"
    )
    kept = light_pages.keep_places(page)
    height = light_pages.PADDING + light_pages.TALL_LINE + light_pages.LOW_LINE
    assert f'style="--height: {height:.1f}rem" id="e"' in kept
    assert f'<span style="--width: {4 * light_pages.LETTER:.1f}em" {kind}>' in kept  # x 1 + x
    assert light_pages.keep_places(kept) == kept


def test_the_icon_script_goes_and_the_icons_in_use_stay(tmp_path: Path) -> None:
    style = tmp_path / light_pages.ICONS / "6.0" / "css" / "all.min.css"
    fonts = style.parent.parent / "webfonts"
    fonts.mkdir(parents=True)
    style.parent.mkdir()
    name = "url(../webfonts/fa-solid-900"
    style.write_text(
        f'@font-face{{src:{name}.woff2) format("woff2"),{name}.ttf) format("truetype")}}{ICON_CSS}'
    )
    text_font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    (fonts / "fa-solid-900.ttf").write_bytes(text_font.read_bytes())
    (fonts / "fa-solid-900.woff2").write_bytes(b"")
    script = '<script src="_static/vendor/fontawesome/6.0/js/all.min.js?digest=1"></script>'
    (tmp_path / "page.html").write_text(f'<head>\n  {script}</head><i class="fa-solid fa-x"></i>')
    light_pages.lighten(tmp_path)
    assert (tmp_path / "page.html").read_text() == '<head></head><i class="fa-solid fa-x"></i>'
    assert [path.name for path in fonts.iterdir()] == ["fa-solid-900.woff"]
    assert '@font-face{src:url(../webfonts/fa-solid-900.woff) format("woff")}' in style.read_text()
    assert "fa-x:before" in style.read_text()
    assert "fa-sun" not in style.read_text()
    assert set(TTFont(fonts / "fa-solid-900.woff").getBestCmap()) == {0x58}
    assert light_pages.icons_in_use(tmp_path, ICON_CSS) == {0x58}


def test_icons_named_by_style_sheets_and_scripts_stay(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text('.box { --icon: "\\f05a"; }')
    (tmp_path / "b.js").write_text('icon.className = "fa-navicon"')
    assert light_pages.icons_in_use(tmp_path, ICON_CSS) == {0xF05A, 0xF0C9}
