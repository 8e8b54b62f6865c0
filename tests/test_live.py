"""Live figures, touched in a real browser: what they show is what Python computes for that state."""

import base64
import copy
import functools
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import book_extension
import pytest
import torch
import torch.nn.functional as F
from chromium import AXE, DESKTOP, OVERFLOW, PHONE, Visit, axe_source, served
from playwright.sync_api import Browser, Page
from scipy.optimize import minimize
from torch import Tensor
from torch.distributions import Normal, kl_divergence

import vae_lib as vl
from vae_lib import live
from vae_lib.live import base
from vae_lib.live.beta import Entry
from vae_lib.live.draw import pack_drawing
from vae_lib.live.replay import Frame

State = dict[str, Any]
Values = dict[str, float]


# What Python computes for a state -----------------------------------------------------------------


def browser_noise(seed: int, count: int) -> Tensor:
    """Twin of `normals` in core.js."""
    counter, mask = seed, 0xFFFFFFFF

    def uniform() -> float:
        nonlocal counter
        counter = (counter + 0x6D2B79F5) & mask
        t = ((counter ^ (counter >> 15)) * (1 | counter)) & mask
        t = ((t + (((t ^ (t >> 7)) * (61 | t)) & mask)) & mask) ^ t
        return (t ^ (t >> 14)) / 2**32

    return torch.tensor(
        [math.sqrt(-2 * math.log(1 - uniform())) * math.cos(2 * math.pi * uniform()) for _ in range(count)],
        dtype=torch.float64,
    )


def normal(mu: float, sigma: float) -> Normal:
    return Normal(*torch.tensor([mu, sigma], dtype=torch.float64))


def kl_values(state: State) -> Values:
    q, p = normal(state["mu_q"], state["sigma_q"]), normal(state["mu_p"], state["sigma_p"])
    start, end = (q, p) if state["direction"] == "q to p" else (p, q)
    x = start.mean + start.stddev * browser_noise(state["seed"], state["draws"])
    log_ratio = start.log_prob(x) - end.log_prob(x)
    return {
        "kl_q_p": kl_divergence(q, p).item(),
        "kl_p_q": kl_divergence(p, q).item(),
        "estimate": log_ratio.mean().item(),
        "error": (log_ratio.std() / math.sqrt(len(x))).item(),
    }


def elbo_values(state: State) -> Values:
    z = torch.linspace(-20, 20, 16_001, dtype=torch.float64)
    mean = 1.2 * z + state["amplitude"] * torch.sin(2.5 * z)
    log_joint = normal(0, 1).log_prob(z) + Normal(mean, 0.5).log_prob(torch.tensor(state["x"]))
    log_q = normal(state["mu"], state["sigma"]).log_prob(z)
    log_p_x = torch.trapezoid(log_joint.exp(), z).log()
    elbo = torch.trapezoid(log_q.exp() * (log_joint - log_q), z)
    gap = torch.trapezoid(log_q.exp() * (log_q - (log_joint - log_p_x)), z)
    return {"elbo": elbo.item(), "gap": gap.item(), "log_p_x": log_p_x.item()}


def small_models() -> tuple[vl.Autoencoder, vl.VAE, Tensor, Tensor]:
    """Untrained, with weights large enough to draw something, and codes that spread."""
    vl.seed_everything(0)
    ae = vl.Autoencoder(vl.DeterministicEncoder(64, 2, (16,)), vl.BernoulliDecoder(2, 64, (16,)))
    vae = vl.dense_vae(x_dim=64, hidden=(16,), z_dim=2)
    with torch.no_grad():
        for weight in [*ae.parameters(), *vae.parameters()]:
            weight.mul_(4)
    return ae, vae, torch.rand(60, 64), torch.arange(60) % 10


AE, VAE, X, LABELS = small_models()


def point(state: State) -> Tensor:
    if state.get("mode") == "path":
        a, b = torch.tensor([[state["a1"], state["a2"]], [state["b1"], state["b2"]]])
        return a + state["t"] * (b - a)
    return torch.tensor([state["z1"], state["z2"]], dtype=torch.float32)


@torch.no_grad()
def look(model: vl.Autoencoder | vl.VAE, z: Tensor) -> tuple[float, float, int]:
    """Ink of the decoded picture; distance and label of the nearest example."""
    code = model.encoder(X)
    codes = code[0] if isinstance(code, tuple) else code
    distance, index = (codes - z).norm(dim=1).min(dim=0)
    return model.decoder.mean(z).sum().item(), distance.item(), int(LABELS[index])


def latent_values(state: State) -> Values:
    z = point(state)
    ink, distance, label = look(VAE, z)
    return {"z1": z[0].item(), "z2": z[1].item(), "ink": ink, "distance": distance, "nearest": label}


def two_spaces_values(state: State) -> Values:
    values = {}
    for name, model in {"autoencoder": AE, "vae": VAE}.items():
        values[f"{name}_ink"], values[f"{name}_distance"], _ = look(model, point(state))
    return values


