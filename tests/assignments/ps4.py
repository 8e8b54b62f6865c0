"""Right and wrong answers to problem set 4. A wrong one is a change (old, new) of the reference answer."""

LOG_P = "torch.logsumexp(log_w, 0) - math.log(n_samples)"

QUESTIONS = {
    "bugs": {
        "tests": ["bugs-found", "bugs-innocent"],
        "right": ['bugs = set("BCFJL")', 'bugs = {"L", "J"} | {"F", "C", "B"}'],
        "wrong": {
            "none": ('bugs = {"B", "C", "F", "J", "L"}', "bugs = set()"),
            "all": ('bugs = {"B", "C", "F", "J", "L"}', 'bugs = set("ABCDEFGHIJKL")'),
            "four": ('"J", "L"}', '"J"}'),
            "the sign that is right": ('"J", "L"}', '"J", "G"}'),
            "the noise missed": ('"C", ', ""),
            "one too many": ('"J", "L"}', '"J", "L", "I"}'),
            "a string": ('bugs = {"B", "C", "F", "J", "L"}', 'bugs = "BCFJL"'),
            "small letters": ('bugs = {"B", "C", "F", "J", "L"}', 'bugs = set("bcfjl")'),
        },
    },
    "mended": {
        "tests": ["mended-test"],
        "right": [
            """
def mended_elbo(encoder, decoder, x, eps):
    mu, logvar = encoder(x)
    z = vl.reparameterize(mu, logvar, eps=eps)
    return vl.bernoulli_log_prob(x, decoder(z)) - vl.gaussian_kl(mu, logvar)

def mended_log_p_x(encoder, decoder, x, eps):
    mu, logvar = encoder(x)
    z = vl.reparameterize(mu, logvar, eps=eps)
    log_w = vl.bernoulli_log_prob(x, decoder(z)) + vl.standard_normal_log_prob(z)
    log_w = log_w - vl.gaussian_log_prob(z, mu, logvar)
    top = log_w.max(0).values
    return top + (log_w - top).exp().mean(0).log()
""",
            """
def mended_elbo(encoder, decoder, x, eps):
    q = torch.distributions.Normal(*(lambda m, v: (m, v.mul(0.5).exp()))(*encoder(x)))
    p = torch.distributions.Bernoulli(logits=decoder(q.loc + q.scale * eps))
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0))
    return p.log_prob(x).sum(1) - kl.sum(1)

def mended_log_p_x(encoder, decoder, x, eps):
    total = None
    mu, logvar = encoder(x)
    for noise in eps:
        z = mu + (logvar / 2).exp() * noise
        log_w = (x * F.logsigmoid(decoder(z)) + (1 - x) * F.logsigmoid(-decoder(z))).sum(-1)
        log_w = log_w + 0.5 * (noise**2 - z**2 + logvar).sum(-1)
        total = log_w if total is None else torch.logaddexp(total, log_w)
    return total - math.log(eps.shape[0])
""",
        ],
        "wrong": {
            "line B": ("torch.exp(0.5 * logvar)", "torch.exp(logvar)"),
            "logvar for std": ("torch.exp(0.5 * logvar)", "logvar"),
            "line C": ("* eps\n", "* eps[..., :1, :]\n"),
            "mean decoded": ("decoder(z)", "decoder(mu)"),
            "line F": ('"none").sum(1)', '"none").mean(1)'),
            "sum over the batch": ('"none").sum(1)', '"none").sum()'),
            "sign of the KL": ("log_p_x_given_z - kl", "log_p_x_given_z + kl"),
            "no KL": ("return log_p_x_given_z - kl", "return log_p_x_given_z"),
            "no half in the KL": ("-0.5 * (1 +", "-(1 +"),
            "KL averaged": ("logvar.exp()).sum(1)", "logvar.exp()).mean(1)"),
            "the loss": ("return log_p_x_given_z - kl", "return kl - log_p_x_given_z"),
            "line L": ("torch.logsumexp(log_w, 0) - math.log(len(eps))", "log_w.mean(0)"),
            "log S forgotten": (" - math.log(len(eps))", ""),
            "no prior": (" + vl.standard_normal_log_prob(z)", ""),
            "weights upside down": ("torch.logsumexp(log_w, 0) - math", "-torch.logsumexp(-log_w, 0) + math"),
            "log q added": ("log_p_xz - vl", "log_p_xz + vl"),
            "underflow": ("torch.logsumexp(log_w, 0)", "log_w.exp().sum(0).log()"),
            "wrong axis": ("torch.logsumexp(log_w, 0)", "torch.logsumexp(log_w, 1)"),
            "best draw": ("torch.logsumexp(log_w, 0) - math.log(len(eps))", "log_w.max(0).values"),
        },
    },
    "causes": {
        "tests": ["causes-test"],
        "right": [
            'causes = dict(zip(range(1, 7), "dcfaeb"))',
            'causes = {6: "b", 5: "e", 4: "a", 3: "f", 2: "c", 1: "d"}',
        ],
        "wrong": {
            "two swapped": ('1: "d", 2: "c"', '1: "c", 2: "d"'),
            "mean decoded for logvar": ('1: "d"', '1: "e"'),
            "leak for overfitting": ('3: "f"', '3: "h"'),
            "sign for a cheap KL": ('6: "b"', '6: "g"'),
            "all healthy": (
                '{1: "d", 2: "c", 3: "f", 4: "a", 5: "e", 6: "b"}',
                'dict.fromkeys(range(1, 7), "a")',
            ),
            "one missing": (', 6: "b"', ""),
            "empty": ('1: "d"', '1: ""'),
            "cycle": ('{1: "d", 2: "c", 3: "f", 4: "a", 5: "e", 6: "b"}', 'dict(zip(range(1, 7), "abcdef"))'),
        },
    },
    "error": {
        "tests": ["error-test"],
        "right": [
            """
def log_p_with_error(log_w):
    shift = log_w.max(0).values
    w = torch.exp(log_w - shift)
    return w.mean(0).log() + shift, w.std(0) / (w.mean(0) * len(w) ** 0.5)
""",
            """
def log_p_with_error(log_w):
    s = len(log_w)
    log_sum = torch.logsumexp(log_w, dim=0)
    share = torch.exp(2 * (log_w - log_sum)).sum(0)
    return log_sum - math.log(s), torch.sqrt((share - 1 / s).clamp(min=0) * s / (s - 1))
""",
        ],
        "wrong": {
            "mean of the logs": (f"log_p = {LOG_P}", "log_p = log_w.mean(0)"),
            "log S forgotten": (" - math.log(n_samples)", ""),
            "underflow": (LOG_P, "log_w.exp().mean(0).log()"),
            "wrong axis": ("torch.logsumexp(log_w, 0)", "torch.logsumexp(log_w, 1)"),
            "spread of the logs": ("relative.std(0)", "log_w.std(0)"),
            "error of p": ("relative.std(0)", "log_w.exp().std(0)"),
            "error of one weight": (" / math.sqrt(n_samples)\n", "\n"),
            "divided by S": ("/ math.sqrt(n_samples)\n", "/ n_samples\n"),
            "S for S - 1": ("relative.std(0)", "relative.std(0, unbiased=False)"),
            "variance": ("relative.std(0)", "relative.var(0)"),
            "biased downwards, corrected": (
                "return log_p,",
                "return log_p + relative.var(0) / n_samples / 2,",
            ),
            "log of the error": ("return log_p, relative.std(0)", "return log_p, relative.std(0).log()"),
            "sign": ("return log_p,", "return -log_p,"),
            "spread over the examples": ("relative.std(0)", "relative.std()"),
            "shared over the batch": ("log_w - log_p)", "log_w - log_p.mean())"),
        },
    },
    "paired": {
        "tests": ["paired-test"],
        "right": [
            """
def paired_difference(a, b):
    n, d = a.numel(), torch.sub(a, b)
    mean = d.sum() / n
    return mean, ((d - mean).square().sum() / (n * (n - 1))).sqrt()
""",
            """
def paired_difference(a, b):
    c = torch.cov(torch.stack([a, b]))
    return a.mean() - b.mean(), ((c[0, 0] + c[1, 1] - 2 * c[0, 1]) / len(a)) ** 0.5
""",
        ],
        "wrong": {
            "direction": ("a - b", "b - a"),
            "unpaired": ("difference.std() /", "(a.var() + b.var()).sqrt() /"),
            "spread of one": (" / math.sqrt(len(a))", ""),
            "divided by N": ("math.sqrt(len(a))", "len(a)"),
            "N for N - 1": ("difference.std()", "difference.std(unbiased=False)"),
            "root of N - 1": ("math.sqrt(len(a))", "math.sqrt(len(a) - 1)"),
            "variance": ("difference.std()", "difference.var()"),
            "median": ("difference.mean()", "difference.median()"),
            "absolute differences": ("a - b", "(a - b).abs()"),
            "sum for mean": ("difference.mean()", "difference.sum()"),
            "difference of the spreads": ("difference.std()", "(a.std() - b.std()).abs()"),
            "relative": ("a - b", "(a - b) / b.abs()"),
            "95 per cent": ("return difference.mean(), ", "return difference.mean(), 1.96 * "),
        },
    },
}
