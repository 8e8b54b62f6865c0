"""Answers to the chapter's exercises, right and wrong; the wrong ones with what their check says."""

ANSWERS = {
    "ex-latent-log-r": {
        "right": {
            "by softmax": """
                joint = log_p_z + log_p_x_given_z
                return joint.log_softmax(dim=1), joint.logsumexp(dim=1)
            """,
            "largest first": """
                joint = log_p_z[None, :] + log_p_x_given_z
                largest = joint.max(dim=1, keepdim=True).values
                log_p_x = largest + (joint - largest).exp().sum(dim=1, keepdim=True).log()
                return joint - log_p_x, log_p_x.squeeze(1)
            """,
        },
        "wrong": {
            "no prior": (
                "prior missing",
                "return log_p_x_given_z.log_softmax(dim=1), log_p_x_given_z.logsumexp(dim=1)",
            ),
            "no prior in the posterior": (
                "prior missing",
                "return log_p_x_given_z.log_softmax(dim=1), (log_p_x_given_z + log_p_z).logsumexp(dim=1)",
            ),
            "average of the logarithms": (
                "average of the logarithms",
                """
                joint = log_p_x_given_z + log_p_z
                return joint.log_softmax(dim=1), (log_p_z.exp() * log_p_x_given_z).sum(dim=1)
                """,
            ),
            "underflow": (
                "logsumexp",
                """
                joint = log_p_x_given_z + log_p_z
                return joint.log_softmax(dim=1), joint.exp().sum(dim=1).log()
                """,
            ),
            "p(x) for its logarithm": (
                "p(x) without its logarithm",
                """
                joint = log_p_x_given_z + log_p_z
                return joint.log_softmax(dim=1), joint.exp().sum(dim=1)
                """,
            ),
            "the joint": (
                "this is the joint",
                """
                joint = log_p_x_given_z + log_p_z
                return joint, joint.logsumexp(dim=1)
                """,
            ),
            "wrong axis": (
                "not the examples of one code",
                """
                joint = log_p_x_given_z + log_p_z
                return joint.log_softmax(dim=0), joint.logsumexp(dim=1)
                """,
            ),
            "probabilities": (
                "posterior without its logarithm",
                """
                joint = log_p_x_given_z + log_p_z
                return joint.softmax(dim=1), joint.logsumexp(dim=1)
                """,
            ),
            "swapped": (
                "shape",
                """
                joint = log_p_x_given_z + log_p_z
                return joint.logsumexp(dim=1), joint.log_softmax(dim=1)
                """,
            ),
        },
    },
    "ex-latent-naive": {
        "right": {
            "one draw at a time": """
                total = torch.tensor(-math.inf)
                noise = torch.distributions.Normal(0.0, s2.sqrt())
                for z in torch.randn(n_samples, W.shape[1]).split(100):
                    part = noise.log_prob(x - z @ W.T - b).sum(dim=1).logsumexp(dim=0)
                    total = torch.logaddexp(total, part)
                return total - math.log(n_samples)
            """,
            "largest first": """
                z = torch.randn(W.shape[1], n_samples)
                log_p = -0.5 * (((x - b)[:, None] - W @ z) ** 2 / s2 + torch.log(2 * math.pi * s2)).sum(dim=0)
                return log_p.max() + (log_p - log_p.max()).exp().mean().log()
            """,
        },
        "wrong": {
            "sum for mean": (
                "divide by the number",
                """
                z = torch.randn(n_samples, W.shape[1])
                return torch.logsumexp(vl.gaussian_log_prob(x, z @ W.T + b, s2.log()), dim=0)
                """,
            ),
            "mean of the logs": (
                "average of the logarithms",
                """
                z = torch.randn(n_samples, W.shape[1])
                return vl.gaussian_log_prob(x, z @ W.T + b, s2.log()).mean()
                """,
            ),
            "no logarithm": (
                "without its logarithm",
                """
                z = torch.randn(n_samples, W.shape[1])
                return vl.gaussian_log_prob(x, z @ W.T + b, s2.log()).exp().mean()
                """,
            ),
            "no b": (
                "is b missing",
                """
                z = torch.randn(n_samples, W.shape[1])
                log_w = vl.gaussian_log_prob(x, z @ W.T, s2.log())
                return torch.logsumexp(log_w, dim=0) - math.log(n_samples)
                """,
            ),
            "s2 for its logarithm": (
                "log s2, not s2",
                """
                z = torch.randn(n_samples, W.shape[1])
                log_w = vl.gaussian_log_prob(x, z @ W.T + b, s2)
                return torch.logsumexp(log_w, dim=0) - math.log(n_samples)
                """,
            ),
            "s2 for a standard deviation": (
                "not a standard deviation",
                """
                z = torch.randn(n_samples, W.shape[1])
                log_w = vl.gaussian_log_prob(x, z @ W.T + b, 2 * s2.log())
                return torch.logsumexp(log_w, dim=0) - math.log(n_samples)
                """,
            ),
            "one draw": (
                "",
                """
                z = torch.randn(W.shape[1])
                return vl.gaussian_log_prob(x, z @ W.T + b, s2.log())
                """,
            ),
            "uniform codes": (
                "",
                """
                z = torch.rand(n_samples, W.shape[1])
                log_w = vl.gaussian_log_prob(x, z @ W.T + b, s2.log())
                return torch.logsumexp(log_w, dim=0) - math.log(n_samples)
                """,
            ),
            "the prior twice": (
                "",
                """
                z = torch.randn(n_samples, W.shape[1])
                log_w = vl.gaussian_log_prob(x, z @ W.T + b, s2.log()) + vl.standard_normal_log_prob(z)
                return torch.logsumexp(log_w, dim=0) - math.log(n_samples)
                """,
            ),
            "best draw": (
                "",
                """
                z = torch.randn(n_samples, W.shape[1])
                return vl.gaussian_log_prob(x, z @ W.T + b, s2.log()).max()
                """,
            ),
        },
    },
}