def race_values(state: State) -> Values:
    S, L, drops = state["samples"], state["coordinates"], state["drops"]
    eps = torch.stack([browser_noise(1000 * state["seed"] + drop, S * L) for drop in range(drops)])
    eps = eps.reshape(drops, S, L)
    mu = torch.full_like(eps, state["mu"]).requires_grad_()
    z = mu + state["sigma"] * eps
    path = torch.autograd.grad(z.square().sum(), mu)[0][..., 0].mean(dim=1)
    score = torch.autograd.grad(Normal(mu, state["sigma"]).log_prob(z.detach()).sum(), mu)[0][..., 0]

    # Variances by quadrature over the first coordinate; of the others, mean and variance of squares enter.
    q = normal(state["mu"], state["sigma"])
    t = torch.linspace(-20, 20, 40_001, dtype=torch.float64)
    h = (t - q.mean) / q.variance

    def expected(y: Tensor) -> Tensor:
        return torch.trapezoid(q.log_prob(t).exp() * y, t)

    square, fourth = expected(t**2), expected(t**4)
    f = t**2 + (L - 1) * square
    best = expected(f * h**2) / expected(h**2)
    b = best if state["baseline"] == "best" else torch.tensor(0.0)
    rest = (L - 1) * (fourth - square**2) * expected(h**2)
    truth = expected((f - b) * h)
    variance = expected(((f - b) * h) ** 2) + rest - truth**2
    path_variance = expected((2 * t) ** 2) - expected(2 * t) ** 2
    score = ((z.square().sum(dim=2) - b) * score).mean(dim=1)
    return {
        "exact": truth.item(),
        "score_mean": score.mean().item(),
        "score_sd": score.std().item(),
        "score_sd_exact": (variance / S).sqrt().item(),
        "path_mean": path.mean().item(),
        "path_sd": path.std().item(),
        "path_sd_exact": (path_variance / S).sqrt().item(),
        "ratio": (variance / path_variance).item(),
    }


def reparam_values(state: State) -> dict[str, Any]:
    mu, sigma = (torch.tensor(state[k], dtype=torch.float64, requires_grad=True) for k in ("mu", "sigma"))
    q = Normal(mu, sigma)
    z = mu + sigma * browser_noise(state["seed"], state["dots"]).sort().values
    if state["mode"] == "sample":
        z = z.detach()
    values: dict[str, Any] = {}
    for name, y in {
        "z": z[state["dot"] - 1],
        "average": z.square().mean(),
        "exact": q.mean.square() + q.variance,
    }.items():
        slopes = torch.autograd.grad(y, (mu, sigma), retain_graph=True) if y.requires_grad else None
        values[name] = y.item()
        values[f"{name}_by_mu"] = slopes and slopes[0].item()
        values[f"{name}_by_sigma"] = slopes and slopes[1].item()
    return values


DRAWN = F.pad(X.reshape(-1, 8, 8), (8, 12, 9, 11)).flatten(1)


def drawing_model() -> vl.VAE:
    """Its weights are numbers of two bytes, so that page and Python have the same ones."""
    vl.seed_everything(1)
    model = vl.dense_vae(x_dim=784, hidden=(16,), z_dim=2)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_((2 * weight).half())
    return model


DRAWING = drawing_model()


def like_mnist(image: Tensor) -> Tensor:
    """Twin of the function in draw.js, for a picture (28, 28) that is not blank."""
    image = image.double()
    inked = image.nonzero()
    scale = 20 / (1 + inked.amax(dim=0) - inked.amin(dim=0)).max()
    centre = (inked * image[image > 0][:, None]).sum(dim=0) / image.sum()
    rows, columns = (torch.arange(28) - torch.round(14 - scale * centre)[:, None]) / scale
    grid = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    placed = F.grid_sample(image[None, None], (2 * grid[None] + 1) / 28 - 1, align_corners=False)
    return placed.reshape(1, 784).float()


@torch.no_grad()
def elbo_terms(model: vl.VAE, x: Tensor) -> tuple[Normal, Tensor, Tensor]:
    """q(z|x), the mean of log p(x|z) over sixteen draws, and the KL divergence to the prior."""
    mu, logvar = model.encoder(x)
    q = Normal(mu, (0.5 * logvar).exp())
    noise = torch.randn(16, 2, generator=torch.Generator().manual_seed(0)).half()
    log_p = torch.stack([model.decoder.log_prob(x, q.mean + q.stddev * eps) for eps in noise]).mean(dim=0)
    return q, log_p, kl_divergence(q, Normal(0.0, 1.0)).sum(dim=1)


def draw_values(state: State) -> dict[str, Any]:
    names = ["mu1", "mu2", "sigma1", "sigma2", "log_p_x_given_z", "kl", "elbo", "lower"]
    levels = torch.frombuffer(bytearray(base64.b64decode(state["drawing"])), dtype=torch.uint8)
    if not levels.any():
        return dict.fromkeys(names)
    q, log_p, kl = elbo_terms(DRAWING, like_mnist((levels / 255).reshape(28, 28)))
    _, log_p_of_x, kl_of_x = elbo_terms(DRAWING, DRAWN)
    lower = (log_p_of_x - kl_of_x < log_p - kl).float().mean()
    numbers = [*q.mean[0], *q.stddev[0], log_p[0], kl[0], log_p[0] - kl[0], lower]
    return dict(zip(names, map(float, numbers), strict=True))


@functools.cache
def recorded_run() -> list[Frame]:
    model = copy.deepcopy(VAE)
    return live.record_run(model, X, X, vl.TrainConfig(epochs=4, batch_size=10, lr=0.02, device="cpu"))


def replay_values(state: State) -> Values:
    frames, epoch = recorded_run(), state["epoch"]
    before = min(math.floor(epoch), len(frames) - 2)
    codes = torch.lerp(frames[before].codes, frames[before + 1].codes, epoch - before)
    nearest = math.floor(epoch + 0.5)
    spread = codes.norm(dim=1).mean().item()
    return {"epoch": nearest, **frames[nearest].terms._asdict(), "spread": spread}


