"""Answers to the chapter's exercises, right and wrong; the wrong ones with what their check says."""

ANSWERS = {
    "ex-elbo-iwae": {
        "right": {
            "by logsumexp": "return torch.logsumexp(log_w, dim=0) - math.log(len(log_w))",
            "one draw after the other": """
                total = log_w[0]
                for row in log_w[1:]:
                    total = torch.logaddexp(total, row)
                return total - math.log(log_w.shape[0])
            """,
        },
        "wrong": {
            "sum for mean": ("divide by the S draws", "return torch.logsumexp(log_w, dim=0)"),
            "average ELBO": ("average ELBO", "return log_w.mean(dim=0)"),
            "not added again": (
                "add the largest",
                """
                largest = log_w.max(dim=0).values
                return (log_w - largest).exp().mean(dim=0).log()
                """,
            ),
            "underflow": ("shift first", "return log_w.exp().mean(dim=0).log()"),
            "one shift for the table": (
                "",
                "return log_w.max() + (log_w - log_w.max()).exp().mean(dim=0).log()",
            ),
            "largest alone": ("largest weight alone", "return log_w.max(dim=0).values"),
            "wrong axis": ("shape", "return torch.logsumexp(log_w, dim=1) - math.log(log_w.shape[1])"),
            "batch mean": ("shape", "return (torch.logsumexp(log_w, dim=0) - math.log(len(log_w))).mean()"),
            "S hard-coded": ("", "return torch.logsumexp(log_w, dim=0) - math.log(10)"),
            "sign": ("sign", "return math.log(len(log_w)) - torch.logsumexp(log_w, dim=0)"),
        },
    },
}
