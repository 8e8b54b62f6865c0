"""Right and wrong answers to problem set 1. A wrong one is a change (old, new) of the reference answer."""

QUESTIONS = {
    "laplace-kl": {
        "tests": ["laplace-kl-test"],
        "right": [
            """
def laplace_kl(m0, log_b0, m1, log_b1):
    d, b0, b1 = torch.abs(m1 - m0), torch.exp(log_b0), torch.exp(log_b1)
    per_coordinate = torch.log(b1 / b0) + d / b1 + b0 / b1 * torch.exp(-d / b0) - 1.0
    return torch.einsum("...l->...", per_coordinate)
""",
            """
def laplace_kl(m0, log_b0, m1, log_b1):
    q = torch.distributions.Laplace(m0, log_b0.exp())
    p = torch.distributions.Laplace(m1, log_b1.exp())
    return torch.distributions.kl_divergence(q, p).sum(dim=-1)
""",
        ],
        "wrong": {
            "sign of the whole": ("return (", "return -("),
            "sign of the log-ratio": ("log_b1 - log_b0 +", "log_b0 - log_b1 +"),
            "sign in the exponent": ("-distance / b0", "distance / b0"),
            "factor one half": ("return (log_b1", "return 0.5 * (log_b1"),
            "mean for sum": (".sum(-1)", ".mean(-1)"),
            "wrong axis": (".sum(-1)", ".sum(0)"),
            "sum over everything": (".sum(-1)", ".sum()"),
            "log-scale for scale": ("b0 = log_b0.exp()", "b0 = log_b0"),
            "half of the log-scale": ("b0 = log_b0.exp()", "b0 = (0.5 * log_b0).exp()"),
            "scale of p in the exponent": ("-distance / b0", "-distance / log_b1.exp()"),
            "width of q left out": (
                "spread = distance + b0 * torch.exp(-distance / b0)",
                "spread = distance + b0",
            ),
            "distance not absolute": ("(m0 - m1).abs()", "(m0 - m1)"),
            "distance squared": ("(m0 - m1).abs()", "(m0 - m1) ** 2"),
            "minus one lost": (" - 1).sum", ").sum"),
            "divided by the wrong scale": ("torch.exp(-log_b1)", "torch.exp(-log_b0)"),
            "directions swapped": (
                "distance = (m0 - m1).abs()",
                "log_b0, log_b1 = log_b1, log_b0; distance = (m0 - m1).abs()",
            ),
            "Gaussian formula": (
                "return (log_b1",
                "return vl.gaussian_kl(m0 - m1, log_b0 - log_b1); (log_b1",
            ),
            "constant": ("return (log_b1", "return torch.zeros(m0.shape[:-1]); (log_b1"),
        },
    },
    "chain-kl": {
        "tests": ["chain-kl-test"],
        "right": [
            """
def kl_parts(q, p):
    first = (q.sum(dim=1) * (torch.log(q.sum(dim=1)) - torch.log(p.sum(dim=1)))).sum()
    return first, (q * (torch.log(q) - torch.log(p))).sum() - first
""",
            """
def kl_parts(q, p):
    outer, inner = 0.0, 0.0
    for q_row, p_row in zip(q, p, strict=True):
        weight = q_row.sum()
        outer = outer + weight * torch.log(weight / p_row.sum())
        a, b = q_row / weight, p_row / p_row.sum()
        inner = inner + weight * (a * torch.log(a / b)).sum()
    return outer, inner
""",
        ],
        "wrong": {
            "columns for rows": ("q.sum(1), p.sum(1)", "q.sum(0), p.sum(0)"),
            "whole table twice": ("((q / q_x[:, None]) / (p / p_x[:, None])).log()", "(q / p).log()"),
            "rows not weighted": ("within = q *", "within = q / q_x[:, None] *"),
            "weighted by p": ("within = q *", "within = p *"),
            "other direction of the first": ("q_x * (q_x / p_x).log()", "p_x * (p_x / q_x).log()"),
            "first with the wrong sign": ("(q_x / p_x).log()", "(p_x / q_x).log()"),
            "second with the wrong sign": (
                "return of_rows.sum(), within.sum()",
                "return of_rows.sum(), -within.sum()",
            ),
            "mean for sum": ("of_rows.sum()", "of_rows.mean()"),
            "mean for sum within": ("within.sum()", "within.mean()"),
            "order of the parts": ("of_rows.sum(), within.sum()", "within.sum(), of_rows.sum()"),
            "rows of p not normalised": ("p / p_x[:, None]", "p"),
            "factor one half": ("within.sum()", "0.5 * within.sum()"),
            "base two": ("return of_rows.sum()", "return of_rows.sum() / math.log(2)"),
        },
    },
    "js": {
        "tests": ["js-test"],
        "right": [
            """
def js_divergence(log_q, log_p):
    q, p = log_q.exp(), log_p.exp()
    m = (q + p) / 2
    entropy = lambda a: -torch.special.xlogy(a, a).sum(-1)
    return entropy(m) - (entropy(q) + entropy(p)) / 2
""",
            """
def js_divergence(log_q, log_p):
    log_m = torch.stack([log_q, log_p]).logsumexp(0) - torch.log(torch.tensor(2.0))
    total = 0.0
    for log_a in (log_q, log_p):
        terms = log_a.exp() * (log_a - log_m)
        terms[log_a.exp() == 0] = 0.0
        total = total + terms.sum(dim=-1)
    return total / 2
""",
        ],
        "wrong": {
            "one half lost": ("return 0.5 *", "return"),
            "one half twice": ("return 0.5 *", "return 0.25 *"),
            "average not divided by two": (" - math.log(2)", ""),
            "average of the logarithms": (
                "torch.logaddexp(log_q, log_p) - math.log(2)",
                "(log_q + log_p).clamp(min=-1e9) / 2",
            ),
            "zeros give NaN": ("torch.where(a > 0, a * (log_a - log_m), 0.0)", "(a * (log_a - log_m))"),
            "wrong axis": (".sum(-1)", ".sum(0)"),
            "mean for sum": (".sum(-1)", ".mean(-1)"),
            "one KL only": ("(kl(log_q) + kl(log_p))", "(2 * kl(log_q))"),
            "sign": ("return 0.5 *", "return -0.5 *"),
            "direction of the KLs": ("a * (log_a - log_m), 0.0)", "log_m.exp() * (log_m - log_a), 0.0)"),
            "base two": ("return 0.5 *", "return 0.5 / math.log(2) *"),
            "KL to each other": ("torch.logaddexp(log_q, log_p) - math.log(2)", "log_p"),
            "constant": ("return 0.5 *", "return math.log(2) + 0.0 *"),
        },
    },
    "tail": {
        "tests": ["tail-test"],
        "right": [
            """
def tail_estimate(z, t):
    normal = torch.distributions.Normal(0.0, 1.0)
    log_ratio = normal.log_prob(z) - torch.distributions.Normal(t, 1.0).log_prob(z)
    terms = torch.where(z > t, torch.exp(log_ratio), torch.zeros_like(z))
    return terms.mean(), (terms.var() / len(z)) ** 0.5
""",
            """
def tail_estimate(z, t):
    n = z.numel()
    values = [math.exp(-v * v / 2 + (v - t) ** 2 / 2) if v > t else 0.0 for v in z.tolist()]
    mean = sum(values) / n
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)
""",
        ],
        "wrong": {
            "no weights": ("torch.exp(0.5 * t**2 - t * z)", "torch.ones_like(z)"),
            "weights upside down": ("torch.exp(0.5 * t**2 - t * z)", "torch.exp(t * z - 0.5 * t**2)"),
            "one half lost": ("0.5 * t**2", "t**2"),
            "sign of the square": ("0.5 * t**2 - t * z", "-0.5 * t**2 - t * z"),
            "no condition": ("weights * (z > t)", "weights"),
            "condition the other way": ("(z > t)", "(z < t)"),
            "average over the hits": ("terms.mean(), terms", "terms[z > t].mean(), terms"),
            "sum for mean": ("terms.mean(), terms", "terms.sum(), terms"),
            "self-normalised": ("return terms.mean()", "return terms.sum() / weights.sum()"),
            "spread of one draw": (" / math.sqrt(len(z))", ""),
            "divided by S": ("math.sqrt(len(z))", "len(z)"),
            "divided by the root of S minus one": ("math.sqrt(len(z))", "math.sqrt(len(z) - 1)"),
            "variance for deviation": ("terms.std()", "terms.var()"),
            "spread with S": ("terms.std()", "terms.std(unbiased=False)"),
            "spread of the weights": ("terms.std()", "weights.std()"),
            "error of a share": ("terms.std()", "(terms.mean() * (1 - terms.mean())) ** 0.5"),
        },
    },
}
