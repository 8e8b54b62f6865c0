"""Answers to the chapter's exercises, right and wrong; the wrong ones with what their check says."""

ANSWERS = {
    "ex-collapse-listen": {
        "right": {
            "by an index": """
                mu, logvar = model.encoder(x)
                z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
                stranger = z[torch.arange(len(x)) - 1]
                own = model.decoder.log_prob(x, z).mean()
                return float(own - model.decoder.log_prob(x, stranger).mean())
            """,
            "the last one first": """
                mu, logvar = model.encoder(x)
                z = torch.distributions.Normal(mu, (logvar / 2).exp()).sample()
                rolled = torch.cat([z[-1:], z[:-1]])
                lost = model.decoder.log_prob(x, z) - model.decoder.log_prob(x, rolled)
                return lost.sum() / len(lost)
            """,
        },
        "wrong": {
            "sum for mean": (
                "a sum over the pictures",
                """
                z = vl.reparameterize(*model.encoder(x))
                own, other = model.decoder.log_prob(x, z), model.decoder.log_prob(x, z.roll(1, dims=0))
                return (own - other).sum().item()
                """,
            ),
            "wrong axis": (
                "along their coordinates",
                """
                z = vl.reparameterize(*model.encoder(x))
                own, other = model.decoder.log_prob(x, z), model.decoder.log_prob(x, z.roll(1, dims=1))
                return (own - other).mean().item()
                """,
            ),
            "no exchange": (
                "no code was exchanged",
                """
                z = vl.reparameterize(*model.encoder(x))
                own, other = model.decoder.log_prob(x, z), model.decoder.log_prob(x, z.clone())
                return (own - other).mean().item()
                """,
            ),
            "sign": (
                "sign",
                """
                z = vl.reparameterize(*model.encoder(x))
                own, other = model.decoder.log_prob(x, z), model.decoder.log_prob(x, z.roll(1, dims=0))
                return (other - own).mean().item()
                """,
            ),
            "the mean decoded": (
                "draw z from q",
                """
                z, _ = model.encoder(x)
                own, other = model.decoder.log_prob(x, z), model.decoder.log_prob(x, z.roll(1, dims=0))
                return (own - other).mean().item()
                """,
            ),
            "logvar for log sigma": (
                "not log sigma",
                """
                mu, logvar = model.encoder(x)
                z = mu + logvar.exp() * torch.randn_like(mu)
                own, other = model.decoder.log_prob(x, z), model.decoder.log_prob(x, z.roll(1, dims=0))
                return (own - other).mean().item()
                """,
            ),
            "codes from the prior": (
                "",
                """
                z = vl.reparameterize(*model.encoder(x))
                own, other = model.decoder.log_prob(x, z), model.decoder.log_prob(x, torch.randn_like(z))
                return (own - other).mean().item()
                """,
            ),
            "pictures rolled, too": (
                "no code was exchanged",
                """
                z = vl.reparameterize(*model.encoder(x))
                own = model.decoder.log_prob(x, z)
                other = model.decoder.log_prob(x.roll(1, dims=0), z.roll(1, dims=0))
                return (own - other).mean().item()
                """,
            ),
            "one value per picture": (
                "shape",
                """
                z = vl.reparameterize(*model.encoder(x))
                return model.decoder.log_prob(x, z) - model.decoder.log_prob(x, z.roll(1, dims=0))
                """,
            ),
            "the stranger's score alone": (
                "",
                """
                z = vl.reparameterize(*model.encoder(x))
                return model.decoder.log_prob(x, z.roll(1, dims=0)).mean().item()
                """,
            ),
        },
    },
}
