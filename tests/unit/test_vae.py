"""The convolutional VAE: the paper's sizes, its loss, and fast deconvolutions that are the plain ones."""

import pytest
import torch
from torch import nn

from worldmodels.config.models import VAEOptions
from worldmodels.models.vae import (
    ConvVAE,
    PointDeconvolution,
    StridedConvolution,
    SubPixelDeconvolution,
    VAEOutput,
    observations_from_frames,
    sample_latents,
    vae_loss,
)


@pytest.mark.parametrize(("latent_size", "parameters"), [(64, 4_446_915), (32, 4_348_547)])
def test_it_has_the_papers_number_of_parameters(latent_size, parameters):
    vae = ConvVAE(VAEOptions(latent_size=latent_size))
    assert sum(parameter.numel() for parameter in vae.parameters()) == parameters


@pytest.mark.parametrize(
    ("fast", "size"),
    [
        (PointDeconvolution(6, 4, 5, stride=2), 1),
        (SubPixelDeconvolution(6, 4, 5), 5),
        (SubPixelDeconvolution(6, 4, 6), 13),
        (SubPixelDeconvolution(3, 3, 6), 30),
    ],
)
def test_fast_deconvolution_is_the_plain_one_gradients_included(fast, size):
    """A deconvolution that is only nearly right would train another model than the paper's."""
    torch.manual_seed(0)
    fast = fast.double()
    plain = nn.ConvTranspose2d(fast.in_channels, fast.out_channels, fast.kernel_size, stride=2).double()
    assert_same_function(fast, plain, torch.randn(2, fast.in_channels, size, size, dtype=torch.float64))


@pytest.mark.parametrize("size", [6, 7, 14, 31])
def test_fast_convolution_is_the_plain_one_gradients_included(size):
    """Small maps have their weight's gradient from gathered patches, large ones from torch; 7 and 31 leave a row over."""
    torch.manual_seed(0)
    fast = StridedConvolution(3, 5, 4).double().to(memory_format=torch.channels_last)
    plain = nn.Conv2d(3, 5, 4, stride=2).double()
    assert_same_function(fast, plain, torch.randn(2, 3, size, size, dtype=torch.float64))


def assert_same_function(fast, plain, inputs):
    """Equal outputs for equal weights, and equal gradients of inputs, weight and bias."""
    plain.load_state_dict(fast.state_dict())
    inputs.requires_grad_()
    outputs, expected = fast(inputs), plain(inputs)
    assert torch.allclose(outputs, expected, atol=1e-12)
    weights = torch.randn_like(expected)
    ours = torch.autograd.grad((outputs * weights).sum(), [inputs, *fast.parameters()])
    theirs = torch.autograd.grad((expected * weights).sum(), [inputs, *plain.parameters()])
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-10)


def test_shapes_and_ranges():
    vae = ConvVAE(VAEOptions())
    frames = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    output = vae(observations_from_frames(frames), torch.randn(2, 64))
    assert output.reconstruction.shape == (2, 3, 64, 64)
    assert output.mean.shape == output.log_variance.shape == (2, 64)
    assert output.reconstruction.min() >= 0 and output.reconstruction.max() <= 1


def test_observations_are_the_frames_between_0_and_1():
    frames = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    frames[0, 5, 7] = torch.tensor([0, 51, 255], dtype=torch.uint8)
    assert torch.allclose(observations_from_frames(frames)[0, :, 5, 7], torch.tensor([0, 0.2, 1]))


def test_latents_are_sampled_with_the_standard_deviation():
    """exp(log_variance) taken for a standard deviation is a mistake of two known ports."""
    drawn = sample_latents(torch.tensor([1.0]), torch.log(torch.tensor([9.0])), torch.tensor([2.0]))
    assert drawn.item() == pytest.approx(1 + 3 * 2)


def test_loss_is_summed_over_a_frame_and_free_bits_floor_the_sum():
    observations = torch.zeros(2, 3, 64, 64)
    mean = torch.zeros(2, 4)
    mean[1] = 3.0  # KL of the second frame: 4 * 9 / 2 = 18 nats; of the first: 0, floored to 2
    output = VAEOutput(torch.full_like(observations, 0.5), mean, torch.zeros(2, 4))
    losses = vae_loss(output, observations, free_bits=0.5)
    assert losses.reconstruction.item() == pytest.approx(0.25 * 3 * 64 * 64)
    assert losses.kl.item() == pytest.approx((2 + 18) / 2)
    assert losses.total.item() == pytest.approx(losses.reconstruction.item() + losses.kl.item())


@torch.inference_mode()
def test_signals_keep_their_size_through_the_first_weights():
    torch.manual_seed(0)
    vae = ConvVAE(VAEOptions(latent_size=64))
    drawn, (mean, log_variance) = vae.decode(torch.randn(500, 64)), vae.encode(torch.rand(100, 3, 64, 64))
    assert (
        0.05 < drawn.std(dim=0).mean() < 0.25
    )  # a sigmoid of standard normals has 0.21, of PyTorch's own weights 0.001
    assert 0.1 < mean.std(dim=0).mean() < 1
    assert not log_variance.any()


def test_it_learns_to_draw_a_frame():
    torch.manual_seed(0)
    vae = ConvVAE(VAEOptions(latent_size=4))
    frames = torch.zeros(4, 64, 64, 3, dtype=torch.uint8)
    frames[:2, :32], frames[2:, 32:] = 200, 120
    observations = observations_from_frames(frames)
    optimiser = torch.optim.Adam(vae.parameters(), 1e-3)
    losses = []
    for _ in range(25):
        loss = vae_loss(vae(observations, torch.zeros(4, 4)), observations, 0.5).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