def beta_entries() -> list[Entry]:
    generator = torch.Generator().manual_seed(0)
    return [
        Entry(beta, 30.0 - 4 * i, 100.0 + 2 * i**2, *torch.rand(2, 6, 64, generator=generator))
        for i, beta in enumerate([0.1, 0.5, 0.9, 1.5, 2.5, 4.0, 8.0])
    ]


def beta_values(state: State) -> Values:
    beta, rate, distortion, *_ = beta_entries()[math.floor(state["entry"] + 0.5)]
    elbo, loss = -distortion - rate, distortion + beta * rate
    return {"beta": beta, "rate": rate, "distortion": distortion, "elbo": elbo, "loss": loss}


class Kind(SimpleNamespace):
    """One figure, and how to check it: `python` computes its values, `rel` says how closely they agree."""

    make: Callable[[], base.LiveFigure]
    python: Callable[[State], Values]
    rel: float
    states: list[State]
    #: A knob stays as far from the pointer as where it was taken; a pen is where the pointer is.
    keeps_grip = True
    #: The coordinates in which a knob follows the pointer; the others are those of a curve.
    follows = "xy"
    #: How far a knob has to be dragged, where it jumps from point to point.
    reach = 1


KINDS = {
    "kl": Kind(
        make=live.KLExplorer,
        python=kl_values,
        rel=1e-9,
        states=[
            {"mu_q": -2.5, "sigma_q": 0.35, "draws": 1000},
            {"mu_p": 2.0, "sigma_p": 2.2, "direction": "p to q", "draws": 77, "seed": 5},
            {"mu_q": 0.0, "sigma_q": 1.0, "mu_p": 0.1, "draws": 2},
        ],
    ),
    "elbo": Kind(
        make=live.ElboGap,
        python=elbo_values,
        rel=1e-6,
        states=[
            {"x": 0.2, "mu": 0.1, "sigma": 0.1},
            {"x": -4.0, "amplitude": 1.5, "mu": -3.0, "sigma": 1.5},
            {"amplitude": 0.0, "mu": 0.5, "sigma": 0.4},
        ],
    ),
    "latent": Kind(
        make=lambda: live.LatentExplorer(VAE, X, LABELS),
        python=latent_values,
        rel=5e-3,  # weights and codes travel as float16
        states=[{"z1": 1.5, "z2": -2.0}, {"mode": "path", "t": 0.3}, {"mode": "path", "t": 1.0}],
    ),
    "two-spaces": Kind(
        make=lambda: live.TwoSpaces(AE, VAE, X, LABELS),
        python=two_spaces_values,
        rel=5e-3,
        states=[{"z1": -2.0, "z2": 0.5}, {"z1": 0.0, "z2": 0.0, "view": 3.0}],
    ),
    "race": Kind(
        make=live.GradientRace,
        python=race_values,
        rel=1e-9,
        states=[
            {"samples": 16, "coordinates": 5, "drops": 120, "seed": 4},
            {"mu": -2.0, "sigma": 0.25, "coordinates": 32, "baseline": "best", "drops": 40},
            {"mu": 0.0, "sigma": 1.25, "samples": 32, "coordinates": 1, "drops": 2},
        ],
    ),
    "reparam": Kind(
        make=live.Reparameterization,
        python=reparam_values,
        rel=1e-9,
        states=[
            {"mu": -1.5, "sigma": 0.3, "dots": 100, "dot": 77, "seed": 5},
            {"mu": 0.7, "mode": "sample", "step": 2, "seed": 8},
            {"mu": 2.0, "dots": 1, "dot": 1},
        ],
    ),
    "draw": Kind(
        make=lambda: live.DrawDigit(DRAWING, DRAWN, LABELS),
        python=draw_values,
        rel=1e-4,
        keeps_grip=False,
        states=[
            {"drawing": pack_drawing(F.pad(torch.rand(17, 5), (20, 3, 1, 10))), "pen": "up"},
            {"drawing": pack_drawing(F.pad(torch.rand(2, 3), (1, 24, 20, 6))), "brush": 2.5},
            {"drawing": pack_drawing(torch.zeros(784)), "pen_x": 3.0},
        ],
    ),
    "replay": Kind(
        make=lambda: live.TrainingReplay(recorded_run(), X, LABELS),
        python=replay_values,
        rel=5e-3,
        follows="x",
        states=[{"epoch": 0.25}, {"epoch": 2.75}, {"epoch": 3}, {"epoch": 4}],
    ),
    "beta": Kind(
        make=lambda: live.BetaDial(beta_entries(), X),
        python=beta_values,
        rel=1e-9,
        follows="",
        reach=4,
        states=[{"entry": entry} for entry in (0, 3, 6)],
    ),
}
EACH = pytest.mark.parametrize("name", KINDS)


# Pages with one figure each, written here ---------------------------------------------------------

