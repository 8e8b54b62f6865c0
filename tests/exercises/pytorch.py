"""Answers to the chapter's exercises, right and wrong; the wrong ones with what their check says."""

ANSWERS = {
    "ex-pytorch-loss": {
        "right": {
            "by log-sigmoids": """
                log_p = x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)
                kl = -0.5 * (1 + logvar - mu.square() - logvar.exp())
                return kl.sum(dim=-1) - log_p.sum(dim=-1)
            """,
            "by log1p": """
                bce = logits.clamp(min=0) - x * logits + torch.log1p(torch.exp(-logits.abs()))
                std = torch.exp(0.5 * logvar)
                return bce.sum(1) + (0.5 * (mu**2 + std**2 - 1) - std.log()).sum(1)
            """,
        },
        "wrong": {
            "no KL": ("KL missing", "return (F.softplus(logits) - x * logits).sum(dim=1)"),
            "no reconstruction": (
                "reconstruction missing",
                "return 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(dim=1)",
            ),
            "sign of the KL": (
                "the KL makes the loss larger",
                """
                bce = (F.softplus(logits) - x * logits).sum(dim=1)
                return bce - 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(dim=1)
                """,
            ),
            "sign of the reconstruction": (
                "the reconstruction makes the loss larger",
                """
                log_p = (x * logits - F.softplus(logits)).sum(dim=1)
                return log_p + 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(dim=1)
                """,
            ),
            "mean over the pixels": (
                "mean over the pixels",
                """
                bce = (F.softplus(logits) - x * logits).mean(dim=1)
                return bce + 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(dim=1)
                """,
            ),
            "mean over the codes": (
                "mean over the codes",
                """
                bce = (F.softplus(logits) - x * logits).sum(dim=1)
                return bce + 0.5 * (mu**2 + logvar.exp() - logvar - 1).mean(dim=1)
                """,
            ),
            "no half": (
                "one half of the KL",
                """
                bce = (F.softplus(logits) - x * logits).sum(dim=1)
                return bce + (mu**2 + logvar.exp() - logvar - 1).sum(dim=1)
                """,
            ),
            "a rounded sigmoid": (
                "rounds to zero",
                """
                p = torch.sigmoid(logits)
                bce = -(torch.xlogy(x, p) + torch.xlogy(1 - x, 1 - p)).sum(dim=1)
                return bce + 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(dim=1)
                """,
            ),
            "a clamped sigmoid": (
                "",
                """
                p = torch.sigmoid(logits).clamp(1e-6, 1 - 1e-6)
                bce = -(x * p.log() + (1 - x) * (1 - p).log()).sum(dim=1)
                return bce + 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(dim=1)
                """,
            ),
            "mean over the batch": (
                "shape",
                """
                bce = (F.softplus(logits) - x * logits).sum(dim=1)
                return (bce + 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(dim=1)).mean()
                """,
            ),
            "logvar for log sigma": (
                "",
                """
                bce = (F.softplus(logits) - x * logits).sum(dim=1)
                return bce + 0.5 * (mu**2 + (2 * logvar).exp() - 2 * logvar - 1).sum(dim=1)
                """,
            ),
        },
    },
}
