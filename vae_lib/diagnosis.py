"""Is this VAE broken? What can be seen from outside, in one report."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch import distributions as D

from vae_lib.distributions import (
    gaussian_kl,
    gaussian_log_prob,
    reparameterize,
    standard_normal_log_prob,
)
from vae_lib.evaluation import active_units, isolated_rng
from vae_lib.models import BernoulliDecoder, GaussianDecoder
from vae_lib.objectives import elbo

Status = Literal["ok", "look", "wrong"]


@dataclass(frozen=True)
class Finding:
    """One line of a report. `look` is what only you can judge, `wrong` is what no VAE should do."""

    name: str
    status: Status
    text: str


@dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` measured, in nats per example, and what it makes of it. Print it.

    Args:
        data_range: smallest and largest value of x.
        log_p_x_given_z: mean over the examples at one code each.
        kl: closed form, from mu and logvar, mean over the examples.
        kl_sampled: the same from the codes that reached the decoder.
        likelihood_weight: how often the goal counts log p(x|z), None where no weights fit.
        beta: weight of the KL in the goal, relative to that of log p(x|z), None where no weights fit.
        active_units: coordinates whose mean varies over the data by more than 0.01 (variance).
        z_dim: number L of latent coordinates.
        noise_width: standard deviation of the noise, relative to sigma.
        gradient_of_log_p: its norm with respect to the encoder's weights.
        gradient_of_kl: its norm with respect to the encoder's weights.
        findings: the lines of the report.
    """

    data_range: tuple[float, float]
    log_p_x_given_z: float
    kl: float
    kl_sampled: float
    likelihood_weight: float | None
    beta: float | None
    active_units: int
    z_dim: int
    noise_width: float
    gradient_of_log_p: float
    gradient_of_kl: float
    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> tuple[str, ...]:
        """Names of the lines that say `wrong`; empty for a healthy model."""
        return tuple(f.name for f in self.findings if f.status == "wrong")

    def __str__(self) -> str:
        return "\n".join(f"{f.status:5}  {f.name:10}  {f.text}" for f in self.findings)


def diagnose(
    model: nn.Module,
    x: Tensor,
    objective: Callable[..., Any] = elbo,
    *,
    beta: float = 1.0,
    max_examples: int = 128,
    seed: int = 0,
) -> Diagnosis:
    r"""Look for the usual bugs of a VAE from outside, without reading its code.

    Runs `model(x)` and `objective(model, x)` on a copy of the model in float64 and watches what the encoder
    returns and what reaches the decoder. In some runs it puts a mu and logvar of its own in place of the
    encoder's: then the width of the noise and the weights a and b of

    .. math:: \text{goal}(x) = a \log p(x \mid z) - b\, \mathrm{KL}(q(z \mid x) \,\|\, \mathcal N(0, I)) + c

    can be read off, whatever the model has learned.

    A report without `wrong` is no proof. Nothing is seen of a prior other than N(0, I), of importance
    weights, of a flow's determinant, of test images in the training set, and of the scale on which another
    program evaluates.

    Args:
        model: as :class:`vae_lib.VAE`: its forward calls `model.encoder(x) -> (mu, logvar)`, each (B, L), and
            `model.decoder(z) -> (B, D)`, and `model.decoder.log_prob(x, z)` is (B,). It is not changed.
        x: examples as the model is fed with them, shape (N, D); the first `max_examples` are looked at, and
            all of them for the range.
        objective: what `train` makes large: objective(model, x) -> NamedTuple of tensors (B,).
        beta: the weight of the KL that you mean the objective to have.
        max_examples: more give steadier numbers and take longer.
        seed: of the noise.
    Returns:
        A Diagnosis; `print` it, or test that its `wrong` is empty.
    Raises:
        TypeError, ValueError: the model or x do not fit the protocol above.

    Book: def-bugs-scales.

    >>> from vae_lib.models import dense_vae
    >>> diagnose(dense_vae(64, (32,), 2), torch.rand(200, 64)).wrong
    ()
    """
    _check_protocol(model, x)
    rows = x[:max_examples].detach().cpu().double()
    probe = copy.deepcopy(model).cpu().double()
    was_training = model.training
    with isolated_rng(torch.device("cpu"), seed), torch.enable_grad():
        modes = _modes_finding(probe, rows, was_training)
        probe.train(was_training)
        with torch.no_grad():
            mu, _ = _encode(probe, rows)
        z_dim = mu.shape[1]
        programs = {"forward": lambda x: probe(x), "objective": lambda x: objective(probe, x)}

        noise, noise_width = _noise_finding(probe, rows, z_dim, programs, seed)
        probe.eval()
        kl, kl_sampled, sampled = _kl_finding(probe, rows, objective)
        gradient, norm_log_p, norm_kl = _gradient_finding(probe, rows, programs)
        weights, a, b = _weights_finding(probe, rows, z_dim, objective, beta)
        likelihood, log_p = _likelihood_finding(probe, rows)
    active = int(active_units(mu).sum())
    findings = (
        _data_finding(model, x), likelihood, modes, noise, gradient, sampled, weights,
        Finding(
            "scale", "ok",
            f"log p(x|z) {log_p:.4g} ({log_p / rows.shape[1]:.3g} per pixel), KL {kl:.4g}"
            f" ({kl / z_dim:.3g} per latent)",
        ),
        Finding(
            "units", "ok" if active else "look",
            f"{active} of {z_dim} active" + ("" if active else ": not trained yet, or collapsed"),
        ),
    )  # fmt: skip
    return Diagnosis(
        (x.min().item(), x.max().item()), log_p, kl, kl_sampled, a, b, active, z_dim,
        noise_width, norm_log_p, norm_kl, findings,
    )  # fmt: skip


