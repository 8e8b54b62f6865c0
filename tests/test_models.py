"""Networks, decoders and models: shapes, likelihoods, and errors that say what to do."""

import math

import pytest
import torch
from torch import distributions as D
from torch import nn

import vae_lib as vl
from vae_lib.networks import halved_sizes


def shapes(model: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(m.weight.shape) for m in model.modules() if isinstance(m, nn.Linear)]


def test_the_two_networks_of_the_literature_are_one_line_each():
    assert shapes(vl.dense_vae(784, (128, 64), 20)) == [
        (128, 784), (64, 128), (20, 64), (20, 64), (64, 20), (128, 64), (784, 128),
    ]  # fmt: skip
    assert shapes(vl.dense_vae(784, (512,), 2)) == [(512, 784), (2, 512), (2, 512), (512, 2), (784, 512)]


@pytest.mark.parametrize("image_shape", [(1, 28, 28), (1, 32, 32), (3, 9, 14), (1, 8, 8)])
@pytest.mark.parametrize("channels", [(4,), (4, 6), (4, 6, 8)])
def test_convolutional_bodies_mirror_each_other(image_shape, channels):
    model = vl.conv_vae(image_shape, channels, z_dim=3)
    x = torch.rand(5, math.prod(image_shape))
    mu, _ = model.encoder(x)
    assert mu.shape == (5, 3)
    assert model.decoder(mu.expand(7, 5, 3)).shape == (7, 5, x.shape[1])


@pytest.mark.parametrize("size", [7, 8, 28, 31])
def test_halved_sizes_are_those_of_the_convolution(size):
    h = torch.zeros(1, 1, size, size)
    for expected in halved_sizes((1, size, size), 3)[1:]:
        h = nn.Conv2d(1, 1, 3, stride=2, padding=1)(h)
        assert tuple(h.shape[2:]) == expected


def test_convolutional_body_keeps_examples_apart():
    body = vl.ConvEncoderBody((1, 8, 8), (4,))
    x = torch.rand(3, 64)
    alone = torch.stack([body(x[i : i + 1])[0] for i in range(3)])
    torch.testing.assert_close(body(x), alone)


def test_bernoulli_decoder_against_torch():
    decoder, z = vl.BernoulliDecoder(2, 6, hidden=(5,)), torch.randn(4, 3, 2)
    x = (torch.rand(3, 6) > 0.5).float()
    truth = D.Bernoulli(logits=decoder(z)).log_prob(x).sum(-1)
    torch.testing.assert_close(decoder.log_prob(x, z), truth)
    torch.testing.assert_close(decoder.mean(z), D.Bernoulli(logits=decoder(z)).mean)
    assert set(decoder.sample(z).unique().tolist()) <= {0.0, 1.0}


def test_gaussian_decoder_against_torch():
    decoder = vl.GaussianDecoder(2, 6, hidden=(5,), std=0.3).requires_grad_(False)
    z, x = torch.randn(4, 3, 2), torch.randn(3, 6)
    truth = D.Normal(decoder(z), 0.3).log_prob(x).sum(-1)
    torch.testing.assert_close(decoder.log_prob(x, z), truth)
    many = decoder.sample(z[0, :1].expand(50_000, 2))
    assert float((many - decoder(z[0, :1])).std()) == pytest.approx(0.3, rel=0.02)


def test_a_learned_std_finds_the_noise_of_the_data():
    torch.manual_seed(0)
    x = 0.5 + 0.2 * torch.randn(2000, 4)
    decoder = vl.GaussianDecoder(1, 4, hidden=(), std=1.0, learn_std=True)
    model = vl.VAE(vl.GaussianEncoder(4, 1, hidden=()), decoder)
    vl.train(model, x, config=vl.TrainConfig(epochs=40, lr=0.02), progress=False)
    assert decoder.std == pytest.approx(0.2, rel=0.1)


def test_a_fixed_std_stays():
    decoder = vl.GaussianDecoder(1, 4, hidden=(), std=0.7)
    model = vl.VAE(vl.GaussianEncoder(4, 1, hidden=()), decoder)
    vl.train(model, torch.rand(64, 4), config=vl.TrainConfig(epochs=2), progress=False)
    assert decoder.std == pytest.approx(0.7)


def test_forward_returns_the_triple_of_the_literature():
    model, x = vl.dense_vae(6, (5,), 2), torch.rand(3, 6)
    mu, logvar = model.encoder(x)
    torch.manual_seed(3)
    out = model(x)
    torch.manual_seed(3)
    torch.testing.assert_close(out[0], model.decoder(vl.reparameterize(mu, logvar)))
    torch.testing.assert_close(out[1:], (mu, logvar))


