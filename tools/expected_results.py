"""Train the models of the table of expected results, and record what they reach.

    python tools/expected_results.py                      every run that the file lacks
    python tools/expected_results.py dense-20 --seed 1    one run, again

The numbers go to book/4-understanding/expected-results.json, from which the chapter "Evaluating a VAE"
makes its table. All runs together take about eight minutes on one thread.
"""

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

import vae_lib as vl
from vae_lib.training import write_atomically

RESULTS = Path(__file__).resolve().parent.parent / "book" / "4-understanding" / "expected-results.json"
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Recipe:
    """A model and how long it is trained, on digits that are tossed anew in every batch."""

    hidden: int
    z_dim: int
    epochs: int
    n_train: int = 50_000
    batch_size: int = 250
    n_samples: int = 5000


RECIPES = {
    "short": Recipe(hidden=100, z_dim=10, epochs=8, n_train=5000, batch_size=100, n_samples=500),
    "dense-2": Recipe(hidden=200, z_dim=2, epochs=8),
    "dense-20": Recipe(hidden=200, z_dim=20, epochs=8),
    "dense-20-wide": Recipe(hidden=400, z_dim=20, epochs=16),
}


def run(name: str, seed: int) -> dict[str, float | str]:
    """Train one model and measure it on tossed test digits: a row of the file."""
    recipe, mnist = RECIPES[name], vl.load("mnist")
    vl.seed_everything(seed)
    model = vl.dense_vae(784, (recipe.hidden,), recipe.z_dim)
    config = vl.TrainConfig(
        epochs=recipe.epochs,
        batch_size=recipe.batch_size,
        lr=3e-3,
        lr_schedule="cosine",
        seed=seed,
        device="cpu",
    )
    started = time.perf_counter()
    vl.train(
        model,
        mnist.train[: recipe.n_train],
        config=config,
        batch_transform=vl.bernoulli_sample,
        progress=False,
    )
    minutes = (time.perf_counter() - started) / 60
    test = vl.binarize(mnist.test)
    terms = vl.evaluate(model, test)
    started = time.perf_counter()
    log_p_x = vl.log_marginal(model, test[:200], recipe.n_samples).log_p_x.double()
    seconds = time.perf_counter() - started
    with torch.no_grad():
        mu, _ = model.encoder(test)
    return {
        "model": name,
        "seed": seed,
        "minutes": round(minutes, 3),
        "minus_elbo": round(-terms.elbo, 3),
        "nll_200": round(-log_p_x.mean().item(), 3),
        "nll_200_error": round(log_p_x.std().item() / math.sqrt(len(log_p_x)), 3),
        "rate": round(terms.kl, 3),
        "active_units": int(vl.active_units(mu).sum()),
        "nll_seconds_per_1000": round(5 * seconds, 1),
    }


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("model", nargs="?", choices=RECIPES, help="all when not given")
    parser.add_argument("--seed", type=int, choices=SEEDS, help="all when not given")
    chosen = parser.parse_args(arguments)
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    for name in RECIPES if chosen.model is None else [chosen.model]:
        for seed in SEEDS if chosen.seed is None else [chosen.seed]:
            done = [row for row in rows if (row["model"], row["seed"]) == (name, seed)]
            if done and chosen.model is None:
                continue
            row = run(name, seed)
            rows = [row, *(other for other in rows if other not in done)]
            rows.sort(key=lambda r: (list(RECIPES).index(r["model"]), r["seed"]))
            lines = ",\n".join("  " + json.dumps(row) for row in rows)
            write_atomically(RESULTS, f"[\n{lines}\n]\n".encode())
            print(row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