PAGE = """<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>Figure</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,"><style>{style}
body {{ background: var(--book-paper); color: var(--book-ink); margin: 1rem auto; max-width: 46rem;
padding: 0 1rem; }}</style><script>
window.shifts = 0;
new PerformanceObserver(seen => {{ window.shifts += seen.getEntries().length; }})
    .observe({{type: "layout-shift", buffered: true}});
</script><script src="live.js"></script></head>
<body><main><h1>Figure</h1>{figure}<p>Text below.</p></main></body></html>"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("live")
    (folder / "live.js").write_text(base.page_script())
    style = (Path(book_extension.__file__).parent.parent / "book/_static/book.css").read_text()
    for name, kind in KINDS.items():
        page = PAGE.format(style=style, figure=kind.make().html())
        (folder / f"{name}.html").write_text(page)
    return folder


@pytest.fixture(scope="module", params=["http", "file"])
def address(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    if request.param == "file":
        yield folder.as_uri() + "/"
    else:
        with served(folder) as home:
            yield home


@pytest.fixture
def touched(browser: Browser) -> Iterator[Page]:
    """A tab on a phone."""
    context = browser.new_context(viewport=PHONE, has_touch=True, reduced_motion="reduce")
    yield context.new_page()
    context.close()


FIGURE = "document.querySelector('main > :not(h1, script)')"
# Where a knob is: its middle, in the window.
KNOB = f"""[...{FIGURE}.shadowRoot.querySelectorAll(".handle")]
    .filter(handle => handle.style.display !== "none").map(handle => {{
        const box = handle.querySelector(".knob").getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2];
    }})[0]"""


def state_of(page: Page) -> State:
    return page.evaluate(f"{FIGURE}.state")


def assert_agrees(page: Page, kind: Kind) -> None:
    shown, expected = page.evaluate(f"{FIGURE}.values"), kind.python(state_of(page))
    assert shown.keys() == expected.keys()
    for name, value in expected.items():
        close = None if value is None else pytest.approx(value, rel=kind.rel, abs=kind.rel)
        assert shown[name] == close, name


def assert_changed(page: Page, kind: Kind, act: Callable[[], None]) -> None:
    state, picture = state_of(page), page.screenshot()
    act()
    assert state_of(page) != state
    assert page.screenshot() != picture
    assert_agrees(page, kind)


def assert_under(page: Page, x: float, y: float, follows: str = "xy") -> None:
    knob = dict(zip("xy", page.evaluate(KNOB), strict=True))
    for axis in follows:
        assert knob[axis] == pytest.approx({"x": x, "y": y}[axis], abs=1.5)


@pytest.mark.site
@EACH
def test_mouse_and_keyboard(name: str, address: str, tab: Page) -> None:
    kind, visit = KINDS[name], Visit(tab, address)
    visit.open(f"{name}.html")
    assert_agrees(tab, kind)
    x, y = tab.evaluate(KNOB)

    def drag() -> None:
        tab.mouse.move(x + 3, y + 2)
        tab.mouse.down()
        tab.mouse.move(x + 30 * kind.reach, y + 10 * kind.reach, steps=4)
        tab.mouse.up()

    assert_changed(tab, kind, drag)
    grip = (3, 2) if kind.keeps_grip else (0, 0)
    assert_under(tab, x + 30 - grip[0], y + 10 - grip[1], kind.follows)

    knob = tab.locator(".handle").locator("visible=true").first
    for key in ("ArrowLeft", "ArrowUp"):
        assert_changed(tab, kind, lambda: knob.press(key))  # noqa: B023
    slider = tab.locator("input[type=range]").locator("visible=true").first
    assert_changed(tab, kind, lambda: slider.press("ArrowRight"))
    assert not visit.problems


@pytest.mark.site
@EACH
def test_finger(name: str, address: str, touched: Page) -> None:
    kind, visit = KINDS[name], Visit(touched, address)
    visit.open(f"{name}.html")
    touched.locator(".handle").first.scroll_into_view_if_needed()
    finger = touched.context.new_cdp_session(touched)
    x, y = touched.evaluate(KNOB)

    def put(event: str, *place: float) -> None:
        points = [{"x": place[0], "y": place[1]}] if place else []
        finger.send("Input.dispatchTouchEvent", {"type": event, "touchPoints": points})

    def drag() -> None:
        put("touchStart", x, y)
        for step in range(1, 5):
            put("touchMove", x + 6 * step * kind.reach, y + 3 * step * kind.reach)
        put("touchEnd")
        arrived = f"Math.abs({KNOB}[0] - {x + 24}) < 1.5" if kind.follows else f"{KNOB}[0] !== {x}"
        touched.wait_for_function(arrived)

    scrolled = touched.evaluate("scrollY")
    assert_changed(touched, kind, drag)
    assert_under(touched, x + 24, y + 12, kind.follows)
    assert touched.evaluate("scrollY") == scrolled
    assert not visit.problems


@pytest.mark.site
@EACH
def test_any_state_shows_what_python_computes(name: str, folder: Path, tab: Page) -> None:
    kind, visit = KINDS[name], Visit(tab, folder.as_uri() + "/")
    visit.open(f"{name}.html")
    for state in kind.states:
        tab.evaluate(f"state => {{ {FIGURE}.state = state }}", state)
        assert state_of(tab).items() >= state.items()
        assert_agrees(tab, kind)
    tab.evaluate(f"{FIGURE}.state = {{z1: 1e9, mu: 1e9, mu_q: 1e9, no_such_thing: 1, direction: 'up'}}")
    assert_agrees(tab, kind)
    assert "no_such_thing" not in state_of(tab)
    assert not visit.problems


@pytest.mark.site
@EACH
def test_readable_everywhere(name: str, folder: Path, tab: Page) -> None:
    """Accessible in both themes, inside the width of a phone, nothing jumps while the page loads."""
    visit = Visit(tab, folder.as_uri() + "/")
    visit.open(f"{name}.html")
    assert not tab.evaluate("window.shifts")
    tab.evaluate(axe_source())
    problems = []
    pictures = set()
    for width in (DESKTOP["width"], PHONE["width"], 320):
        tab.set_viewport_size({"width": width, "height": 900})
        for theme in ("light", "dark"):
            tab.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
            tab.wait_for_timeout(100)
            problems += [f"{theme}, {width} px: {violation}" for violation in tab.evaluate(AXE)]
            pictures.add(tab.locator("svg").first.inner_html())
        if (excess := tab.evaluate(OVERFLOW)) > 0:
            problems.append(f"at {width} px the page scrolls sideways, by {excess} px")
    assert len(pictures) == 6
    assert not problems + visit.problems, "\n".join(problems + visit.problems)


@pytest.mark.site
def test_the_decoder_draws_the_same_picture(folder: Path, tab: Page) -> None:
    Visit(tab, folder.as_uri() + "/").open("latent.html")
    tab.evaluate(f"{FIGURE}.state = {{z1: 1.5, z2: -0.5}}")
    pixels = torch.tensor(tab.evaluate(f"Array.from({FIGURE}.pixels)"))
    with torch.no_grad():
        torch.testing.assert_close(pixels, VAE.decoder.mean(torch.tensor([1.5, -0.5])), atol=5e-3, rtol=0)
    originals = torch.tensor(tab.evaluate(f"Array.from({FIGURE}.images)")).reshape(-1, 64)
    torch.testing.assert_close(originals, X, atol=0.5 / 15 + 1e-6, rtol=0)


@pytest.mark.site
def test_a_drawn_stroke_is_seen_as_mnist_would_show_it(folder: Path, tab: Page) -> None:
    Visit(tab, folder.as_uri() + "/").open("draw.html")
    tab.get_by_role("button", name="Clear").click()
    assert tab.evaluate(f"{FIGURE}.values.elbo") is None
    box = tab.locator(".pad").bounding_box()
    assert box is not None
    cell = box["width"] / 28
    tab.mouse.move(box["x"] + 4 * cell, box["y"] + 3 * cell)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 4 * cell, box["y"] + 11 * cell)
    tab.mouse.up()
    ink = torch.tensor(tab.evaluate(f"Array.from({FIGURE}.ink)")).reshape(28, 28)
    assert ink[3:11, 3:5].min() > 0.9
    assert ink[:, 6:].max() == ink[13:].max() == 0
    seen = torch.tensor(tab.evaluate(f"Array.from({FIGURE}.seen)"))
    torch.testing.assert_close(seen, like_mnist(ink)[0])
    rows = (seen.reshape(28, 28).amax(dim=1) > 0.1).nonzero()
    assert 18 <= len(rows) <= 22
    assert rows.double().mean() == pytest.approx(14, abs=1)


@pytest.mark.site
def test_the_pen_can_be_lifted(folder: Path, tab: Page) -> None:
    Visit(tab, folder.as_uri() + "/").open("draw.html")
    knob = tab.locator(".handle")
    for key, inks in {"ArrowRight": True, " ": False, "ArrowDown": False}.items():
        before = state_of(tab)
        knob.press(key)
        assert (state_of(tab)["drawing"] != before["drawing"]) == inks
    assert state_of(tab)["pen"] == "up"
    assert state_of(tab)["pen_y"] == before["pen_y"] + 1
    tab.get_by_label("Arrow keys draw").check()
    knob.press("ArrowLeft")
    assert state_of(tab)["drawing"] != before["drawing"]


@pytest.mark.site
def test_a_digit_of_mnist_is_left_as_it_is(tmp_path: Path, tab: Page) -> None:
    mnist = vl.load("mnist")
    x, labels = mnist.test[:100], mnist.test_labels[:100]
    figure = live.DrawDigit(DRAWING, x, labels)
    (tmp_path / "live.js").write_text(base.page_script())
    (tmp_path / "draw.html").write_text(PAGE.format(style="", figure=figure.html()))
    Visit(tab, tmp_path.as_uri() + "/").open("draw.html")
    _, log_p, kl = elbo_terms(DRAWING, x)
    assert len(figure.examples) == 10
    for i in [*figure.examples[1:], figure.examples[0]]:
        tab.get_by_role("button", name="An example").click()
        seen = torch.tensor(tab.evaluate(f"Array.from({FIGURE}.seen)"))
        torch.testing.assert_close(seen, x[i])
        assert tab.evaluate(f"{FIGURE}.values.elbo") == pytest.approx((log_p - kl)[i].item(), rel=1e-4)


@pytest.mark.site
@pytest.mark.parametrize("name", ["replay", "beta"])
def test_recorded_pictures_are_those_of_the_moment(name: str, folder: Path, tab: Page) -> None:
    Visit(tab, folder.as_uri() + "/").open(f"{name}.html")
    for i, recorded in enumerate({"replay": recorded_run(), "beta": beta_entries()}[name]):
        tab.evaluate(f"{FIGURE}.state = {{epoch: {i}, entry: {i}}}")
        for pictures, row in (("reconstructions", 1), ("samples", 2)):
            shown = torch.tensor(tab.evaluate(f"Array.from({FIGURE}.shown('{pictures}', {i}))"))
            expected = getattr(recorded, pictures)
            torch.testing.assert_close(shown.reshape(6, 64), expected, atol=0.5 / 15 + 1e-6, rtol=0)
            drawn = f"""[...{FIGURE}.shadowRoot.querySelectorAll(".tiles")[{row}].children].flatMap(tile =>
                Array.from(tile.getContext("2d").getImageData(0, 0, 8, 8).data).filter((_, i) => i % 4 === 3))
            """
            ink = torch.tensor(tab.evaluate(drawn)) / 255
            torch.testing.assert_close(ink, shown, atol=2 / 255, rtol=0)


@pytest.mark.site
def test_a_run_plays_to_its_end_or_is_paused(folder: Path, tab: Page, browser: Browser) -> None:
    Visit(tab, folder.as_uri() + "/").open("replay.html")
    tab.get_by_role("button", name="Play").click()
    assert state_of(tab) == {"epoch": 4}
    assert_agrees(tab, KINDS["replay"])
    page = browser.new_page(reduced_motion="no-preference")
    Visit(page, folder.as_uri() + "/").open("replay.html")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"{FIGURE}.state.epoch > 0.3")
    page.get_by_role("button", name="Pause").click()
    paused = state_of(page)
    assert paused["epoch"] < 4
    page.wait_for_timeout(200)
    assert state_of(page) == paused
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(f"{FIGURE}.state.epoch === 4", timeout=20_000)
    page.get_by_role("button", name="Play").wait_for()
    page.close()


def test_recording_a_run_does_not_change_it() -> None:
    config = vl.TrainConfig(epochs=3, batch_size=10, device="cpu")
    recorded, plain = copy.deepcopy(VAE), copy.deepcopy(VAE)
    frames = live.record_run(recorded, X, X[:20], config)
    vl.train(plain, X, config=config, progress=False)
    for ours, theirs in zip(recorded.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert len(frames) == 4
    assert torch.equal(frames[0].codes, VAE.encoder(X[:20])[0].detach())
    assert frames[-1].terms == vl.evaluate(plain, X[:20])
    with pytest.raises(ValueError, match="constant"):
        live.record_run(plain, X, X, vl.TrainConfig(lr_schedule="cosine"))
    with pytest.raises(ValueError, match="60 examples"):
        live.TrainingReplay(frames, X, LABELS)


@pytest.mark.site
def test_the_line_through_the_chosen_model_has_slope_minus_beta(folder: Path, tab: Page) -> None:
    Visit(tab, folder.as_uri() + "/").open("beta.html")
    entries = beta_entries()

    def pixels(x: float, y: float) -> Tensor:
        return torch.tensor(tab.evaluate(f"[{FIGURE}.plot.toX({x}), {FIGURE}.plot.toY({y})]"))

    for i, entry in enumerate(entries):
        tab.evaluate(f"{FIGURE}.state = {{entry: {i}}}")
        line = f"{FIGURE}.shadowRoot.querySelector('[stroke-dasharray]').getAttribute('points')"
        (x0, y0), (x1, y1) = (map(float, point.split(",")) for point in tab.evaluate(line).split())
        right, down = (pixels(1, 1) - pixels(0, 0)).tolist()
        assert (y1 - y0) / down / ((x1 - x0) / right) == pytest.approx(-entry.beta, abs=0.01)
        chosen = pixels(entry.rate, entry.distortion).tolist()
        assert y0 + (chosen[0] - x0) * (y1 - y0) / (x1 - x0) == pytest.approx(chosen[1], abs=0.5)
    # A click takes the nearest point.
    corner = tab.locator(".plot").first.bounding_box()
    assert corner is not None
    x, y = pixels(entries[1].rate, entries[1].distortion).tolist()
    tab.mouse.click(corner["x"] + x + 6, corner["y"] + y - 4)
    assert state_of(tab) == {"entry": 1}


def test_models_are_recorded_in_order_of_beta() -> None:
    entries = live.record_betas({4.0: VAE, 0.5: copy.deepcopy(VAE)}, X, n_images=3, seed=7)
    assert [entry.beta for entry in entries] == [0.5, 4.0]
    terms = vl.evaluate(VAE, X, seed=7)
    for entry in entries:
        assert (entry.rate, entry.distortion) == (terms.kl, -terms.log_p_x_given_z)
        assert torch.equal(entry.reconstructions, VAE.reconstruct(X[:3]))
    assert torch.equal(entries[0].samples, entries[1].samples), "the same codes for each model"
    with pytest.raises(ValueError, match="order of beta"):
        live.BetaDial(entries[::-1], X)


@pytest.mark.site
def test_a_click_on_the_plane_moves_the_point(folder: Path, tab: Page) -> None:
    Visit(tab, folder.as_uri() + "/").open("latent.html")
    x, y = tab.evaluate(KNOB)
    tab.mouse.click(x - 60, y + 45)
    assert_under(tab, x - 60, y + 45)
    tab.get_by_label("A path").check()
    tab.get_by_role("button", name="Play the path").click()
    assert state_of(tab)["t"] == 1
    assert_agrees(tab, KINDS["latent"])


@pytest.mark.site
def test_optimising_finds_the_best_gaussian(folder: Path, tab: Page) -> None:
    Visit(tab, folder.as_uri() + "/").open("elbo.html")
    start = state_of(tab)
    tab.get_by_role("button", name="Optimise q", exact=True).click()
    after_q, found = tab.evaluate(f"{FIGURE}.values"), state_of(tab)

    def loss(parameters: Any) -> float:
        mu, log_sigma = parameters
        return -elbo_values(start | {"mu": mu, "sigma": math.exp(log_sigma)})["elbo"]

    best = minimize(loss, [found["mu"], math.log(found["sigma"])], method="Nelder-Mead")
    assert after_q["elbo"] == pytest.approx(-best.fun, abs=1e-6)
    assert after_q["elbo"] > elbo_values(start)["elbo"] + 0.5
    assert after_q["log_p_x"] == pytest.approx(elbo_values(start)["log_p_x"])
    tab.get_by_role("button", name="Optimise q and a").click()
    after_both = tab.evaluate(f"{FIGURE}.values")
    assert after_both["elbo"] > after_q["elbo"] + 0.01
    assert after_both["log_p_x"] != after_q["log_p_x"]
    assert_agrees(tab, KINDS["elbo"])


@pytest.mark.site
@pytest.mark.parametrize("baseline", ["none", "best"])
def test_many_drops_agree_with_the_formulas(baseline: str, folder: Path, tab: Page) -> None:
    """Unbiased, and as noisy as derived, within 4.5 standard errors of what is measured in the browser."""
    Visit(tab, folder.as_uri() + "/").open("race.html")
    for samples, coordinates in [(1, 1), (4, 8), (16, 32)]:
        state = {"samples": samples, "coordinates": coordinates, "baseline": baseline, "drops": 1000}
        tab.evaluate(f"state => {{ {FIGURE}.state = state }}", state)
        values = tab.evaluate(f"{FIGURE}.values")
        for name in ("score", "path"):
            drops = torch.tensor(tab.evaluate(f"Array.from({FIGURE}.{name})"))
            assert len(drops) == 1000
            assert abs(drops.mean() - 2.0) < 4.5 * drops.std() / math.sqrt(1000)
            squares = (drops - drops.mean()).square()
            error = 4.5 * squares.std() / math.sqrt(1000)
            assert abs(squares.mean() - values[f"{name}_sd_exact"] ** 2) < error
        assert values["path_sd"] < values["score_sd"]


@pytest.mark.site
def test_estimates_rain_and_start_again(folder: Path, tab: Page) -> None:
    Visit(tab, folder.as_uri() + "/").open("race.html")
    seed, more = state_of(tab)["seed"], tab.get_by_role("button", name="Drop 100 more")
    assert_changed(tab, KINDS["race"], more.click)
    assert state_of(tab)["drops"] == 200
    tab.get_by_role("button", name="Reset").click()
    assert (state_of(tab)["drops"], state_of(tab)["seed"]) == (0, seed + 1)
    values = tab.evaluate(f"{FIGURE}.values")
    assert values["score_sd"] is values["path_mean"] is None
    assert tab.get_by_text("–", exact=True).count() == 4
    assert_changed(tab, KINDS["race"], more.click)
    assert_changed(tab, KINDS["race"], tab.get_by_label("Best baseline").check)
    tab.evaluate(f"{FIGURE}.state = {{drops: 950}}")
    more.click()
    assert state_of(tab)["drops"] == 1000


@pytest.mark.site
def test_noise_stays_until_it_is_sampled_anew(folder: Path, tab: Page) -> None:
    Visit(tab, folder.as_uri() + "/").open("reparam.html")

    def noise() -> Tensor:
        state = state_of(tab)
        return (torch.tensor(tab.evaluate(f"Array.from({FIGURE}.z)")) - state["mu"]) / state["sigma"]

    before = noise()
    for slider in ("mean μ", "width σ"):
        tab.get_by_label(slider, exact=True).press("ArrowRight")
    torch.testing.assert_close(noise(), before)

    tab.get_by_label("Sample instead").check()
    torch.testing.assert_close(noise(), before)
    for slider in ("mean μ", "width σ"):
        tab.get_by_label(slider, exact=True).press("ArrowRight")
        assert (noise() - before).abs().max() > 0.1, "the draws have followed"
        before = noise()
    assert tab.get_by_text("none (exact").count() == 2
    assert_agrees(tab, KINDS["reparam"])


@pytest.mark.site
def test_a_click_chooses_a_dot(folder: Path, tab: Page) -> None:
    Visit(tab, folder.as_uri() + "/").open("reparam.html")
    for line, height in (("z", 0), ("eps", -1)):
        for dot in (1, 15):
            place = f"""(() => {{
                const {{plot, {line}: dots}} = {FIGURE}, corner = plot.box.getBoundingClientRect();
                return [corner.x + plot.toX(dots[{dot - 1}]), corner.y + plot.toY({height})];
            }})()"""
            tab.mouse.click(*tab.evaluate(place))
            assert state_of(tab)["dot"] == dot
            assert_agrees(tab, KINDS["reparam"])
    tab.evaluate(f"{FIGURE}.state = {{dots: 6}}")
    assert state_of(tab)["dot"] == 6
    assert tab.get_by_label("chosen dot").get_attribute("max") == "6"


@pytest.mark.site
def test_what_plays_can_be_watched_and_ends(folder: Path, browser: Browser) -> None:
    page = browser.new_page(reduced_motion="no-preference")
    Visit(page, folder.as_uri() + "/").open("kl.html")
    page.get_by_role("button", name="Let draws fall").click()
    assert 30 < state_of(page)["draws"] < 1000
    page.wait_for_function(f"{FIGURE}.state.draws === 1000", timeout=20_000)
    assert_agrees(page, KINDS["kl"])
    page.get_by_role("button", name="Let draws fall").click()
    page.locator("input[type=range]").first.press("ArrowLeft")
    stopped = state_of(page)["draws"]
    page.wait_for_timeout(200)
    assert state_of(page)["draws"] == stopped < 1000
    page.close()


# In a notebook ------------------------------------------------------------------------------------

NOTEBOOK = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><main></main>
<script type="module">
import widget from "./widget.mjs";
const listeners = {};
const model = {
    data: {html: %s, state: {}}, saved: 0,
    get(key) { return this.data[key]; },
    set(key, value) {
        const changed = JSON.stringify(this.data[key]) !== JSON.stringify(value);
        this.data[key] = value;
        if (changed) listeners["change:" + key]?.();
    },
    save_changes() { this.saved += 1; },
    on(event, call) { listeners[event] = call; }, off(event) { delete listeners[event]; },
};
window.model = model;
window.remove = widget.render({model, el: document.querySelector("main")});
window.ready = true;
</script>"""


