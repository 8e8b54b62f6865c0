"""Answers to the chapter's exercises, right and wrong; the wrong ones with what their check says."""

ANSWERS = {
    "ex-probability-log-mean-exp": {
        "right": {
            "one column at a time": """
                columns = []
                for column in log_w.unbind(dim=1):
                    largest = column.max()
                    total = sum(math.exp(value) for value in column - largest)
                    columns.append(largest + math.log(total / len(column)))
                return torch.tensor(columns, dtype=log_w.dtype)
            """,
            "keeping the axis": """
                shift = log_w.amax(dim=0, keepdim=True)
                total = (log_w - shift).exp().sum(dim=0, keepdim=True)
                return (shift + total.log()).squeeze(0) - math.log(log_w.shape[0])
            """,
        },
        "wrong": {
            "log of the sum": ("divide by the S draws", "return torch.logsumexp(log_w, dim=0)"),
            "mean of the logs": ("mean of the logarithms", "return log_w.mean(dim=0)"),
            "largest alone": ("largest weight alone", "return log_w.max(dim=0).values"),
            "not added again": (
                "add the largest",
                "return (log_w - log_w.max(dim=0).values).exp().mean(dim=0).log()",
            ),
            "overflows": ("shift first", "return log_w.exp().mean(dim=0).log()"),
            "one shift for the table": (
                "its own largest",
                "return log_w.max() + (log_w - log_w.max()).exp().mean(dim=0).log()",
            ),
            "wrong axis": ("shape", "return torch.logsumexp(log_w, dim=1) - math.log(log_w.shape[1])"),
            "S hard-coded": ("", "return torch.logsumexp(log_w, dim=0) - math.log(50)"),
            "divides by B": ("", "return torch.logsumexp(log_w, dim=0) - math.log(log_w.shape[1])"),
        },
    },
    "ex-probability-cholesky": {
        "right": {
            "by distributions": """
                A = torch.linalg.cholesky(Sigma)
                return torch.distributions.MultivariateNormal(mu, scale_tril=A).log_prob(x)
            """,
            "by hand": """
                A = torch.linalg.cholesky(Sigma)
                eps = torch.linalg.solve_triangular(A, (x - mu).T, upper=False)
                constant = 0.5 * len(mu) * math.log(2 * math.pi)
                return -0.5 * (eps**2).sum(dim=0) - torch.log(torch.diagonal(A)).sum() - constant
            """,
        },
        "wrong": {
            "no determinant": (
                "log |det A| missing",
                """
                A = torch.linalg.cholesky(Sigma)
                eps = torch.linalg.solve_triangular(A, (x - mu).T, upper=False).T
                return vl.standard_normal_log_prob(eps)
                """,
            ),
            "determinant added": (
                "has to be subtracted",
                """
                A = torch.linalg.cholesky(Sigma)
                eps = torch.linalg.solve_triangular(A, (x - mu).T, upper=False).T
                return vl.standard_normal_log_prob(eps) + A.diagonal().log().sum()
                """,
            ),
            "determinant of Sigma": (
                "twice log |det A|",
                """
                A = torch.linalg.cholesky(Sigma)
                eps = torch.linalg.solve_triangular(A, (x - mu).T, upper=False).T
                return vl.standard_normal_log_prob(eps) - torch.logdet(Sigma)
                """,
            ),
            "no constant": (
                "constant",
                """
                A = torch.linalg.cholesky(Sigma)
                eps = torch.linalg.solve_triangular(A, (x - mu).T, upper=False).T
                return -0.5 * (eps**2).sum(dim=1) - A.diagonal().log().sum()
                """,
            ),
            "diagonal only": (
                "off the diagonal",
                "return vl.gaussian_log_prob(x, mu, Sigma.diagonal().log())",
            ),
            "A times eps": (
                "",
                """
                A = torch.linalg.cholesky(Sigma)
                return vl.standard_normal_log_prob((x - mu) @ A.T) - A.diagonal().log().sum()
                """,
            ),
            "A transposed": (
                "",
                """
                A = torch.linalg.cholesky(Sigma)
                eps = torch.linalg.solve_triangular(A.T, (x - mu).T, upper=True).T
                return vl.standard_normal_log_prob(eps) - A.diagonal().log().sum()
                """,
            ),
            "logarithm of the sum": (
                "",
                """
                A = torch.linalg.cholesky(Sigma)
                eps = torch.linalg.solve_triangular(A, (x - mu).T, upper=False).T
                return vl.standard_normal_log_prob(eps) - A.diagonal().sum().log()
                """,
            ),
            "a density": (
                "",
                "return torch.distributions.MultivariateNormal(mu, Sigma).log_prob(x).exp()",
            ),
            "mean over the points": (
                "shape",
                "return torch.distributions.MultivariateNormal(mu, Sigma).log_prob(x).mean()",
            ),
        },
    },
}
