"""The gradient that is written out: autograd's to the last bit, and out of the way where it does not fit."""

import pytest
import torch
from torch import Tensor, nn

import vae_lib as vl
from vae_lib.gradients import DenseElbo, can_write_out

SHAPES = [((7,), ()), ((7,), (9,)), ((8, 7), (9,)), ((9, 8, 7), (7, 8, 9))]


def make(body: tuple[int, ...] = (7,), net: tuple[int, ...] = (9,)) -> vl.VAE:
    vl.seed_everything(1)
    return vl.VAE(vl.GaussianEncoder(12, 3, body), vl.BernoulliDecoder(3, 12, net))


@pytest.fixture
def x() -> Tensor:
    return torch.rand(50, 12, generator=torch.Generator().manual_seed(0))


def gradients(model: nn.Module) -> list[Tensor]:
    return [p.grad for p in model.parameters()]


def recorded(model: vl.VAE, x: Tensor) -> vl.ElboTerms:
    """`vl.elbo` under another name: `train` knows nothing about it and takes autograd."""
    return vl.elbo(model, x)


@pytest.mark.parametrize(("body", "net"), SHAPES)
@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_terms_and_gradients_are_autograds_to_the_last_bit(x, body, net, beta, dtype):
    model, x = make(body, net).to(dtype), x.to(dtype)
    torch.manual_seed(2)
    terms = vl.elbo(model, x)
    # As `train` writes it. The batch is larger than this part of it.
    ((terms.elbo - (beta - 1.0) * terms.kl).sum() / -60).backward()
    expected = gradients(model)
    model.zero_grad()

    torch.manual_seed(2)
    passes = DenseElbo(model)
    ours = passes.forward(x)
    passes.backward(beta, n=60)
    assert all(torch.equal(a, b) for a, b in zip(ours, terms, strict=True))
    assert not any(term.requires_grad for term in ours)
    assert all(torch.equal(a, b) for a, b in zip(gradients(model), expected, strict=True))


def test_finite_differences_agree(x):
    """A judge that knows no rule of differentiation: the loss a little to both sides of the weights."""
    model, x = make((8, 7), (9,)).double(), x.double()
    passes, beta, length = DenseElbo(model), 0.7, 1e-5

    def loss() -> Tensor:
        torch.manual_seed(3)
        terms = passes.forward(x)
        return -(terms.log_p_x_given_z - beta * terms.kl).mean()

    loss()
    passes.backward(beta, len(x))
    for weight, gradient in zip(model.parameters(), gradients(model), strict=True):
        direction = torch.randn_like(weight)
        with torch.no_grad():
            here, losses = weight.clone(), []
            for side in (1, -1):
                weight.copy_(here + side * length * direction)
                losses.append(loss())
            weight.copy_(here)
        expected = (gradient * direction).sum()
        slope = (losses[0] - losses[1]) / (2 * length)
        torch.testing.assert_close(slope, expected, rtol=1e-6, atol=1e-9)


def test_the_data_are_left_alone_and_a_gradient_is_replaced(x):
    model, before = make(), x.clone()
    passes = DenseElbo(model)
    passes.forward(x)
    passes.backward(1.0, len(x))
    first = [gradient.clone() for gradient in gradients(model)]
    passes.backward(1.0, len(x))
    assert torch.equal(x, before)
    assert all(torch.equal(a, b) for a, b in zip(gradients(model), first, strict=True))


