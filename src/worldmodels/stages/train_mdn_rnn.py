"""Train M of one seed on the latents (paper, appendix A.2), and measure its predictions of death on held-out episodes.

Time alignment: the input at t is (z_t, a_t, restart_t); the targets are z_{t+1}, masked on the last step of an
episode, whether a_t was fatal and, where M has such a head, its reward.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from worldmodels.config.blocks import TrainMDNRNNBlock
from worldmodels.config.training import MDNRNNTraining
from worldmodels.data.latents import Latents, StreamBatch, Streams, read_latents, split_episodes
from worldmodels.models.mdn_rnn import MDNRNN, LSTMState, done_loss, mixture_nll
from worldmodels.models.vae import sample_latents
from worldmodels.runtime.device import autocast, matmul_dtype, resolve_device
from worldmodels.runtime.files import file_checksum, write_json
from worldmodels.runtime.weights import save_weights
from worldmodels.seeds import integer_seed
from worldmodels.stages.stage import Seed, Stage, input_file, output_file
from worldmodels.stages.stage import main as run_stage
from worldmodels.training import Carry, FitOptions, Metrics, cosine_decay, fit, write_metrics

FINAL_LEARNING_RATE = 1e-5


class TrainMDNRNN(Stage):
    """Options of train_mdn_rnn."""

    Block: ClassVar = TrainMDNRNNBlock
    uses_gpu = True

    latents: Path = input_file("Latents of all frames")
    weights: Path = output_file("M's weights, safetensors")
    metrics: Path = output_file("Training history, CSV")
    deaths: Path = output_file("Precision and recall of predicted deaths on held-out episodes, JSON")
    seed: Seed

    def run(self) -> None:
        """Fit M to streams of training episodes."""
        training = self.block().training
        device = resolve_device(self.device)
        dtype = matmul_dtype(training.precision, device)
        latents = read_latents(self.latents)
        trained, held_out = split_episodes(latents.episodes, training.held_out)
        words = ("train_mdn_rnn", self.seed)
        streams = Streams(latents, trained, training.streams, training.chunk, words)
        torch.manual_seed(integer_seed(*words, "initial weights"))
        mdn_rnn = MDNRNN(training.model)
        steps = max(1, round(training.epochs * streams.updates_per_pass))
        objective = StreamObjective(mdn_rnn, training, device, dtype, words)
        options = FitOptions(
            learning_rate=lambda step: learning_rate(training, step, steps),
            steps=steps,
            items_per_step=streams.streams * training.chunk,
            unit="steps",
            gradient_clip=training.gradient_clip,
        )
        history = fit(mdn_rnn, objective, streams.iterate, options, self.state, device, "train_mdn_rnn")
        measured = death_scores(mdn_rnn, latents, held_out, device) if training.model.predict_done else {"episodes": 0}
        write_json(self.deaths, measured)
        write_metrics(self.metrics, history)
        inputs = {"latents": file_checksum(self.latents), "vae": latents.vae_sha256}
        save_weights(self.weights, mdn_rnn, "mdn_rnn", training.model, inputs)


def learning_rate(training: MDNRNNTraining, step: int, steps: int) -> float:
    """The released code's exponential decay towards 1e-5, times a cosine to the configured fraction."""
    decayed = (training.learning_rate - FINAL_LEARNING_RATE) * training.learning_rate_decay**step
    return (decayed + FINAL_LEARNING_RATE) * cosine_decay(step, steps, training.final_learning_rate_fraction)


