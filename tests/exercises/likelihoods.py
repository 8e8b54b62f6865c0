"""Answers to the chapter's exercises, right and wrong; the wrong ones with what their check says."""

ANSWERS = {
    "ex-likelihoods-discretised-laplace": {
        "right": {
            "level by level": """
                laplace = torch.distributions.Laplace(float(mu), float(b))
                below = [0.0]
                below += [laplace.cdf(torch.tensor(k + 0.5).double()).item() for k in range(255)]
                below += [1.0]
                levels = [after - before for before, after in zip(below, below[1:])]
                return torch.tensor(levels).double().log()
            """,
            "clipped edges": """
                edges = torch.arange(257).double() - 0.5
                edges[0], edges[256] = -math.inf, math.inf
                cdf = torch.distributions.Laplace(mu, b).cdf(edges)
                return torch.diff(cdf).log()
            """,
        },
        "wrong": {
            "no tails": (
                "tails belong",
                """
                edges = torch.distributions.Laplace(mu, b).cdf(torch.arange(-0.5, 256, 1.0).double())
                return torch.log(edges[1:] - edges[:-1])
                """,
            ),
            "a density": (
                "this is a density",
                "return torch.distributions.Laplace(mu, b).log_prob(torch.arange(256).double())",
            ),
            "probabilities": (
                "is the logarithm missing",
                """
                edges = torch.distributions.Laplace(mu, b).cdf(torch.arange(-0.5, 256, 1.0).double())
                edges[0], edges[-1] = 0.0, 1.0
                return edges[1:] - edges[:-1]
                """,
            ),
            "normalised instead of clipped": (
                "divide by the sum",
                """
                edges = torch.distributions.Laplace(mu, b).cdf(torch.arange(-0.5, 256, 1.0).double())
                levels = edges[1:] - edges[:-1]
                return torch.log(levels / levels.sum())
                """,
            ),
            "bits": (
                "base 2",
                """
                edges = torch.distributions.Laplace(mu, b).cdf(torch.arange(-0.5, 256, 1.0).double())
                edges[0], edges[-1] = 0.0, 1.0
                return torch.log2(edges[1:] - edges[:-1])
                """,
            ),
            "bins start at the level": (
                "",
                """
                edges = torch.distributions.Laplace(mu, b).cdf(torch.arange(0, 257, 1.0).double())
                edges[0], edges[-1] = 0.0, 1.0
                return torch.log(edges[1:] - edges[:-1])
                """,
            ),
            "one tail": (
                "",
                """
                edges = torch.distributions.Laplace(mu, b).cdf(torch.arange(-0.5, 256, 1.0).double())
                edges[0] = 0.0
                return torch.log(edges[1:] - edges[:-1])
                """,
            ),
            "scale as a standard deviation": (
                "",
                """
                edges = torch.distributions.Laplace(mu, b / 2**0.5).cdf(torch.arange(-0.5, 256, 1.0).double())
                edges[0], edges[-1] = 0.0, 1.0
                return torch.log(edges[1:] - edges[:-1])
                """,
            ),
            "255 levels": (
                "shape",
                """
                edges = torch.distributions.Laplace(mu, b).cdf(torch.arange(-0.5, 255, 1.0).double())
                edges[0], edges[-1] = 0.0, 1.0
                return torch.log(edges[1:] - edges[:-1])
                """,
            ),
            "a Gaussian": (
                "",
                """
                edges = torch.distributions.Normal(mu, b).cdf(torch.arange(-0.5, 256, 1.0).double())
                edges[0], edges[-1] = 0.0, 1.0
                return torch.log(edges[1:] - edges[:-1])
                """,
            ),
        },
    },
}
