"""Answers to the chapter's exercises, right and wrong; the wrong ones with what their check says."""

# What all answers to the second exercise share, up to the log-weights.
FORWARD = """
    sigma = np.exp(logvar / 2)
    z = mu + sigma * eps
    u = relu(linear(z, w["W2"], w["b2"]))
    logits = linear(u, w["W3"], w["b3"])
    log_p = (x * logits - np.logaddexp(0, logits)).sum(axis=-1)
    log_w = log_p + 0.5 * (logvar + eps**2 - z**2).sum(axis=-1)
"""
BACKWARD = """
    d_u = (share * (sigmoid(logits) - x)) @ w["W3"].T
    d_z = relu_backward(u, d_u) @ w["W2"].T + share * z
"""
SHARES = """
    share = np.exp(log_w - log_w.max(axis=0))
    share = (share / share.sum(axis=0))[..., None] / len(x)
"""
END = """
    return d_z.sum(axis=0), (d_z * sigma * eps / 2).sum(axis=0) - 1 / (2 * len(x))
"""

ANSWERS = {
    "ex-numpy-softplus": {
        "right": {
            "the sigmoid from sigma": """
                sigma = np.logaddexp(0, rho)
                slope = 1 - np.exp(-sigma)
                return slope * (d_z * eps + (sigma**2 - 1) / (sigma * rho.shape[0]))
            """,
            "two terms": """
                slope = 1 / (1 + np.exp(-rho))
                sigma = np.log(1 + np.exp(rho))
                from_z = d_z * eps * slope
                from_kl = (sigma - 1 / sigma) * slope / len(d_z)
                return from_z + from_kl
            """,
        },
        "wrong": {
            "no KL": ("KL missing", "return d_z * eps * sigmoid(rho)"),
            "no path": (
                "way through z",
                """
                sigma = np.log1p(np.exp(rho))
                return (sigma - 1 / sigma) / len(rho) * sigmoid(rho)
                """,
            ),
            "no 1/B": (
                "1/B missing",
                """
                sigma = np.log1p(np.exp(rho))
                return (d_z * eps + sigma - 1 / sigma) * sigmoid(rho)
                """,
            ),
            "no derivative of softplus": (
                "log(1 + exp(rho)) missing",
                """
                sigma = np.log1p(np.exp(rho))
                return d_z * eps + (sigma - 1 / sigma) / len(rho)
                """,
            ),
            "1/B twice": (
                "1/B already",
                """
                sigma = np.log1p(np.exp(rho))
                return (d_z * eps + sigma - 1 / sigma) / len(rho) * sigmoid(rho)
                """,
            ),
            "sign of the KL": (
                "wrong sign",
                """
                sigma = np.log1p(np.exp(rho))
                return (d_z * eps - (sigma - 1 / sigma) / len(rho)) * sigmoid(rho)
                """,
            ),
            "sign": (
                "sign",
                """
                sigma = np.log1p(np.exp(rho))
                return -(d_z * eps + (sigma - 1 / sigma) / len(rho)) * sigmoid(rho)
                """,
            ),
            "as for logvar": (
                "",
                """
                sigma = np.log1p(np.exp(rho))
                return d_z * eps * sigma / 2 + (sigma**2 - 1) / (2 * len(rho))
                """,
            ),
            "no noise": (
                "",
                """
                sigma = np.log1p(np.exp(rho))
                return (d_z + (sigma - 1 / sigma) / len(rho)) * sigmoid(rho)
                """,
            ),
            "half of the KL": (
                "",
                """
                sigma = np.log1p(np.exp(rho))
                return (d_z * eps + 0.5 * (sigma - 1 / sigma) / len(rho)) * sigmoid(rho)
                """,
            ),
        },
    },
    "ex-numpy-iwae": {
        "right": {
            "one code at a time": """
                S, B = eps.shape[:2]
                sigma, log_w, slopes = np.exp(logvar / 2), [], []
                for e in eps:
                    z = mu + sigma * e
                    u = np.maximum(z @ w["W2"] + w["b2"], 0)
                    logits = u @ w["W3"] + w["b3"]
                    log_p = (x * logits - np.logaddexp(0, logits)).sum(1)
                    log_w.append(log_p - 0.5 * (z**2).sum(1) + 0.5 * (logvar + e**2).sum(1))
                    slopes.append((((x - sigmoid(logits)) @ w["W3"].T) * (u > 0)) @ w["W2"].T - z)
                top = np.max(log_w, axis=0)
                total = sum(np.exp(row - top) for row in log_w)
                d_mu, d_logvar = np.zeros_like(mu), np.full_like(mu, -0.5 / B)
                for row, slope, e in zip(log_w, slopes, eps):
                    d_z = -(np.exp(row - top) / total)[:, None] * slope / B
                    d_mu += d_z
                    d_logvar += 0.5 * d_z * sigma * e
                return d_mu, d_logvar
            """,
            "through z alone": FORWARD
            + """
    share = np.exp(log_w - np.logaddexp.reduce(log_w, axis=0))[:, :, None]
    d_u = (sigmoid(logits) - x) @ w["W3"].T
    d_z = share * (relu_backward(u, d_u) @ w["W2"].T + z) / x.shape[0]
    return d_z.sum(0), 0.5 * (sigma * (d_z * eps).sum(0) - 1 / x.shape[0])
""",
        },
        "wrong": {
            "equal weights": (
                "all codes weigh the same",
                FORWARD + "    share = np.full((*log_w.shape, 1), 1 / log_w.size)" + BACKWARD + END,
            ),
            "no 1/B": (
                "1/B of the batch",
                FORWARD
                + SHARES
                + "    share = share * len(x)"
                + BACKWARD
                + "    return d_z.sum(axis=0), (d_z * sigma * eps / 2).sum(axis=0) - 1 / 2",
            ),
            "no direct part": (
                "log q depends on v",
                FORWARD
                + SHARES
                + BACKWARD
                + "    return d_z.sum(axis=0), (d_z * sigma * eps / 2).sum(axis=0)",
            ),
            "sign of the direct part": (
                "direct part has the wrong sign",
                FORWARD + SHARES + BACKWARD + END.replace("- 1 /", "+ 1 /"),
            ),
            "sign": (
                "sign",
                FORWARD
                + SHARES
                + BACKWARD
                + "    return -d_z.sum(axis=0), 1 / (2 * len(x)) - (d_z * sigma * eps / 2).sum(axis=0)",
            ),
            "shares over the batch": (
                "",
                FORWARD
                + SHARES.replace("share.sum(axis=0)", "share.sum(axis=1, keepdims=True)")
                + BACKWARD
                + END,
            ),
            "no prior": ("", FORWARD + SHARES + BACKWARD.replace(" + share * z", "") + END),
            "no log q in the weights": (
                "",
                FORWARD.replace("(logvar + eps**2 - z**2)", "(-(z**2))") + SHARES + BACKWARD + END,
            ),
            "no half at logvar": (
                "",
                FORWARD + SHARES + BACKWARD + END.replace("eps / 2", "eps"),
            ),
            "first code alone": (
                "",
                FORWARD
                + SHARES
                + BACKWARD
                + "    return d_z[0], (d_z * sigma * eps / 2)[0] - 1 / (2 * len(x))",
            ),
        },
    },
}