@pytest.mark.site
def test_a_notebook_hears_the_figure_and_the_figure_the_notebook(folder: Path, tab: Page) -> None:
    figure = live.KLExplorer()
    figure._repr_mimebundle_()
    assert figure._widget is not None
    (folder / "widget.mjs").write_text(str(figure._widget._esm))
    (folder / "notebook.html").write_text(NOTEBOOK % json.dumps(figure.html()))
    with served(folder) as home:
        visit = Visit(tab, home)
        visit.open("notebook.html")
        tab.wait_for_function("window.ready")
        tab.evaluate("model.set('state', {mu_q: -1.5})")
        assert tab.evaluate("document.querySelector('live-kl').state.mu_q") == -1.5
        tab.locator("input[type=range]").first.press("ArrowRight")
        assert tab.evaluate("model.data.state.mu_q") == pytest.approx(-1.45)
        tab.evaluate("model.set('state', {sigma_q: 99})")
        assert tab.evaluate("model.data.state.sigma_q") == 2.5
        assert tab.evaluate("model.data.values.kl_q_p") > 0
        tab.evaluate("remove()")
        assert not visit.problems


def test_python_reads_and_sets_the_state() -> None:
    figure = live.ElboGap()
    figure.state = {"mu": 0.7}
    bundle = figure._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in str(bundle)
    assert figure._widget is not None
    assert figure._widget.state["mu"] == 0.7
    figure.state = {"mu": -0.2}
    assert figure._widget.state["mu"] == -0.2
    figure._widget.state = {**figure.state, "sigma": 0.9}  # what the browser does
    figure._widget.values = {"elbo": -2.0}
    assert figure.state["sigma"] == 0.9
    assert figure.values == {"elbo": -2.0}
    with pytest.raises(ValueError, match="sigmma"):
        figure.state = {"sigmma": 1.0}


