"""Encoding goes on after a stop, and its latents are those of an undisturbed run."""

import numpy as np
import pytest
import torch

from worldmodels.config.models import VAEOptions
from worldmodels.data.rollouts import RolloutFrames, ShardFacts, write_shard
from worldmodels.models.vae import ConvVAE
from worldmodels.runtime.stop import Interrupted
from worldmodels.stages import encode_latents
from worldmodels.stages.encode_latents import BATCH_FRAMES, encode_all

FRAMES = 3 * BATCH_FRAMES + 7
CPU = torch.device("cpu")


@pytest.fixture
def rollouts(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (FRAMES, 8, 8, 3), dtype=np.uint8)
    pixels = pixels.repeat(8, axis=1).repeat(8, axis=2)
    ends = np.array([0, FRAMES], np.int64)
    facts = ShardFacts(
        np.zeros((FRAMES, 1), np.float32), np.ones(FRAMES, np.float32), ends, np.ones(1, bool), np.zeros(1)
    )
    write_shard(tmp_path / "000.h5", [pixels], facts, "{}", 0)
    return RolloutFrames([tmp_path / "000.h5"])


def test_stopped_encoding_goes_on_and_encodes_nothing_twice(rollouts, state, monkeypatch):
    torch.manual_seed(0)
    vae = ConvVAE(VAEOptions(latent_size=4)).eval()
    expected = encode_all(vae, rollouts, CPU, torch.float32, state)
    encoded = []

    def counted(vae, frames, *others):
        encoded.append(len(frames))
        if len(encoded) == 2:
            state.stop.reason = "test"
        return real_encode(vae, frames, *others)

    real_encode = encode_latents.encode
    monkeypatch.setattr(encode_latents, "encode", counted)
    with pytest.raises(Interrupted):
        encode_all(vae, rollouts, CPU, torch.float32, state)
    state.stop.reason = None
    with (state.path / "posteriors.float16").open("ab") as file:
        file.write(b"torn")  # what a kill leaves behind after the checkpoint must not matter
    assert np.array_equal(encode_all(vae, rollouts, CPU, torch.float32, state), expected)
    assert encoded == [BATCH_FRAMES] * 3 + [7]


def test_checkpoint_without_its_rows_counts_for_nothing(rollouts, state):
    vae = ConvVAE(VAEOptions(latent_size=4)).eval()
    state.save({}, {"frames": BATCH_FRAMES})
    latents = encode_all(vae, rollouts, CPU, torch.float32, state)
    assert np.isfinite(latents.astype(np.float32)).all() and latents.shape == (FRAMES, 8)
