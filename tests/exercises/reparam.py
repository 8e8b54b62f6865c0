"""Answers to the chapter's exercises, right and wrong; the wrong ones with what their check says."""

ANSWERS = {
    "ex-reparam-laplace": {
        "right": {
            "two branches": """
                return m + c * torch.where(u < 0.5, torch.log(2 * u), -torch.log(2 - 2 * u))
            """,
            "a difference of logarithms": """
                lower = torch.minimum(2 * u, torch.ones_like(u))
                upper = torch.minimum(2 - 2 * u, torch.ones_like(u))
                return m + c * (lower.log() - upper.log())
            """,
        },
        "wrong": {
            "mirrored": (
                "left of m",
                "return m + c * torch.sign(u - 0.5) * torch.log1p(-2 * (u - 0.5).abs())",
            ),
            "swapped": ("swapped", "return c - m * torch.sign(u - 0.5) * torch.log1p(-2 * (u - 0.5).abs())"),
            "shift stretched": (
                "multiplies the shift",
                "return c * (m - torch.sign(u - 0.5) * torch.log1p(-2 * (u - 0.5).abs()))",
            ),
            "no stretch": (
                "stretch missing",
                "return m - torch.sign(u - 0.5) * torch.log1p(-2 * (u - 0.5).abs())",
            ),
            "exponential": ("one side only", "return m - c * torch.log1p(-u)"),
            "no factor two": (
                "is the 2",
                "return m - c * torch.sign(u - 0.5) * torch.log1p(-(u - 0.5).abs())",
            ),
            "detached": (
                "cut off",
                "return (m - c * torch.sign(u - 0.5) * torch.log1p(-2 * (u - 0.5).abs())).detach()",
            ),
            "stretch detached": (
                "by the stretch",
                "return m - c.detach() * torch.sign(u - 0.5) * torch.log1p(-2 * (u - 0.5).abs()) + 0 * c",
            ),
            "a Gaussian": ("", "return m + c * D.Normal(torch.zeros_like(u), 1.0).icdf(u)"),
            "own noise": ("", "return D.Laplace(m, c).rsample(u.shape)"),
            "no sign": ("", "return m - c * torch.log1p(-2 * (u - 0.5).abs())"),
        },
    },
    "ex-reparam-loo": {
        "right": {
            "the covariance": """
                S = values.shape[1]
                centred = values - values.mean(dim=1, keepdim=True)
                return (centred * scores).sum(dim=1) / (S - 1)
            """,
            "one sample at a time": """
                S = values.shape[1]
                terms = []
                for s in range(S):
                    others = [values[:, r] for r in range(S) if r != s]
                    terms.append((values[:, s] - sum(others) / (S - 1)) * scores[:, s])
                return sum(terms) / S
            """,
        },
        "wrong": {
            "no baseline": ("baseline missing", "return (values * scores).mean(dim=1)"),
            "mean of all": (
                "the mean of all S values",
                "return ((values - values.mean(dim=1, keepdim=True)) * scores).mean(dim=1)",
            ),
            "sum for mean": (
                "where the mean belongs",
                """
                others = (values.sum(dim=1, keepdim=True) - values) / (values.shape[1] - 1)
                return ((values - others) * scores).sum(dim=1)
                """,
            ),
            "divides by S": (
                "divided by S",
                """
                others = (values.sum(dim=1, keepdim=True) - values) / values.shape[1]
                return ((values - others) * scores).mean(dim=1)
                """,
            ),
            "added": (
                "has to be subtracted",
                """
                others = (values.sum(dim=1, keepdim=True) - values) / (values.shape[1] - 1)
                return ((values + others) * scores).mean(dim=1)
                """,
            ),
            "down the column": (
                "not in its column",
                """
                others = (values.sum(dim=0, keepdim=True) - values) / (values.shape[0] - 1)
                return ((values - others) * scores).mean(dim=1)
                """,
            ),
            "sign": (
                "sign",
                """
                others = (values.sum(dim=1, keepdim=True) - values) / (values.shape[1] - 1)
                return ((others - values) * scores).mean(dim=1)
                """,
            ),
            "averaged over the repetitions": (
                "shape",
                """
                others = (values.sum(dim=1, keepdim=True) - values) / (values.shape[1] - 1)
                return ((values - others) * scores).mean()
                """,
            ),
            "no scores": (
                "",
                """
                others = (values.sum(dim=1, keepdim=True) - values) / (values.shape[1] - 1)
                return (values - others).mean(dim=1)
                """,
            ),
            "S hard-coded": (
                "",
                """
                others = (values.sum(dim=1, keepdim=True) - values) / 3
                return ((values - others) * scores).mean(dim=1)
                """,
            ),
        },
    },
}