# The parts of diagnose: each returns a line of the report and the numbers behind it. -------------------


@dataclass
class _Trace:
    """What one run of a program handed to the decoder and got from it."""

    mu: list[Tensor] = field(default_factory=list)
    logvar: list[Tensor] = field(default_factory=list)
    z: list[Tensor] = field(default_factory=list)
    output: list[Tensor] = field(default_factory=list)
    result: Any = None


def _watch(
    model: nn.Module, program: Callable[[Tensor], Any], x: Tensor, q: tuple[Tensor, Tensor] | None = None
) -> _Trace:
    """Run a program; `q` takes the place of the encoder's answer, row by row.

    A program may work through x in pieces, one example at a time for instance: rows are handed out in order.
    """
    trace, handed_out = _Trace(), 0

    def after_encoder(_: nn.Module, __: Any, answer: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        nonlocal handed_out
        if q is not None:
            index = torch.arange(handed_out, handed_out + len(answer[0])) % len(x)
            handed_out += len(index)
            answer = (q[0][index], q[1][index])
        trace.mu.append(answer[0])
        trace.logvar.append(answer[1])
        return answer

    def after_decoder(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        trace.z.append(given[0])
        trace.output.append(output)

    handles = [
        model.encoder.register_forward_hook(after_encoder),  # type: ignore[union-attr]
        model.decoder.register_forward_hook(after_decoder),  # type: ignore[union-attr]
    ]
    try:
        trace.result = program(x)
    finally:
        for handle in handles:
            handle.remove()
    return trace


def _codes(trace: _Trace, n: int) -> Tensor | None:
    """The codes of n examples, or None: a program with several samples for each is another matter."""
    if not trace.z or any(z.ndim != 2 for z in trace.z) or sum(len(z) for z in trace.z) != n:
        return None
    return torch.cat(trace.z)


def _data_finding(model: nn.Module, x: Tensor) -> Finding:
    low, high = x.min().item(), x.max().item()
    text = f"x from {low:.4g} to {high:.4g}"
    if not torch.isfinite(x).all():
        return Finding("data", "wrong", f"{text}, with NaN or infinite values")
    try:
        getattr(model.decoder, "check_support", lambda _: None)(x)
    except ValueError:
        return Finding("data", "wrong", f"{text}: the likelihood {_kind(model.decoder)} needs [0, 1]")
    if low == high:
        return Finding("data", "look", f"{text}: all values are the same")
    grey = ((x > 0) & (x < 1)).any().item() and isinstance(model.decoder, BernoulliDecoder)
    return Finding("data", "ok", text + (", grey values under a Bernoulli" if grey else ""))


def _kind(decoder: Any) -> str:
    return type(decoder).__name__.removesuffix("Decoder")


def _log_prob_again(decoder: Any, x: Tensor, output: Tensor) -> Tensor | None:
    """log p(x|z) from the decoder's raw output, by torch.distributions; None for an unknown likelihood."""
    if isinstance(decoder, BernoulliDecoder):
        bernoulli = D.Bernoulli(logits=output, validate_args=False)
        return bernoulli.log_prob(x).sum(dim=-1)
    if isinstance(decoder, GaussianDecoder):
        return D.Normal(output, torch.exp(0.5 * decoder.logvar)).log_prob(x).sum(dim=-1)
    return None


def _likelihood_finding(model: nn.Module, x: Tensor) -> tuple[Finding, float]:
    decoder: Any = model.decoder
    with torch.no_grad():
        mu, logvar = _encode(model, x)
        z = reparameterize(mu, logvar)
        ours = decoder.log_prob(x, z)
        again = _log_prob_again(decoder, x, decoder(z))
    if ours.shape != (len(x),):
        text = f"log_prob returns the shape {tuple(ours.shape)}, one value per example would be ({len(x)},)"
        return Finding("likelihood", "wrong", text), ours.double().mean().item()
    if again is None:
        text = f"{_kind(decoder)}: none that diagnose can compute again"
        return Finding("likelihood", "look", text), ours.mean().item()
    text = f"log_prob agrees with a {_kind(decoder)} computed again"
    if torch.allclose(ours, again, rtol=1e-5, atol=1e-6):
        return Finding("likelihood", "ok", text), again.mean().item()
    text = f"log_prob is {ours.mean().item():.4g}, computed again {again.mean().item():.4g}"
    if torch.allclose(ours, -again, rtol=1e-5, atol=1e-6):
        text += ": its sign is wrong"
    elif torch.allclose(ours, again / x.shape[1], rtol=1e-5, atol=1e-6):
        text += ": a mean over pixels"
    return Finding("likelihood", "wrong", text), again.mean().item()


def _modes_finding(model: nn.Module, x: Tensor, training: bool) -> Finding:
    with torch.no_grad():
        model.eval()
        evaluated, _ = _encode(model, x)
        model.train()
        trained, _ = _encode(model, x)
    gap = (evaluated - trained).abs().max().item() / (1e-12 + evaluated.std().item())
    mode = "training" if training else "evaluation"
    if gap < 1e-6:
        return Finding("mode", "ok", f"{mode}; the encoder is the same in both modes")
    text = f"{mode}; a mean moves by up to {gap:.2g} spreads with the mode"
    if training:
        return Finding("mode", "wrong", text + ": call eval() before you measure")
    return Finding("mode", "look" if gap > 3 else "ok", text)


def _noise_finding(
    model: nn.Module, x: Tensor, z_dim: int, programs: dict[str, Callable[[Tensor], Any]], seed: int
) -> tuple[Finding, float]:
    """Codes at mu = 0: with logvar = 0 they are the noise; with logvar = -4 they are e^-2 times the noise."""
    zero, small = x.new_zeros(len(x), z_dim), x.new_full((len(x), z_dim), -4.0)
    status: Status = "ok"
    said, width = [], math.nan
    for name, program in programs.items():
        noises: dict[str, Tensor | None] = {}
        for key, logvar, mode in (
            ("first", zero, True), ("second", zero, True), ("narrow", small, True), ("eval", zero, False),
        ):  # fmt: skip
            if key != "second":
                torch.manual_seed(seed)
            model.train(mode)
            with torch.no_grad():
                noises[key] = _codes(_watch(model, program, x, (zero, logvar)), len(x))
        first, second, narrow = noises["first"], noises["second"], noises["narrow"]
        if first is None or second is None or narrow is None:
            if name == "forward":
                raise ValueError("model(x) has to hand one code (B, L) for each x to model.decoder")
            continue  # several samples per example: only the model's own forward is looked at
        scale = first.std().item()
        relative = narrow.std().item() / (math.exp(-2) * scale) if scale > 0 else math.nan
        if name == "forward" or math.isnan(width):
            width = relative * scale
        bad = ""
        if scale == 0:
            bad = "the mean is decoded, no noise"
        elif torch.equal(first, second):
            bad = "the same noise at every call"
        elif len(x) > 1 and first.std(dim=0).max().item() < 1e-9:
            bad = "one noise vector for the whole batch"
        elif z_dim > 1 and first.std(dim=1).max().item() < 1e-9:
            bad = "one number for all coordinates"
        elif abs(relative - 1) > 1e-3:
            found, due = narrow.std().item(), math.exp(-2) * scale
            bad = f"at logvar = -4 its width is {found:.3g}, not {due:.3g}: is logvar used as sigma?"
        elif abs(scale - 1) > 6 / math.sqrt(2 * first.numel()):
            bad = f"at logvar = 0 its width is {scale:.3g}, not 1"
        evaluated = noises["eval"]
        if bad:
            status = "wrong"
            said.append(f"{name}: {bad}")
        elif evaluated is not None and evaluated.std().item() == 0 and status == "ok":
            status = "look"
            said.append(f"{name}: in evaluation mode the mean is decoded, which is no bound")
    return Finding("noise", status, "; ".join(said) or "fresh for each example, as wide as sigma"), width


def _kl_finding(model: nn.Module, x: Tensor, objective: Callable[..., Any]) -> tuple[float, float, Finding]:
    """E_q[log q - log p] at the codes of forward, against the closed form and the objective's kl."""
    repeats = 16
    with torch.no_grad():
        many = x.repeat(repeats, 1)
        trace = _watch(model, lambda x: model(x), many)
        mu, logvar = torch.cat(trace.mu), torch.cat(trace.logvar)
        z = _codes(trace, len(mu))
        if z is None or z.shape != mu.shape:
            raise ValueError("model(x) has to hand one code (B, L) for each x to model.decoder")
        closed = gaussian_kl(mu, logvar)
        ratio = gaussian_log_prob(z, mu, logvar) - standard_normal_log_prob(z)
        reported = getattr(objective(model, many), "kl", None)
    # The estimate minus what it estimates: its spread is that of the noise alone.
    error = (ratio - closed).std().item() / math.sqrt(len(closed))
    kl, sampled = closed.mean().item(), ratio.mean().item()
    text = f"KL {kl:.4g} in closed form, {sampled:.4g} ± {error:.2g} sampled"
    if abs(sampled - kl) > 6 * error + 1e-6:
        return kl, sampled, Finding("KL", "wrong", text + ": the codes are not from q")
    if reported is not None:
        noisy = reported.reshape(repeats, -1).std(dim=0).max().item() > 1e-9
        allowed = 6 * error if noisy else 1e-6 * (1 + kl)
        if abs(reported.mean().item() - kl) > allowed:
            text += f", {reported.mean().item():.4g} in the objective"
            return kl, sampled, Finding("KL", "wrong", text)
    return kl, sampled, Finding("KL", "ok", text)


def _gradient_finding(
    model: nn.Module, x: Tensor, programs: dict[str, Callable[[Tensor], Any]]
) -> tuple[Finding, float, float]:
    weights = [p for p in model.encoder.parameters() if p.requires_grad]  # type: ignore[union-attr]
    if not weights:
        return Finding("gradient", "look", "the encoder has no weights to train"), 0.0, 0.0
    bad, norms = [], {}
    for name, program in programs.items():
        trace = _watch(model, program, x)
        if _codes(trace, len(x)) is None:
            continue
        log_p = _log_prob_again(model.decoder, x, torch.cat(trace.output))
        log_p = torch.cat(trace.output).sum(dim=-1) if log_p is None else log_p
        norms[name] = _norm(log_p.mean(), weights)
        if norms[name] == 0:
            bad.append(f"{name}: log p(x|z) does not reach the encoder")
    mu, logvar = _encode(model, x)
    norm_log_p, norm_kl = norms["forward"], _norm(gaussian_kl(mu, logvar).mean(), weights)
    text = f"at the encoder {norm_log_p:.3g} from log p(x|z), {norm_kl:.3g} from the KL"
    return Finding("gradient", "wrong" if bad else "ok", "; ".join(bad) or text), norm_log_p, norm_kl


def _norm(value: Tensor, weights: list[nn.Parameter]) -> float:
    if not value.requires_grad:
        return 0.0
    gradients = torch.autograd.grad(value, weights, allow_unused=True)
    return math.sqrt(sum(g.square().sum().item() for g in gradients if g is not None))


def _weights_finding(
    model: nn.Module, x: Tensor, z_dim: int, objective: Callable[..., Any], meant: float
) -> tuple[Finding, float | None, float | None]:
    """Least squares for a, b and c on codes drawn far and wide, so that both terms vary."""
    mu, logvar = x.new_empty(len(x), z_dim).normal_(), x.new_empty(len(x), z_dim).uniform_(-4, 1)
    with torch.no_grad():
        trace = _watch(model, lambda x: objective(model, x), x, (mu, logvar))
    goal = trace.result[0]
    if not isinstance(goal, Tensor) or goal.shape != (len(x),):
        raise ValueError("the objective has to return a NamedTuple whose first field has the shape (B,)")
    if _codes(trace, len(x)) is None:
        return (
            Finding("weights", "look", "several codes for each x: the goal is no sum of two terms"),
            None,
            None,
        )
    output = torch.cat(trace.output)
    log_p = _log_prob_again(model.decoder, x, output)
    if log_p is None:
        log_p = model.decoder.log_prob(x, torch.cat(trace.z)).detach()  # type: ignore[union-attr,operator]
    terms = torch.stack([log_p, -gaussian_kl(mu, logvar), torch.ones_like(log_p)], dim=1)
    a, b, c = torch.linalg.lstsq(terms, goal[:, None]).solution[:, 0].tolist()
    misfit = (terms @ terms.new_tensor([a, b, c]) - goal).std().item() / (goal.std().item() + 1e-300)
    if not misfit < 1e-4:
        return Finding("weights", "look", "the goal is no weighted sum of log p(x|z) and this KL"), None, None
    if a <= 0:
        return Finding("weights", "wrong", f"the goal counts log p(x|z) {a:.3g} times"), a, None
    beta = b / a
    if abs(beta - meant) <= 1e-3 * max(abs(meant), 1e-3):
        return Finding("weights", "ok", f"beta = {beta:.4g}, as meant"), a, beta
    text = f"beta = {beta:.4g}, meant is {meant:.4g}"
    pixels = x.shape[1]
    causes = {
        "no KL": 0.0,
        "the KL's sign": -meant,
        "a mean over pixels, a sum over latents": meant * pixels,
        "means over pixels and latents": meant * pixels / z_dim,
        "a KL averaged over latents": meant / z_dim,
    }
    for cause, value in causes.items():
        if abs(beta - value) <= 1e-3 * max(abs(value), 1e-3):
            text += f": {cause}?"
            break
    return Finding("weights", "wrong", text), a, beta


def _encode(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    answer = model.encoder(x)  # type: ignore[operator]
    if not (isinstance(answer, tuple) and len(answer) == 2 and all(isinstance(t, Tensor) for t in answer)):
        raise TypeError("model.encoder(x) has to return the pair (mu, logvar)")
    mu, logvar = answer
    if mu.shape != logvar.shape or mu.ndim != 2 or len(mu) != len(x):
        raise ValueError(
            f"mu {tuple(mu.shape)} and logvar {tuple(logvar.shape)} have to be (B, L) with B = {len(x)}"
        )
    return mu, logvar


def _check_protocol(model: nn.Module, x: Tensor) -> None:
    for part in ("encoder", "decoder"):
        if not isinstance(getattr(model, part, None), nn.Module):
            raise TypeError(f"diagnose needs a module model.{part}, {type(model).__name__} has none")
    if not hasattr(model.decoder, "log_prob"):
        raise TypeError("diagnose needs model.decoder.log_prob(x, z), shape (B,)")
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"x has to be a floating-point tensor, got {kind}. For bytes use x.float() / 255.")
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"x has to hold two examples at least, shape (N, D), got {tuple(x.shape)}")