# On a page ----------------------------------------------------------------------------------------


@pytest.mark.slow
@EACH
def test_a_page_gets_plain_html(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(base.STATIC, "1")
    figure = KINDS[name].make()
    bundle = figure._repr_mimebundle_()
    assert set(bundle) == {"text/html", "image/png"}
    assert figure._widget is None
    assert not re.search(r'<script(?! type="text/plain")', bundle["text/html"])
    assert "://" not in bundle["text/html"]
    assert re.search(
        r'<noscript><img src="data:image/png;base64,[^"]{1000,}" alt="[^"]+', bundle["text/html"]
    )
    assert bundle["text/html"] == KINDS[name].make().html(), "two builds differ"


def test_only_pages_with_a_figure_load_the_script(tmp_path: Path) -> None:
    loaded: list[str] = []
    app: Any = SimpleNamespace(outdir=tmp_path, add_js_file=loaded.append)
    for body in ("<p>Text.</p>", "<p>Text.</p>" + live.KLExplorer().html(), None):
        context = {} if body is None else {"body": body}
        book_extension.load_live_script(app, "page", "page.html", context, None)
    assert loaded == ["live.js"]
    book_extension.write_live_script(app)
    written = (tmp_path / "_static" / "live.js").read_text()
    assert all(f'define("{kind.make().tag}"' in written for kind in KINDS.values())
    assert not re.search(r"^(import|export) ", written, re.MULTILINE)


@pytest.mark.site
def test_two_figures_share_the_weights_of_one_model(
    tmp_path: Path, tab: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "LARGE", 1000)
    explorer, spaces = live.LatentExplorer(VAE, X, LABELS), live.TwoSpaces(AE, VAE, X, LABELS)
    page = PAGE.format(style="", figure=explorer.html() + spaces.html())
    once = book_extension.keep_pieces_once(page)
    assert len(page) - len(once) > len(base.pack(VAE.decoder.net[-1].weight))
    assert book_extension.keep_pieces_once(once) == once
    (tmp_path / "live.js").write_text(base.page_script())
    (tmp_path / "both.html").write_text(once)
    visit = Visit(tab, tmp_path.as_uri() + "/")
    visit.open("both.html")
    z = torch.tensor([[0.5, -1.0]])
    with torch.no_grad():
        expected = VAE.decoder.mean(z).sum().item()
    for tag in ("live-latent", "live-two-spaces"):
        tab.evaluate("tag => { document.querySelector(tag).state = {z1: 0.5, z2: -1} }", tag)
    values = tab.evaluate("document.querySelector('live-two-spaces').values")
    assert values["vae_ink"] == pytest.approx(expected, abs=0.05)
    ink = tab.evaluate("document.querySelector('live-latent').values.ink")
    assert ink == pytest.approx(expected, abs=0.05)
    assert not visit.problems


def test_a_decoder_that_the_page_cannot_run_is_refused() -> None:
    with pytest.raises(ValueError, match="Sigmoid"):
        base.pack_network(torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Sigmoid()))
    with pytest.raises(ValueError, match="z_dim=2"):
        live.LatentExplorer(vl.dense_vae(64, (8,), 3), X, LABELS)
    with pytest.raises(ValueError, match="28 x 28"):
        live.DrawDigit(VAE, X, LABELS)
