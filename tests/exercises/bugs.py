"""Answers to the chapter's exercises, right and wrong; the wrong ones with what their check says."""

ANSWERS = {
    "ex-bugs-detach": {
        "right": {
            "by backward": """
                model = make()
                bce(model(few[:10])[0], few[:10], reduction="sum").backward()
                gradients = [weight.grad for weight in model.encoder.parameters()]
                return not any(g is not None and g.abs().sum() > 0 for g in gradients)
            """,
            "by the size of the gradient": """
                model = make()
                reconstruction = -bce(model(few[:50])[0], few[:50])
                weights = tuple(model.encoder.parameters())
                found = torch.autograd.grad(reconstruction, weights, allow_unused=True)
                return sum(float(g.norm()) for g in found if g is not None) == 0.0
            """,
        },
        "wrong": {
            "the whole loss": (
                "gradient of the KL",
                """
                model, x = make(), few[:20]
                logits, mu, logvar = model(x)
                loss = bce(logits, x) + kl_of(mu, logvar)
                gradients = torch.autograd.grad(loss, list(model.encoder.parameters()), allow_unused=True)
                return all(g is None or not g.any() for g in gradients)
                """,
            ),
            "the decoder's weights": (
                "decoder's weights",
                """
                model, x = make(), few[:20]
                gradients = torch.autograd.grad(bce(model(x)[0], x), list(model.decoder.parameters()))
                return all(not g.any() for g in gradients)
                """,
            ),
            "zeros not seen": (
                "a gradient that is zero",
                """
                model, x = make(), few[:20]
                weights = list(model.encoder.parameters())
                gradients = torch.autograd.grad(bce(model(x)[0], x), weights, allow_unused=True)
                return all(g is None for g in gradients)
                """,
            ),
            "any for all": (
                "not all of them",
                """
                model, x = make(), few[:20]
                weights = list(model.encoder.parameters())
                gradients = torch.autograd.grad(bce(model(x)[0], x), weights, allow_unused=True)
                return any(g is None or not g.any() for g in gradients)
                """,
            ),
            "turned round": (
                "",
                """
                model, x = make(), few[:20]
                weights = list(model.encoder.parameters())
                gradients = torch.autograd.grad(bce(model(x)[0], x), weights, allow_unused=True)
                return any(g is not None and g.any() for g in gradients)
                """,
            ),
            "always True": ("does reach", "return True"),
            "always False": ("", "return False"),
            "asked twice": (
                "",
                """
                model = make()
                return bool(torch.equal(model(few[:5])[0], model(few[:5])[0]))
                """,
            ),
            "requires_grad": (
                "",
                """
                model = make()
                return not model(few[:5])[0].requires_grad
                """,
            ),
            "raises on a missing path": (
                "",
                """
                model, x = make(), few[:20]
                gradients = torch.autograd.grad(bce(model(x)[0], x), list(model.encoder.parameters()))
                return all(not g.any() for g in gradients)
                """,
            ),
        },
    },
}
