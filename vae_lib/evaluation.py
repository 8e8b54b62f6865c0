"""Numbers about a trained model. Nothing here changes weights or the caller's random state."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vae_lib.objectives import elbo


def evaluate(
    model: nn.Module,
    x: Tensor,
    objective: Callable[..., Any] = elbo,
    batch_size: int = 1000,
    seed: int = 0,
) -> Any:
    """Means of an objective's terms over the examples, in nats per example.

    Samples z as training does (decoding the posterior mean instead would not be a bound), with the same
    noise at every call, so that two epochs or two models differ by their weights only.

    Args:
        model: any module that the objective accepts.
        x: examples, shape (N, D). Moved to the model's device batch by batch.
        objective: objective(model, x) -> NamedTuple of tensors (B,).
        batch_size: examples at a time; changes memory and speed, and which noise an example gets.
        seed: of the noise.
    Returns:
        The objective's NamedTuple with a float in each field.
    Raises:
        ValueError: x is empty.

    >>> from vae_lib.models import dense_vae
    >>> terms = evaluate(dense_vae(784, (400,), 20), torch.zeros(100, 784))
    >>> abs(terms.elbo - (terms.log_p_x_given_z - terms.kl)) < 1e-3
    True
    """
    if len(x) == 0:
        raise ValueError("the data hold no example")
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), isolated_rng(device, seed):
            batches = [objective(model, batch.to(device)) for batch in x.split(batch_size)]
    finally:
        model.train(was_training)
    # float64 on the CPU: a sum of 60,000 float32 values loses digits, and MPS has no float64.
    fields = zip(*batches, strict=True)
    means = [torch.cat(field).cpu().double().mean().item() for field in fields]
    return type(batches[0])(*means)


@contextmanager
def isolated_rng(device: torch.device, seed: int) -> Iterator[None]:
    """Context in which torch's random numbers start from `seed`; the caller's state comes back after it."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
