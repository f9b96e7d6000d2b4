"""How fast M trains, beside a bare loop of forward, backward and update on random tensors in the same run."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from worldmodels.benchmarks.timing import alternate
from worldmodels.config.models import MDNRNNOptions
from worldmodels.config.training import MDNRNNTraining
from worldmodels.data.latents import Latents, Streams
from worldmodels.models.mdn_rnn import MDNRNN, done_loss, mixture_nll
from worldmodels.runtime.device import autocast, has_fast_bf16, set_threads
from worldmodels.runtime.processor import available_cores
from worldmodels.seeds import generator
from worldmodels.stages.train_mdn_rnn import StreamObjective
from worldmodels.training import FitOptions, Trainer, update

SECONDS = 12.0
TRAINING = MDNRNNTraining(streams=32, chunk=64)  # doom-laptop's, where short chunks make everything else dearer
EPISODES, EPISODE_STEPS = 400, 300
CPU = torch.device("cpu")


def measure_mdn_rnn() -> dict[str, Any]:
    """LSTM steps a second of training as the stage does it, and of the bare loop; bf16 only where it is fast."""
    set_threads(available_cores())
    result: dict[str, Any] = {"streams": TRAINING.streams, "chunk": TRAINING.chunk}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        if dtype == torch.bfloat16 and not has_fast_bf16(CPU):
            continue
        steps = TRAINING.streams * TRAINING.chunk
        ours, bare = alternate(stage_update(dtype), bare_update(dtype), SECONDS)
        result |= {f"{name}_training": ours * steps, f"{name}_bare": bare * steps, f"{name}_share": ours / bare}
    return result


def random_latents() -> Latents:
    """Latents of a data set of random episodes of the usual length."""
    source = generator("benchmark", "latents")
    offsets = np.concatenate([[0], np.cumsum(source.integers(100, 2 * EPISODE_STEPS - 100, EPISODES))])
    means = source.standard_normal((offsets[-1], 64)).astype(np.float16)
    actions = source.uniform(-1, 1, (offsets[-1], 1)).astype(np.float32)
    return Latents(
        means,
        np.full_like(means, -2),
        actions,
        np.ones(len(means), np.float32),
        offsets,
        np.ones(EPISODES, bool),
        "benchmark",
    )


def stage_update(dtype: torch.dtype) -> Callable[[], None]:
    """One update of the stage train_mdn_rnn: batch, objective, gradients, Adam."""
    words = ("benchmark", 1)
    latents = random_latents()
    batches = Streams(latents, np.arange(EPISODES), TRAINING.streams, TRAINING.chunk, words).iterate(0)
    trainer = Trainer(MDNRNN(TRAINING.model), CPU)
    objective = StreamObjective(trainer.network, TRAINING, CPU, dtype, words)  # type: ignore[arg-type]
    options = FitOptions(lambda _: 1e-3, 1, 1, "steps", TRAINING.gradient_clip)
    return lambda: trainer.record(update(trainer, objective, 0, next(batches), options), 0)


def bare_update(dtype: torch.dtype) -> Callable[[], None]:
    """The same network's update on tensors that are always the same, in which nobody dies."""
    network = MDNRNN(MDNRNNOptions())
    optimiser = torch.optim.Adam(network.parameters(), 1e-3, fused=True)
    shape = (TRAINING.streams, TRAINING.chunk)
    latents, targets = torch.randn(*shape, 64), torch.randn(*shape, 64)
    actions, zeros = torch.randn(*shape, 1), torch.zeros(*shape)

    def step() -> None:
        with autocast(CPU, dtype):
            prediction, _ = network(latents, actions, zeros)
        assert prediction.done_logit is not None
        mixture = type(prediction.mixture)(*(values.float() for values in prediction.mixture))
        deaths = done_loss(prediction.done_logit.float(), zeros, 10.0)
        optimiser.zero_grad()
        (mixture_nll(mixture, targets).mean() + deaths.mean()).backward()
        optimiser.step()

    return step