def test_reconstruct_decodes_the_mean_or_a_sample():
    model, x = vl.dense_vae(6, (5,), 2), torch.rand(3, 6)
    mu, _ = model.encoder(x)
    torch.testing.assert_close(model.reconstruct(x), model.decoder.mean(mu))
    assert not torch.equal(model.reconstruct(x, sample_z=True), model.reconstruct(x))


def test_samples_come_from_the_prior_through_the_decoder():
    model = vl.dense_vae(6, (5,), 2)
    torch.manual_seed(0)
    images = model.sample(10)
    torch.manual_seed(0)
    torch.testing.assert_close(images, model.decoder.mean(torch.randn(10, 2)))
    assert set(model.sample(10, observation_noise=True).unique().tolist()) <= {0.0, 1.0}


def test_autoencoder_has_no_noise():
    model = vl.Autoencoder(vl.DeterministicEncoder(6, 2, (5,)), vl.BernoulliDecoder(2, 6, (5,)))
    x = torch.rand(3, 6)
    torch.testing.assert_close(model.reconstruct(x), torch.sigmoid(model(x)))
    torch.testing.assert_close(model.reconstruct(x), model.reconstruct(x))


@pytest.mark.parametrize(
    ("x", "error", "words"),
    [
        (torch.zeros(3, 28, 28), ValueError, r"\(N, 784\).*flatten"),
        (torch.zeros(3, 10), ValueError, r"\(N, 784\), got \(3, 10\)"),
        (torch.zeros(0, 784), ValueError, "no example"),
        (torch.zeros(3, 784, dtype=torch.uint8), TypeError, "x.float\\(\\) / 255"),
        (torch.full((3, 784), float("nan")), ValueError, "3 of 3 examples hold NaN"),
        (torch.full((3, 784), float("inf")), ValueError, "infinite"),
        (torch.full((3, 784), 255.0), ValueError, r"\[0, 1\].*255"),
        (torch.full((3, 784), -0.1), ValueError, r"from -0\.1"),
        ([[0.0] * 784], TypeError, "torch tensor, got list"),
    ],
)
def test_bad_data_is_refused_with_advice(x, error, words):
    with pytest.raises(error, match=words):
        vl.dense_vae(784, (8,), 2).check_data(x)


def test_a_gaussian_decoder_takes_any_finite_data():
    model = vl.VAE(vl.GaussianEncoder(4, 2), vl.GaussianDecoder(2, 4))
    model.check_data(torch.full((3, 4), -7.0))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: vl.VAE(vl.GaussianEncoder(784, 20), vl.BernoulliDecoder(10, 784)), "z_dim=20.*z_dim=10"),
        (lambda: vl.VAE(vl.GaussianEncoder(784, 20), vl.BernoulliDecoder(20, 64)), "x_dim=784.*x_dim=64"),
        (lambda: vl.GaussianDecoder(2, 4, std=0.0), "std must be positive"),
        (lambda: vl.MLP(4, (0,)), "widths must be positive"),
    ],
)
def test_models_that_do_not_fit_are_refused(build, words):
    with pytest.raises(ValueError, match=words):
        build()


def test_a_model_that_starts_at_the_mean_draws_it_before_training():
    x = torch.rand(200, 9, generator=torch.Generator().manual_seed(1)) ** 2
    model = vl.dense_vae(9, (16,), 2)
    before = vl.evaluate(model, x).log_p_x_given_z
    vl.start_at_mean(model, x)
    assert vl.evaluate(model, x).log_p_x_given_z > before
    nn.init.zeros_(list(model.decoder.net)[-1].weight)  # no code, only the biases
    torch.testing.assert_close(model.sample(1)[0], (x.sum(0) + 1) / 202)


@pytest.mark.parametrize(
    "decoder", [vl.GaussianDecoder(2, 64), vl.conv_vae((1, 8, 8), (4, 8), 2).decoder], ids=["normal", "conv"]
)
def test_only_a_dense_bernoulli_decoder_can_start_at_the_mean(decoder):
    model = vl.VAE(vl.GaussianEncoder(64, 2), decoder)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(TypeError, match=r"BernoulliDecoder whose last layer is an nn\.Linear"):
        vl.start_at_mean(model, torch.rand(5, 64))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_starting_at_the_mean_of_bad_data_is_refused():
    with pytest.raises(ValueError, match=r"needs data in \[0, 1\]"):
        vl.start_at_mean(vl.dense_vae(4, (8,), 2), torch.full((3, 4), 2.0))
