"""Right and wrong answers to problem set 5. A wrong one is a change (old, new) of the reference answer."""

QUESTIONS = {
    "run-all": {
        "tests": ["run-all-test"],
        "right": [
            """
def run_all(fit, settings, seeds):
    seeds = list(seeds)
    table = torch.zeros(len(settings), len(seeds))
    for column, seed in enumerate(seeds):
        for row, setting in enumerate(settings.values()):
            vl.seed_everything(seed)
            table[row, column] = float(fit(setting, seed))
    return dict(zip(settings, table, strict=True))
""",
            """
def run_all(fit, settings, seeds):
    def one(setting, seed):
        vl.seed_everything(seed)
        return float(fit(setting, seed))

    runs = [[one(setting, seed) for setting in settings.values()] for seed in seeds]
    return {name: torch.tensor([run[i] for run in runs]) for i, name in enumerate(settings)}
""",
        ],
        "wrong": {
            "not seeded": ("vl.seed_everything(seed)", "pass"),
            "seeded once": ("vl.seed_everything(seed)", "vl.seed_everything(0)"),
            "seeded for the first setting only": (
                "        for name, setting in settings.items():\n            vl.seed_everything(seed)",
                "        vl.seed_everything(seed)\n        for name, setting in settings.items():",
            ),
            "settings are the outer loop": (
                "    for seed in seeds:\n        for name, setting in settings.items():",
                "    for name, setting in settings.items():\n        for seed in seeds:",
            ),
            "arguments swapped": ("fit(setting, seed)", "fit(seed, setting)"),
            "the name passed": ("fit(setting, seed)", "fit(settings[list(settings)[0]], seed)"),
            "last seed lost": ("for seed in seeds", "for seed in list(seeds)[:-1]"),
            "lists": ("torch.tensor(values)", "values"),
            "sorted": ("torch.tensor(values)", "torch.tensor(sorted(values))"),
            "the best run only": ("torch.tensor(values)", "torch.tensor(values).max().expand(len(values))"),
            "means only": ("torch.tensor(values)", "torch.tensor(values).mean()"),
        },
    },
    "interval": {
        "tests": ["interval-test"],
        "right": [
            """
def interval(values):
    n = values.numel()
    mean = values.sum() / n
    variance = ((values - mean) ** 2).sum() / (n - 1)
    return mean, T95[n - 1] * (variance / n) ** 0.5
""",
            """
def interval(values):
    from scipy import stats

    numbers = values.double().numpy()
    half = stats.t.ppf(0.975, len(numbers) - 1) * stats.sem(numbers)
    return numbers.mean(), half
""",
        ],
        "wrong": {
            "1.96": ("T95[n - 1]", "1.96"),
            "wrong degrees of freedom": ("T95[n - 1]", "T95[min(n, 9)]"),
            "no factor": ("T95[n - 1] * ", ""),
            "interval of one run": (" / math.sqrt(n)", ""),
            "divided by n": ("math.sqrt(n)", "n"),
            "divided by the root of n - 1": ("math.sqrt(n)", "math.sqrt(n - 1)"),
            "n for n - 1": ("values.std()", "values.std(unbiased=False)"),
            "variance": ("values.std()", "values.var()"),
            "full width": ("T95[n - 1] *", "2 * T95[n - 1] *"),
            "median": ("values.mean()", "values.median()"),
            "sum for mean": ("values.mean()", "values.sum()"),
            "range": ("values.std()", "(values.max() - values.min())"),
            "sign": ("return values.mean(), T95", "return values.mean(), -T95"),
        },
    },
    "flip": {
        "tests": ["flip-test"],
        "right": [
            """
def sign_flip_p(differences):
    sums = [0.0]
    for d in differences.tolist():
        sums = [s + sign * d for s in sums for sign in (1, -1)]
    observed = abs(sum(differences.tolist()))
    return sum(abs(s) >= observed - 1e-9 for s in sums) / len(sums)
""",
            """
def sign_flip_p(differences):
    n, d = len(differences), differences.double()
    bits = (torch.arange(2**n)[:, None] >> torch.arange(n)) & 1
    means = ((2 * bits - 1).double() * d.abs()).mean(1)
    return (means.abs() > d.mean().abs() - 1e-9).double().mean()
""",
        ],
        "wrong": {
            "one-sided": ("(signs @ d).abs() >= d.sum().abs()", "(signs @ d) >= d.sum().abs()"),
            "one-sided without an absolute value": (
                "(signs @ d).abs() >= d.sum().abs()",
                "(signs @ d) >= d.sum()",
            ),
            "strictly farther": (">= d.sum().abs() - 1e-9", "> d.sum().abs() + 1e-9"),
            "nearer": (">= d.sum().abs() - 1e-9", "< d.sum().abs() - 1e-9"),
            "count for share": (".double().mean()", ".double().sum()"),
            "absolute values first": (
                "d = differences.double()",
                "d = differences.double().abs()",
            ),
            "mean against sum": ("d.sum().abs()", "d.mean().abs()"),
            "plus one in both": (
                "return ((signs @ d).abs() >= d.sum().abs() - 1e-9).double().mean()",
                "far = (signs @ d).abs() >= d.sum().abs() - 1e-9; return (far.sum() + 1) / (len(far) + 1)",
            ),
            "signs alone, not sizes": ("d = differences.double()", "d = differences.double().sign()"),
            "always two of all": (
                "return ((signs @ d).abs() >= d.sum().abs() - 1e-9).double().mean()",
                "return 2 / 2 ** len(d)",
            ),
            "random signs": (
                "return ((signs @ d).abs()",
                "signs = torch.randn(64, len(d)).double().sign(); return ((signs @ d).abs()",
            ),
            "t-test": (
                "return ((signs @ d).abs() >= d.sum().abs() - 1e-9).double().mean()",
                "from scipy import stats; return stats.ttest_1samp(d.numpy(), 0.0).pvalue",
            ),
        },
    },
}
