"""Answers to the chapter's exercises, right and wrong; the wrong ones with what their check says."""

ANSWERS = {
    "ex-loop-accumulate": {
        "right": {
            "weighted means": """
                optimizer.zero_grad()
                for start in range(0, len(batch), part_size):
                    part = batch[start : start + part_size]
                    (-(len(part) / len(batch)) * objective(model, part)[0].mean()).backward()
                optimizer.step()
            """,
            "by hand": """
                weights = list(model.parameters())
                total = [torch.zeros_like(w) for w in weights]
                for part in torch.split(batch, part_size):
                    value = objective(model, part)[0].sum()
                    for sum_of, g in zip(total, torch.autograd.grad(value, weights)):
                        sum_of -= g
                for w, g in zip(weights, total):
                    w.grad = g / len(batch)
                optimizer.step()
            """,
        },
        "wrong": {
            "does nothing": ("did not move", "pass"),
            "no zero_grad": (
                "zero_grad missing",
                """
                for part in batch.split(part_size):
                    (-objective(model, part)[0].sum() / len(batch)).backward()
                optimizer.step()
                """,
            ),
            "sum over the batch": (
                "a sum over the batch",
                """
                optimizer.zero_grad()
                for part in batch.split(part_size):
                    (-objective(model, part)[0].sum()).backward()
                optimizer.step()
                """,
            ),
            "mean of the parts' means": (
                "not over parts",
                """
                optimizer.zero_grad()
                parts = batch.split(part_size)
                for part in parts:
                    (-objective(model, part)[0].mean() / len(parts)).backward()
                optimizer.step()
                """,
            ),
            "sum of the parts' means": (
                "divide by the whole batch",
                """
                optimizer.zero_grad()
                for part in batch.split(part_size):
                    (-objective(model, part)[0].mean()).backward()
                optimizer.step()
                """,
            ),
            "zero_grad inside": (
                "throws the others away",
                """
                for part in batch.split(part_size):
                    optimizer.zero_grad()
                    (-objective(model, part)[0].sum() / len(batch)).backward()
                optimizer.step()
                """,
            ),
            "step inside": (
                "",
                """
                for part in batch.split(part_size):
                    optimizer.zero_grad()
                    (-objective(model, part)[0].sum() / len(batch)).backward()
                    optimizer.step()
                """,
            ),
            "all at once": (
                "in memory",
                """
                optimizer.zero_grad()
                (-objective(model, batch)[0].mean()).backward()
                optimizer.step()
                """,
            ),
            "sign": (
                "sign",
                """
                optimizer.zero_grad()
                for part in batch.split(part_size):
                    (objective(model, part)[0].sum() / len(batch)).backward()
                optimizer.step()
                """,
            ),
            "last part dropped": (
                "",
                """
                optimizer.zero_grad()
                for i in range(len(batch) // part_size):
                    part = batch[i * part_size : (i + 1) * part_size]
                    (-objective(model, part)[0].sum() / len(batch)).backward()
                optimizer.step()
                """,
            ),
        },
    },
    "ex-loop-middle": {
        "right": {
            "by a counter": """
                optimizer.load_state_dict(state["optimizer"])
                model.load_state_dict(state["model"])
                torch.set_rng_state(state["rng"])
                for i, index in enumerate(state["order"].split(100)):
                    if i >= state["done"]:
                        one_step(model, optimizer, x[index], lr=1e-3, beta=1.0)
            """,
            "by the remaining order": """
                torch.set_rng_state(state["rng"])
                for key, target in (("model", model), ("optimizer", optimizer)):
                    target.load_state_dict(state[key])
                rest = state["order"][100 * state["done"] :]
                while len(rest):
                    one_step(model, optimizer, x[rest[:100]], lr=1e-3, beta=1.0)
                    rest = rest[100:]
            """,
        },
        "wrong": {
            "no optimiser": (
                "was not loaded",
                """
                model.load_state_dict(state["model"])
                torch.set_rng_state(state["rng"])
                for index in state["order"].split(100)[state["done"]:]:
                    one_step(model, optimizer, x[index], lr=1e-3, beta=1.0)
                """,
            ),
            "from the first batch": (
                "done again",
                """
                model.load_state_dict(state["model"])
                optimizer.load_state_dict(state["optimizer"])
                torch.set_rng_state(state["rng"])
                for index in state["order"].split(100):
                    one_step(model, optimizer, x[index], lr=1e-3, beta=1.0)
                """,
            ),
            "loads and stops": (
                "no batch was done",
                """
                model.load_state_dict(state["model"])
                optimizer.load_state_dict(state["optimizer"])
                torch.set_rng_state(state["rng"])
                """,
            ),
            "one batch late": (
                "",
                """
                model.load_state_dict(state["model"])
                optimizer.load_state_dict(state["optimizer"])
                torch.set_rng_state(state["rng"])
                for index in state["order"].split(100)[state["done"] + 1:]:
                    one_step(model, optimizer, x[index], lr=1e-3, beta=1.0)
                """,
            ),
            "no generator": (
                "other noise",
                """
                model.load_state_dict(state["model"])
                optimizer.load_state_dict(state["optimizer"])
                for index in state["order"].split(100)[state["done"]:]:
                    one_step(model, optimizer, x[index], lr=1e-3, beta=1.0)
                """,
            ),
            "generator at the end": (
                "other noise",
                """
                model.load_state_dict(state["model"])
                optimizer.load_state_dict(state["optimizer"])
                for index in state["order"].split(100)[state["done"]:]:
                    one_step(model, optimizer, x[index], lr=1e-3, beta=1.0)
                torch.set_rng_state(state["rng"])
                """,
            ),
            "a fresh order": (
                "other noise",
                """
                model.load_state_dict(state["model"])
                optimizer.load_state_dict(state["optimizer"])
                torch.set_rng_state(state["rng"])
                for index in torch.randperm(600).split(100)[state["done"]:]:
                    one_step(model, optimizer, x[index], lr=1e-3, beta=1.0)
                """,
            ),
            "the first batches": (
                "the right batches",
                """
                model.load_state_dict(state["model"])
                optimizer.load_state_dict(state["optimizer"])
                torch.set_rng_state(state["rng"])
                for index in state["order"].split(100)[: 6 - state["done"]]:
                    one_step(model, optimizer, x[index], lr=1e-3, beta=1.0)
                """,
            ),
            "no model": (
                "the right weights",
                """
                optimizer.load_state_dict(state["optimizer"])
                torch.set_rng_state(state["rng"])
                for index in state["order"].split(100)[state["done"]:]:
                    one_step(model, optimizer, x[index], lr=1e-3, beta=1.0)
                """,
            ),
            "the stop hard-coded": (
                "",
                """
                model.load_state_dict(state["model"])
                optimizer.load_state_dict(state["optimizer"])
                torch.set_rng_state(state["rng"])
                for index in state["order"].split(100)[2:]:
                    one_step(model, optimizer, x[index], lr=1e-3, beta=1.0)
                """,
            ),
        },
    },
}
