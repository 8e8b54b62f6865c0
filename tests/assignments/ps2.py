"""Right and wrong answers to problem set 2. A wrong one is a change (old, new) of the reference answer."""

QUESTIONS = {
    "mixture": {
        "tests": ["mixture-test"],
        "right": [
            """
def mixture_elbo(x, log_q, log_pi, m, s):
    q = torch.exp(log_q)
    log_n = -0.5 * math.log(2 * math.pi) - math.log(s) - (x[:, None] - m) ** 2 / (2 * s**2)
    return (q * (log_pi + log_n)).sum(1) - torch.special.xlogy(q, q).sum(1)
""",
            """
def mixture_elbo(x, log_q, log_pi, m, s):
    values = []
    for b in range(len(x)):
        value = 0.0
        for k in range(len(m)):
            if log_q[b, k] > -math.inf:
                log_p = log_pi[k] + torch.distributions.Normal(m[k], s).log_prob(x[b])
                value = value + log_q[b, k].exp() * (log_p - log_q[b, k])
        values.append(value)
    return torch.stack(values)
""",
        ],
        "wrong": {
            "sign of the entropy": ("(log_joint - log_q)", "(log_joint + log_q)"),
            "no entropy": ("(log_joint - log_q)", "log_joint"),
            "no prior": ("log_pi + ", ""),
            "prior subtracted": ("log_pi + ", "-log_pi + "),
            "log p(x)": ("return torch.where", "return log_joint.logsumexp(1); torch.where"),
            "mean for sum": ("0.0).sum(1)", "0.0).mean(1)"),
            "wrong axis": ("0.0).sum(1)", "0.0).sum(0)"),
            "zeros give NaN": (
                "torch.where(q > 0, q * (log_joint - log_q), 0.0)",
                "(q * (log_joint - log_q))",
            ),
            "variance for s": ("D.Normal(m, s)", "D.Normal(m, s**2)"),
            "root of s": ("D.Normal(m, s)", "D.Normal(m, s**0.5)"),
            "sign of the whole": ("return torch.where", "return -torch.where"),
            "log q for q": ("q = log_q.exp()", "q = log_q.clamp(min=-50)"),
            "negated twice": ("q * (log_joint - log_q)", "q * (log_q - log_joint)"),
            "KL to the prior as a plus": ("(log_joint - log_q)", "(log_joint - 2 * log_pi + log_q)"),
        },
    },
    "chain": {
        "tests": ["chain-test"],
        "right": [
            """
def chain_elbo(x, q1, q2, p1, log_p_x, eps1, eps2):
    def draw(parameters, eps):
        mu, logvar = parameters
        normal = D.Normal(mu, torch.exp(logvar / 2))
        z = mu + normal.scale * eps
        return z, normal.log_prob(z).sum(-1)

    z1, log_q1 = draw(q1(x), eps1)
    z2, log_q2 = draw(q2(z1), eps2)
    mu, logvar = p1(z2)
    log_p1 = D.Normal(mu, torch.exp(logvar / 2)).log_prob(z1).sum(-1)
    log_p2 = D.Normal(0.0, 1.0).log_prob(z2).sum(-1)
    return log_p_x(x, z1) - (log_q1 - log_p1) - (log_q2 - log_p2)
""",
            """
def chain_elbo(x, q1, q2, p1, log_p_x, eps1, eps2):
    (m1, v1) = q1(x)
    z1 = m1 + v1.mul(0.5).exp() * eps1
    (m2, v2) = q2(z1)
    z2 = m2 + v2.mul(0.5).exp() * eps2
    elbo = log_p_x(x, z1)
    elbo = elbo + vl.gaussian_log_prob(z1, *p1(z2)) - vl.gaussian_log_prob(z1, m1, v1)
    elbo = elbo + vl.gaussian_log_prob(z2, torch.zeros_like(z2), torch.zeros_like(z2))
    return elbo - vl.gaussian_log_prob(z2, m2, v2)
""",
        ],
        "wrong": {
            "no log q(z2|z1)": (" + vl.gaussian_log_prob(z2, mu2, logvar2)", ""),
            "no log q(z1|x)": ("vl.gaussian_log_prob(z1, mu1, logvar1) + ", ""),
            "no log p(z2)": (" + vl.standard_normal_log_prob(z2)", ""),
            "no log p(z1|z2)": (" + vl.gaussian_log_prob(z1, *p1(z2))", ""),
            "no likelihood": ("log_p_x(x, z1) + ", ""),
            "standard prior for z1": ("vl.gaussian_log_prob(z1, *p1(z2))", "vl.standard_normal_log_prob(z1)"),
            "sign of log q": ("return log_p - log_q", "return log_p + log_q"),
            "sign of the whole": ("return log_p - log_q", "return log_q - log_p"),
            "z1 without noise": ("z1 = vl.reparameterize(mu1, logvar1, eps=eps1)", "z1 = mu1"),
            "z2 without noise": ("z2 = vl.reparameterize(mu2, logvar2, eps=eps2)", "z2 = mu2"),
            "noise of its own": (", eps=eps1)", ")"),
            "noise of its own in z2": (", eps=eps2)", ")"),
            "z2 from the mean of z1": ("q2(z1)", "q2(mu1)"),
            "logvar for std": ("vl.reparameterize(mu1, logvar1, eps=eps1)", "mu1 + logvar1 * eps1"),
            "no half in the width": (
                "vl.reparameterize(mu1, logvar1, eps=eps1)",
                "mu1 + logvar1.exp() * eps1",
            ),
            "shared noise": ("eps=eps1", "eps=eps1[:1]"),
            "mean over the batch": ("return log_p - log_q", "return (log_p - log_q).mean()"),
            "exact KL to N(0, I) for z2": (
                "return log_p - log_q",
                "return log_p - log_q + 2 * vl.gaussian_kl(mu2, logvar2)",
            ),
            "swapped in p1": ("*p1(z2)", "*p1(z2)[::-1]"),
        },
    },
    "kumaraswamy": {
        "tests": ["kumaraswamy-test"],
        "right": [
            """
def kumaraswamy(u, log_a, log_b):
    a, b = torch.exp(log_a), torch.exp(log_b)
    log_tail = torch.log1p(-u) / b
    return torch.exp(torch.log(-torch.expm1(log_tail)) / a)
""",
            """
def kumaraswamy(u, log_a, log_b):
    a, b = log_a.double().exp(), log_b.double().exp()
    z = (1 - (1 - u.double()) ** (1 / b)) ** (1 / a)
    return z.to(torch.promote_types(u.dtype, log_a.dtype))
""",
        ],
        "wrong": {
            "no last root": ("return z_to_the_a ** torch.exp(-log_a)", "return z_to_the_a + 0 * log_a"),
            "a and b swapped": ("z_to_the_a =", "log_a, log_b = log_b, log_a; z_to_the_a ="),
            "tail for body": ("torch.log1p(-u)", "torch.log(u)"),
            "logarithms for values": ("torch.exp(-log_b)", "(1 / log_b)"),
            "log a for a": ("torch.exp(-log_a)", "(1 / log_a)"),
            "power for root": ("torch.exp(-log_b)", "torch.exp(log_b)"),
            "power for root at the end": ("** torch.exp(-log_a)", "** torch.exp(log_a)"),
            "not accurate": (
                "-torch.expm1(torch.log1p(-u) * torch.exp(-log_b))",
                "1 - (1 - u) ** torch.exp(-log_b)",
            ),
            "no gradient": ("return z_to_the_a", "return z_to_the_a.detach()"),
            "no gradient at all": (
                "return z_to_the_a ** torch.exp(-log_a)",
                "return (z_to_the_a ** torch.exp(-log_a)).detach()",
            ),
            "noise of its own": ("z_to_the_a =", "u = torch.rand_like(u); z_to_the_a ="),
            "F itself": (
                "return z_to_the_a ** torch.exp(-log_a)",
                "return 1 - (1 - u ** log_a.exp()) ** log_b.exp()",
            ),
            "half of b": ("torch.exp(-log_b)", "torch.exp(-0.5 * log_b)"),
            "sign": ("return z_to_the_a", "return -z_to_the_a"),
        },
    },
    "pairs": {
        "tests": ["pairs-test"],
        "right": [
            """
def antithetic(mu, logvar, eps):
    shift = torch.exp(logvar / 2) * eps
    return torch.cat((mu + shift, mu - shift), dim=0)

def pair_ratio(f_plus, f_minus):
    means = torch.stack([f_plus, f_minus]).mean(0)
    pooled = torch.stack([f_plus, f_minus]).var(dim=1).mean()
    return means.var() / (pooled / 2)
""",
            """
def antithetic(mu, logvar, eps):
    z = mu + logvar.mul(0.5).exp() * eps
    return torch.vstack([z, 2 * mu - z])

def pair_ratio(f_plus, f_minus):
    c = torch.cov(torch.stack([f_plus, f_minus]))
    return c.sum() / c.trace()
""",
        ],
        "wrong": {
            "mirrored at zero": (
                "vl.reparameterize(mu, logvar, eps=torch.cat([eps, -eps]))",
                "(lambda z: torch.cat([z, -z]))(vl.reparameterize(mu, logvar, eps=eps))",
            ),
            "the same twice": ("[eps, -eps]", "[eps, eps]"),
            "fresh noise": ("[eps, -eps]", "[eps, torch.randn_like(eps)]"),
            "minus first": ("[eps, -eps]", "[-eps, eps]"),
            "alternating": (
                "torch.cat([eps, -eps])",
                "torch.stack([eps, -eps], 1).flatten(0, 1)",
            ),
            "wrong axis": ("torch.cat([eps, -eps])", "torch.cat([eps, -eps], 1)[:, ::2].repeat(2, 1, 1)"),
            "logvar for std": (
                "vl.reparameterize(mu, logvar, eps=",
                "vl.reparameterize(mu, 2 * logvar, eps=",
            ),
            "noise shared": ("torch.cat([eps, -eps])", "torch.cat([eps, -eps])[:, :1]"),
            "one draw": ("/ 4", "/ 2"),
            "four draws": ("/ 4", "/ 8"),
            "sum for mean": ("((f_plus + f_minus) / 2).var()", "(f_plus + f_minus).var()"),
            "standard deviations": (
                "(f_plus + f_minus) / 2).var() / independent",
                "(f_plus + f_minus) / 2).std() / independent**0.5",
            ),
            "upside down": (
                "return ((f_plus + f_minus) / 2).var() / independent",
                "return independent / ((f_plus + f_minus) / 2).var()",
            ),
            "difference for mean": ("(f_plus + f_minus) / 2", "(f_plus - f_minus) / 2"),
            "one of the variances": ("(f_plus.var() + f_minus.var()) / 4", "f_plus.var() / 2"),
            "S for S - 1 above": ("/ 2).var()", "/ 2).var(unbiased=False)"),
            "correlation alone": (
                "return ((f_plus + f_minus) / 2).var() / independent",
                "return torch.corrcoef(torch.stack([f_plus, f_minus]))[0, 1]",
            ),
            "one plus the correlation coefficient": (
                "return ((f_plus + f_minus) / 2).var() / independent",
                "return 1 + torch.corrcoef(torch.stack([f_plus, f_minus]))[0, 1]",
            ),
        },
    },
    "weights": {
        "tests": ["weights-test"],
        "right": [
            """
def posterior_mean(log_w, z):
    w = torch.exp(log_w - log_w.max(dim=0).values)
    return torch.einsum("sb,sbl->bl", w, z) / w.sum(0)[:, None]
""",
            """
def posterior_mean(log_w, z):
    log_share = log_w - torch.logsumexp(log_w, dim=0, keepdim=True)
    return (log_share.exp().unsqueeze(-1) * z).sum(dim=0)
""",
        ],
        "wrong": {
            "plain mean": ("(log_w.softmax(0)[..., None] * z).sum(0)", "z.mean(0)"),
            "wrong axis": ("softmax(0)", "softmax(1)"),
            "not normalised": ("log_w.softmax(0)", "log_w.exp()"),
            "overflows": ("log_w.softmax(0)", "(log_w.exp() / log_w.exp().sum(0))"),
            "mean on top": (".sum(0)", ".mean(0)"),
            "weights upside down": ("log_w.softmax(0)", "(-log_w).softmax(0)"),
            "log-weights as weights": ("log_w.softmax(0)", "(log_w / log_w.sum(0))"),
            "the best draw": (
                "(log_w.softmax(0)[..., None] * z).sum(0)",
                "z[log_w.argmax(0), torch.arange(z.shape[1])]",
            ),
            "one weight for the batch": (
                "log_w.softmax(0)[..., None]",
                "log_w.mean(1).softmax(0)[:, None, None]",
            ),
            "one normaliser for the batch": (
                "log_w.softmax(0)",
                "log_w.flatten().softmax(0).reshape(log_w.shape)",
            ),
            "half of the log-weight": ("log_w.softmax(0)", "(0.5 * log_w).softmax(0)"),
            "sign": ("return (", "return -("),
            "summed over the coordinates": (".sum(0)", ".sum(0).sum(-1, keepdim=True).expand(z.shape[1:])"),
        },
    },
}
