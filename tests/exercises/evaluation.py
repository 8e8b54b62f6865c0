"""Answers to the chapter's exercises, right and wrong; the wrong ones with what their check says."""

ANSWERS = {
    "ex-evaluation-upper": {
        "right": {
            "by concatenation": """
                with torch.no_grad():
                    mu, logvar = model.encoder(x)
                    others = mu + (logvar / 2).exp() * torch.randn(n_samples - 1, *mu.shape, dtype=mu.dtype)
                    z = torch.cat([z_star[None], others])
                    log_w = model.decoder.log_prob(x, z) + vl.standard_normal_log_prob(z)
                    log_w = log_w - vl.gaussian_log_prob(z, mu, logvar)
                    return torch.logsumexp(log_w, dim=0) - math.log(n_samples)
            """,
            "one code at a time": """
                with torch.no_grad():
                    mu, logvar = model.encoder(x)
                    q = torch.distributions.Normal(mu, (0.5 * logvar).exp())
                    prior = torch.distributions.Normal(0.0, 1.0)
                    rows, z = [], z_star
                    for _ in range(n_samples):
                        ratio = (prior.log_prob(z) - q.log_prob(z)).sum(dim=1)
                        rows.append(model.decoder.log_prob(x, z) + ratio)
                        z = q.sample()
                    return log_mean(torch.stack(rows))
            """,
        },
        "wrong": {
            "no log q": (
                "log q missing",
                """
                with torch.no_grad():
                    mu, logvar = model.encoder(x)
                    z = vl.reparameterize(mu, logvar, eps=torch.randn(n_samples, *mu.shape).to(mu))
                    z[0] = z_star
                    return log_mean(model.decoder.log_prob(x, z) + vl.standard_normal_log_prob(z))
                """,
            ),
            "no prior": (
                "prior missing",
                """
                with torch.no_grad():
                    mu, logvar = model.encoder(x)
                    z = vl.reparameterize(mu, logvar, eps=torch.randn(n_samples, *mu.shape).to(mu))
                    z[0] = z_star
                    return log_mean(model.decoder.log_prob(x, z) - vl.gaussian_log_prob(z, mu, logvar))
                """,
            ),
            "log q added": (
                "has to be subtracted",
                """
                with torch.no_grad():
                    mu, logvar = model.encoder(x)
                    z = vl.reparameterize(mu, logvar, eps=torch.randn(n_samples, *mu.shape).to(mu))
                    z[0] = z_star
                    log_p_xz = model.decoder.log_prob(x, z) + vl.standard_normal_log_prob(z)
                    return log_mean(log_p_xz + vl.gaussian_log_prob(z, mu, logvar))
                """,
            ),
            "z* for one alone": (
                "is z* one of the codes",
                """
                with torch.no_grad():
                    mu, logvar = model.encoder(x)
                    z = vl.reparameterize(mu, logvar, eps=torch.randn(n_samples, *mu.shape).to(mu))
                    if n_samples == 1:
                        z[0] = z_star
                    log_p_xz = model.decoder.log_prob(x, z) + vl.standard_normal_log_prob(z)
                    return log_mean(log_p_xz - vl.gaussian_log_prob(z, mu, logvar))
                """,
            ),
            "sum for mean": (
                "divide by the S draws",
                """
                with torch.no_grad():
                    mu, logvar = model.encoder(x)
                    z = vl.reparameterize(mu, logvar, eps=torch.randn(n_samples, *mu.shape).to(mu))
                    z[0] = z_star
                    log_p_xz = model.decoder.log_prob(x, z) + vl.standard_normal_log_prob(z)
                    return torch.logsumexp(log_p_xz - vl.gaussian_log_prob(z, mu, logvar), dim=0)
                """,
            ),
            "no z*": (
                "",
                "return vl.log_marginal(model, x, n_samples).log_p_x",
            ),
            "mean of the logs": (
                "",
                """
                with torch.no_grad():
                    mu, logvar = model.encoder(x)
                    z = vl.reparameterize(mu, logvar, eps=torch.randn(n_samples, *mu.shape).to(mu))
                    z[0] = z_star
                    log_p_xz = model.decoder.log_prob(x, z) + vl.standard_normal_log_prob(z)
                    return (log_p_xz - vl.gaussian_log_prob(z, mu, logvar)).mean(dim=0)
                """,
            ),
            "z* alone": (
                "",
                """
                with torch.no_grad():
                    mu, logvar = model.encoder(x)
                    log_p_xz = model.decoder.log_prob(x, z_star) + vl.standard_normal_log_prob(z_star)
                    return log_p_xz - vl.gaussian_log_prob(z_star, mu, logvar)
                """,
            ),
            "logvar for log sigma": (
                "",
                """
                with torch.no_grad():
                    mu, logvar = model.encoder(x)
                    z = mu + logvar.exp() * torch.randn(n_samples, *mu.shape).to(mu)
                    z[0] = z_star
                    log_p_xz = model.decoder.log_prob(x, z) + vl.standard_normal_log_prob(z)
                    return log_mean(log_p_xz - vl.gaussian_log_prob(z, mu, 2 * logvar))
                """,
            ),
            "one number for the batch": (
                "shape",
                """
                with torch.no_grad():
                    mu, logvar = model.encoder(x)
                    z = vl.reparameterize(mu, logvar, eps=torch.randn(n_samples, *mu.shape).to(mu))
                    z[0] = z_star
                    log_p_xz = model.decoder.log_prob(x, z) + vl.standard_normal_log_prob(z)
                    return log_mean(log_p_xz - vl.gaussian_log_prob(z, mu, logvar)).mean()
                """,
            ),
        },
    },
}