SETTINGS = {
    "plain": {},
    "everything": {"lr_schedule": "cosine", "kl_warmup_epochs": 1.5, "beta": 1.5, "grad_clip": 5.0},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize(("body", "net"), SHAPES)
def test_training_ends_in_the_bits_of_autograd(x, body, net, settings):
    config = vl.TrainConfig(epochs=3, batch_size=16, lr=1e-2, device="cpu", **settings)
    ends = []
    for objective in (vl.elbo, recorded):
        model = make(body, net)
        history = vl.train(
            model,
            x,
            valid=x[:9],
            config=config,
            objective=objective,
            batch_transform=vl.bernoulli_sample,
            progress=False,
        )
        ends.append((history, list(model.parameters())))
    assert ends[0][0] == ends[1][0]
    assert all(torch.equal(a, b) for a, b in zip(ends[0][1], ends[1][1], strict=True))


def test_training_a_dense_vae_records_no_graph(x, monkeypatch):
    def called(*args, **kwargs):
        raise AssertionError("autograd was asked")

    monkeypatch.setattr(Tensor, "backward", called)
    config = vl.TrainConfig(epochs=1, device="cpu")
    vl.train(make(), x, config=config, progress=False)
    with pytest.raises(AssertionError, match="autograd was asked"):
        vl.train(make(), x, config=config, objective=recorded, progress=False)


class OwnVAE(vl.VAE):
    """Somebody's model, who may have changed anything."""


class OwnLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2


def own_model() -> vl.VAE:
    model = make()
    return OwnVAE(model.encoder, model.decoder)


def own_encoder() -> vl.VAE:
    model = make()
    model.encoder.__class__ = type("OwnEncoder", (vl.GaussianEncoder,), {})
    return model


def gaussian_decoder() -> vl.VAE:
    return vl.VAE(make().encoder, vl.GaussianDecoder(3, 12, (9,)))


def own_decoder() -> vl.VAE:
    model = make()
    model.decoder.__class__ = type("OwnDecoder", (vl.BernoulliDecoder,), {})
    return model


def own_net() -> vl.VAE:
    return vl.VAE(make().encoder, vl.BernoulliDecoder(3, 12, nn.Sequential(nn.Linear(3, 12), nn.Tanh())))


def nothing_hidden() -> vl.VAE:
    return make(body=())


def another_activation() -> vl.VAE:
    model = make()
    model.encoder.body[1] = nn.LeakyReLU()
    return model


def one_layer_more() -> vl.VAE:
    model = make()
    model.decoder.net.append(nn.Dropout(0.5))
    return model


def own_layer() -> vl.VAE:
    model = make()
    model.decoder.net[0] = OwnLinear(3, 9)
    return model


def own_head() -> vl.VAE:
    model = make()
    model.encoder.fc_logvar = OwnLinear(7, 3)
    return model


def no_bias() -> vl.VAE:
    model = make()
    model.encoder.fc_mu = nn.Linear(7, 3, bias=False)
    return model


def frozen_weight() -> vl.VAE:
    model = make()
    model.decoder.net[2].bias.requires_grad_(False)
    return model


def shared_weight() -> vl.VAE:
    model = make()
    model.encoder.fc_logvar.weight = model.encoder.fc_mu.weight
    return model


def own_method() -> vl.VAE:
    model = make()
    twice = model.decoder.log_prob
    model.decoder.log_prob = lambda x, z: 2 * twice(x, z)
    return model


def normed_weight() -> vl.VAE:
    model = make()
    nn.utils.parametrizations.weight_norm(model.decoder.net[0])
    return model


OTHERS = [
    *[own_model, own_encoder, own_decoder, gaussian_decoder, own_net, own_layer, own_head, own_method],
    *[nothing_hidden, another_activation, one_layer_more, no_bias],
    *[frozen_weight, shared_weight, normed_weight],
]


@pytest.mark.parametrize("other", OTHERS)
def test_another_model_is_left_to_autograd(x, other):
    config = vl.TrainConfig(epochs=2, batch_size=16, lr=1e-2, device="cpu")
    ends = []
    for objective in (vl.elbo, recorded):
        model = other()
        assert not can_write_out(model)
        vl.train(model, x, config=config, objective=objective, progress=False)
        ends.append(list(model.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


HOOKS = {
    "before a layer": lambda model, hook: model.encoder.body[0].register_forward_pre_hook(hook),
    "after a layer": lambda model, hook: model.encoder.fc_mu.register_forward_hook(hook),
    "at a layer's gradient": lambda model, hook: model.decoder.net[2].register_full_backward_hook(hook),
    "at a weight's gradient": lambda model, hook: model.decoder.net[2].weight.register_hook(hook),
    "after a weight's gradient": lambda model, hook: model.decoder.net[
        2
    ].weight.register_post_accumulate_grad_hook(hook),
    "on all layers": lambda model, hook: nn.modules.module.register_module_forward_hook(hook),
}


@pytest.mark.parametrize("register", HOOKS.values(), ids=HOOKS)
def test_a_hook_is_called(x, register):
    model, calls = make(), []
    handle = register(model, lambda *values: calls.append(1))
    vl.train(model, x, config=vl.TrainConfig(epochs=1, device="cpu"), progress=False)
    handle.remove()
    assert calls


def test_autocast_another_device_and_the_search_for_nan_are_left_to_autograd():
    model = make()
    assert not can_write_out(make().to("meta"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not can_write_out(model)
    with torch.autograd.set_detect_anomaly(True):
        assert not can_write_out(model)
    assert can_write_out(model)
