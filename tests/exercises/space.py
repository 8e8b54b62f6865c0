"""Answers to the chapter's exercises, right and wrong; the wrong ones with what their check says."""

ANSWERS = {
    "ex-space-blend": {
        "right": {
            "a loop": """
                total = float(weights.sum())
                return sum(math.sqrt(float(w) / total) * code for w, code in zip(weights, codes))
            """,
            "a unit vector": """
                direction = F.normalize(weights.sqrt(), dim=0)
                return (direction[:, None, None] * codes).sum(dim=0)
            """,
        },
        "wrong": {
            "a straight line": (
                "straight line",
                "return torch.einsum('m,mbl->bl', weights / weights.sum(), codes)",
            ),
            "weights swapped": (
                "swapped",
                "return torch.einsum('m,mbl->bl', (weights.flip(0) / weights.sum()).sqrt(), codes)",
            ),
            "plain average": ("plain average", "return codes.mean(dim=0)"),
            "squares": ("their squares that count", "return torch.einsum('m,mbl->bl', weights**2, codes)"),
            "shares not normalised": (
                "divide by their sum",
                "return torch.einsum('m,mbl->bl', weights.sqrt(), codes)",
            ),
            "right for two alone": (
                "not they",
                """
                shares = weights / weights.sum()
                coefficients = shares.sqrt() if len(shares) == 2 else shares
                return torch.einsum('m,mbl->bl', coefficients, codes)
                """,
            ),
            "a scaled line": (
                "",
                "return torch.einsum('m,mbl->bl', weights / weights.norm(), codes)",
            ),
            "plain average, rescaled": ("", "return codes.sum(dim=0) / len(codes) ** 0.5"),
            "wrong axis": (
                "shape",
                "return codes.mean(dim=1)",
            ),
            "alternating signs": (
                "",
                """
                coefficients = (weights / weights.sum()).sqrt()
                coefficients[2:] *= -1
                return torch.einsum('m,mbl->bl', coefficients, codes)
                """,
            ),
            "first two alone": (
                "",
                """
                shares = weights[:2] / weights[:2].sum()
                return torch.einsum('m,mbl->bl', shares.sqrt(), codes[:2])
                """,
            ),
        },
    },
}
