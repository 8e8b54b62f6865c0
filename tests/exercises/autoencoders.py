"""Answers to the chapter's exercises, right and wrong; the wrong ones with what their check says."""

ANSWERS = {
    "ex-autoencoders-write-pull": {
        "right": {
            "through sigma": """
                sigma = torch.exp(0.5 * logvar)
                return (0.5 * (mu**2 + sigma**2 - 1) - torch.log(sigma)).sum(-1)
            """,
            "the usual line": "return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)",
        },
        "wrong": {
            "no half": ("one half", "return (mu**2 + logvar.exp() - logvar - 1).sum(dim=1)"),
            "mean for sum": ("averaged", "return 0.5 * (mu**2 + logvar.exp() - logvar - 1).mean(dim=1)"),
            "logvar for log sigma": (
                "not log sigma",
                "return 0.5 * (mu**2 + (2 * logvar).exp() - 2 * logvar - 1).sum(dim=1)",
            ),
            "sigma for its square": (
                "where sigma^2 belongs",
                "return 0.5 * (mu**2 + (logvar / 2).exp() - logvar - 1).sum(dim=1)",
            ),
            "no minus one": ("-1 missing", "return 0.5 * (mu**2 + logvar.exp() - logvar).sum(dim=1)"),
            "sign of the logarithm": (
                "must be subtracted",
                "return 0.5 * (mu**2 + logvar.exp() + logvar - 1).sum(dim=1)",
            ),
            "sign": ("sign", "return -0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(dim=1)"),
            "one number for the batch": ("shape", "return 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum()"),
            "wrong axis": ("shape", "return 0.5 * (mu**2 + logvar.exp() - logvar - 1).sum(dim=0)"),
        },
    },
}