class StreamObjective:
    """M's loss on a chunk of all streams: density of the next latent plus weighted cross-entropy of death."""

    def __init__(
        self,
        mdn_rnn: MDNRNN,
        training: MDNRNNTraining,
        device: torch.device,
        dtype: torch.dtype,
        words: tuple[str | int, ...],
    ) -> None:
        self.mdn_rnn, self.training, self.device, self.dtype, self.words = mdn_rnn, training, device, dtype, words

    def __call__(
        self, step: int, batch: StreamBatch[np.ndarray], carry: Carry | None
    ) -> tuple[torch.Tensor, Metrics, Carry | None]:
        """See training.Objective."""
        chunk = StreamBatch(*(torch.from_numpy(values).to(self.device) for values in batch))
        latents, targets = self._sample(chunk, step)  # (B, L, Z) each
        with autocast(self.device, self.dtype):
            prediction, state = self.mdn_rnn(
                self._drop(latents, step), chunk.actions, chunk.restarts, LSTMState(*carry) if carry else None
            )
        mixture = type(prediction.mixture)(*(values.float() for values in prediction.mixture))
        nll = mixture_nll(mixture, targets).mean(dim=-1)  # (B, L), mean per dimension
        nll = (nll * chunk.has_next).sum() / chunk.has_next.sum().clamp(min=1)
        metrics = {"nll": nll}
        if prediction.done_logit is not None:
            metrics["done"] = done_loss(prediction.done_logit.float(), chunk.fatal, self.training.done_weight).mean()
        if prediction.reward is not None:
            error = torch.nn.functional.mse_loss(prediction.reward.float(), chunk.rewards)
            metrics["reward"] = self.training.reward_weight * error
        loss = torch.stack(list(metrics.values())).sum()
        return loss, metrics, (state.hidden.detach().float(), state.cell.detach().float())

    def _drop(self, latents: torch.Tensor, step: int) -> torch.Tensor:
        """Latents (B, L, Z) of which M sees a part; the rest is scaled up for it."""
        share = self.training.dropout
        if share == 0:
            return latents
        source = torch.Generator().manual_seed(integer_seed(*self.words, "dropout", step))
        seen = torch.rand(latents.shape, generator=source).to(self.device) >= share
        return latents * seen / (1 - share)

    def _sample(self, chunk: StreamBatch[torch.Tensor], step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw z from its posterior anew, and the target at t equal to the input at t + 1 where both are in the chunk."""
        source = torch.Generator().manual_seed(integer_seed(*self.words, step))
        shape = (chunk.means.shape[0], chunk.means.shape[1] + 1, chunk.means.shape[2])
        noise = torch.randn(shape, generator=source).to(self.device)  # (B, L + 1, Z)
        latents = sample_latents(chunk.means, chunk.log_variances, noise[:, :-1])
        targets = sample_latents(chunk.next_means, chunk.next_log_variances, noise[:, 1:])
        return latents, targets


@torch.inference_mode()
def death_scores(mdn_rnn: MDNRNN, latents: Latents, episodes: np.ndarray, device: torch.device) -> dict[str, float]:
    """Precision and recall of "p(death) > 0.5" over the steps of `episodes`, with the counts behind them.

    Recall counts the fatal step alone; `recall_within_5` also counts an alarm up to five steps early.
    """
    counts = {"episodes": len(episodes), "deaths": 0, "hits": 0, "near_hits": 0, "alarms": 0, "early_alarms": 0}
    mdn_rnn.eval()
    for episode in episodes:
        rows = slice(latents.episode_offsets[episode], latents.episode_offsets[episode + 1])
        alarms = _alarms(mdn_rnn, latents, rows, device)  # (T,) bool
        died = bool(latents.deaths[episode])
        counts["deaths"] += died
        counts["hits"] += bool(died and alarms[-1])
        counts["near_hits"] += bool(died and alarms[-6:].any())
        counts["alarms"] += int(alarms.sum())
        counts["early_alarms"] += int(alarms[-6:-1].sum()) if died else 0
    return {**counts, **_ratios(counts)}


def _ratios(counts: dict[str, int]) -> dict[str, float]:
    alarms, deaths = max(counts["alarms"], 1), max(counts["deaths"], 1)
    return {
        "precision": round(counts["hits"] / alarms, 4),
        "recall": round(counts["hits"] / deaths, 4),
        "precision_within_5": round((counts["hits"] + counts["early_alarms"]) / alarms, 4),
        "recall_within_5": round(counts["near_hits"] / deaths, 4),
    }


def _alarms(mdn_rnn: MDNRNN, latents: Latents, rows: slice, device: torch.device) -> np.ndarray:
    means = torch.from_numpy(latents.means[rows].astype(np.float32)).to(device)[None]  # (1, T, Z)
    actions = torch.from_numpy(latents.actions[rows]).to(device)[None]
    restarts = torch.zeros(means.shape[:2], device=device)
    restarts[:, 0] = 1
    logits = mdn_rnn(means, actions, restarts)[0].done_logit
    return (logits[0] > 0).cpu().numpy()


def main(arguments: list[str]) -> int:
    """Command line."""
    return run_stage(TrainMDNRNN, arguments)
