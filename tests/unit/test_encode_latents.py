"""Encoding goes on after a stop, and its latents are those of an undisturbed run."""

import numpy as np
import pytest
import torch

from worldmodels.config.models import VAEOptions
from worldmodels.data.rollouts import RolloutFrames, ShardFacts, write_shard
from worldmodels.models.vae import ConvVAE
from worldmodels.runtime.stop import Interrupted
from worldmodels.stages import encode_latents
from worldmodels.stages.encode_latents import BATCH_FRAMES, encode_all, encode_batches

FRAMES = 3 * BATCH_FRAMES + 7


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
    expected = encode_all(vae, rollouts, torch.float32, state)
    encoded = []

    def counted(vae, frames, *others):
        encoded.append(len(frames))
        if len(encoded) == 2:
            state.stop.reason = "test"
        return real_encode(vae, frames, *others)

    real_encode = encode_latents.encode
    monkeypatch.setattr(encode_latents, "encode", counted)
    with pytest.raises(Interrupted):
        encode_all(vae, rollouts, torch.float32, state)
    saved = state.load()[1]["frames"]
    assert saved in (BATCH_FRAMES, 2 * BATCH_FRAMES)
    state.stop.reason = None
    before = sum(encoded)
    with (state.path / "posteriors.float16").open("ab") as file:
        file.write(b"torn")  # what a kill leaves behind after the checkpoint must not matter
    assert np.array_equal(encode_all(vae, rollouts, torch.float32, state), expected)
    assert sum(encoded) - before == FRAMES - saved


def test_checkpoint_without_its_rows_counts_for_nothing(rollouts, state):
    vae = ConvVAE(VAEOptions(latent_size=4)).eval()
    state.save({}, {"frames": BATCH_FRAMES})
    latents = encode_all(vae, rollouts, torch.float32, state)
    assert np.isfinite(latents.astype(np.float32)).all() and latents.shape == (FRAMES, 8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_latents_do_not_depend_on_the_number_of_threads(rollouts, dtype):
    torch.manual_seed(0)
    vae = ConvVAE(VAEOptions(latent_size=4)).eval()
    before, found = torch.get_num_threads(), {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found[threads] = list(encode_batches(vae, rollouts, dtype))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert [len(batch) for batch in found[1]] == [BATCH_FRAMES] * 3 + [7]
    assert all(np.array_equal(one, two) for one, two in zip(found[1], found[2], strict=True))
