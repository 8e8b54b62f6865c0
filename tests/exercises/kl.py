"""Answers to the chapter's exercises, right and wrong; the wrong ones with what their check says."""

ANSWERS = {
    "ex-kl-learned-prior": {
        "right": {
            "coordinate by coordinate": """
                total = 0
                for j in range(mu.shape[1]):
                    gap = logvar[:, j] - prior_logvar[:, j]
                    distance = (mu[:, j] - prior_mu[:, j]) * torch.exp(-0.5 * prior_logvar[:, j])
                    total = total + 0.5 * (torch.expm1(gap) - gap + distance.square())
                return total
            """,
            "measured in the prior's units": """
                stretch = torch.exp(-prior_logvar / 2)
                return vl.gaussian_kl((mu - prior_mu) * stretch, logvar - prior_logvar)
            """,
        },
        "wrong": {
            "no half": (
                "one half",
                """
                ratio = (logvar - prior_logvar).exp()
                distance = (mu - prior_mu) * (-prior_logvar / 2).exp()
                return (ratio + distance**2 - 1 - (logvar - prior_logvar)).sum(dim=-1)
                """,
            ),
            "mean for sum": (
                "mean over the latents",
                """
                ratio = (logvar - prior_logvar).exp()
                distance = (mu - prior_mu) * (-prior_logvar / 2).exp()
                return 0.5 * (ratio + distance**2 - 1 - (logvar - prior_logvar)).mean(dim=-1)
                """,
            ),
            "other direction": (
                "other direction",
                """
                ratio = (prior_logvar - logvar).exp()
                distance = (mu - prior_mu) * (-logvar / 2).exp()
                return 0.5 * (ratio + distance**2 - 1 - (prior_logvar - logvar)).sum(dim=-1)
                """,
            ),
            "no learned prior": ("N(0, I)", "return vl.gaussian_kl(mu, logvar)"),
            "logvar for log sigma": (
                "not log sigma",
                """
                ratio = (2 * (logvar - prior_logvar)).exp()
                distance = (mu - prior_mu) * (-prior_logvar).exp()
                return 0.5 * (ratio + distance**2 - 1 - 2 * (logvar - prior_logvar)).sum(dim=-1)
                """,
            ),
            "distance undivided": (
                "divide the distance",
                """
                ratio = (logvar - prior_logvar).exp()
                return 0.5 * (ratio + (mu - prior_mu)**2 - 1 - (logvar - prior_logvar)).sum(dim=-1)
                """,
            ),
            "quotient of exponentials": (
                "NaN",
                """
                ratio = logvar.exp() / prior_logvar.exp()
                distance = (mu - prior_mu) * (-prior_logvar / 2).exp()
                return 0.5 * (ratio + distance**2 - 1 - (logvar - prior_logvar)).sum(dim=-1)
                """,
            ),
            "inverse variance overflows": (
                "NaN",
                """
                ratio = (logvar - prior_logvar).exp()
                distance = (mu - prior_mu)**2 * (-prior_logvar).exp()
                return 0.5 * (ratio + distance - 1 - (logvar - prior_logvar)).sum(dim=-1)
                """,
            ),
            "sign": (
                "sign",
                """
                ratio = (logvar - prior_logvar).exp()
                distance = (mu - prior_mu) * (-prior_logvar / 2).exp()
                return 0.5 * (1 + logvar - prior_logvar - ratio - distance**2).sum(dim=-1)
                """,
            ),
            "one number for the batch": (
                "shape",
                """
                ratio = (logvar - prior_logvar).exp()
                distance = (mu - prior_mu) * (-prior_logvar / 2).exp()
                return 0.5 * (ratio + distance**2 - 1 - (logvar - prior_logvar)).sum()
                """,
            ),
        },
    },
    "ex-kl-lambda": {
        "right": {
            "from the moments": """
                second_moment = math.exp(delta**2)
                return delta**2 / (second_moment - 1)
            """,
            "by a hyperbolic sine": """
                half = delta**2 / 2
                return half * math.exp(-half) / math.sinh(half)
            """,
        },
        "wrong": {
            "sign": ("sign", "return -(delta**2) / math.expm1(delta**2)"),
            "always k1": ("k1 for every delta", "return 0.0"),
            "always k3": ("k3 for every delta", "return 1.0"),
            "no minus one": ("-1 missing", "return delta**2 / math.exp(delta**2)"),
            "upside down": ("upside down", "return math.expm1(delta**2) / delta**2"),
            "delta unsquared": ("where delta^2 belongs", "return delta / math.expm1(delta)"),
            "standard deviation": (
                "not by the standard",
                "return delta**2 / math.sqrt(math.expm1(delta**2))",
            ),
            "factor one half": ("", "return 0.5 * delta**2 / math.expm1(delta**2)"),
            "half in the exponent": ("", "return delta**2 / math.expm1(0.5 * delta**2)"),
            "hard-coded": ("", "return 0.581977"),
            "linear": ("", "return 1 - delta**2 / 2"),
        },
    },
    "ex-kl-floor": {
        "right": {
            "by a limit": """
                def part(p):
                    return torch.where(p > 0, -p * torch.log(p.clamp(min=1e-300)), torch.zeros_like(p))
                return (part(x) + part(1 - x)).sum(dim=1)
            """,
            "by xlogy": "return -(torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)).sum(dim=-1)",
        },
        "wrong": {
            "ink only": ("half of the coin", "return torch.special.entr(x).sum(dim=-1)"),
            "mean for sum": (
                "mean over the pixels",
                "return (torch.special.entr(x) + torch.special.entr(1 - x)).mean(dim=-1)",
            ),
            "bits": (
                "bits",
                "return (torch.special.entr(x) + torch.special.entr(1 - x)).sum(dim=-1) / math.log(2)",
            ),
            "sign": ("sign", "return (torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)).sum(dim=-1)"),
            "not finite": ("NaN", "return -(x * x.log() + (1 - x) * (1 - x).log()).sum(dim=-1)"),
            "clamped too much": (
                "",
                """
                x = x.clamp(0.01, 0.99)
                return -(x * x.log() + (1 - x) * (1 - x).log()).sum(dim=-1)
                """,
            ),
            "whole batch": ("shape", "return (torch.special.entr(x) + torch.special.entr(1 - x)).sum()"),
            "the likelihood of the rounded picture": (
                "",
                "return F.binary_cross_entropy(x, x.round(), reduction='none').sum(dim=1)",
            ),
            "factor one half": (
                "",
                "return 0.5 * (torch.special.entr(x) + torch.special.entr(1 - x)).sum(dim=-1)",
            ),
        },
    },
}
