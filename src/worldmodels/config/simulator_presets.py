"""Named trainings of recurrent simulators: the paper's, a laptop's, and the two open implementations'.

The open implementations changed the model; what they got wrong is mended here, and listed with each.
"""

from worldmodels.config.simulators import RESOptions, SimulatorTraining
from worldmodels.config.vae_mdn_rnn import VAEMDNRNNOptions
from worldmodels.config.video import convolution


def res(actions: int = 18) -> SimulatorTraining:
    """The paper's baseline (Chiappa et al. 2017), on 210x160 colour frames; its scheme is the caller's."""
    return SimulatorTraining(model=RESOptions(actions=actions))


def res_independent(actions: int = 18) -> SimulatorTraining:
    """The paper's prediction-independent simulator (section 4): BPTT(15, 2), gradients back to step 5."""
    model = RESOptions(actions=actions, feedback="hidden", separate_weights=True)
    return SimulatorTraining(model=model, scheme="100%PDT", subsequences=2, warm_up_gradient=6)


def res_laptop(actions: int = 18) -> SimulatorTraining:
    """84x84 grey frames, an eighth to a half of the widths, and Adam: thousands of updates where the paper has half a million.

    Each pixel's mean is taken off, not only the channel's: with the latter, 220 updates on Pong learned little but the background.
    First weights keep signals alike: with Torch's the first prediction differs by 0.00001 between frames (0.01 with these), and
    150 updates leave an error of 0.21 thousandths one step ahead on Pong (0.15 with these; the last frame copied: 0.17).
    The gradient's square is forgotten as fast as by the paper's RMSProp: 150 updates after 0%-100%PDT fed predictions back,
    Adam's usual memory had raised that error from 0.145 to 0.187 thousandths; with this one it was 0.152.
    """
    convolutions = [convolution(16, 8, 1, 1), convolution(16, 6, 1, 1), convolution(16, 6, 1, 1)]  # 40, 19, 8
    model = RESOptions(
        height=84,
        width=84,
        channels=1,
        actions=actions,
        convolutions=convolutions,
        hidden_size=256,
        fusion_size=256,
        subtract="pixel-mean",
        first_weights="he",
    )
    return SimulatorTraining(
        model=model,
        updates=4000,
        optimiser="adam",
        learning_rate=1e-3,
        final_learning_rate_fraction=0.1,
        gradient_clip=1.0,
        adam_square_decay=0.95,
        scheme_scale=0.1,
    )


def res_grey(actions: int = 18) -> SimulatorTraining:
    """84x84 grey frames, as hmightypirate/recurrent-simulator: 15 steps of warm-up, 10 observed, 15 predicted, squared error.

    Kept: its four convolutions and full layer of 512 with ReLU, and v = h * (W a), without a matrix on h.
    Mended: grey is the luminance of red, green and blue, where theirs swapped the weights of green and blue; the loss is
    summed over pixels without the unit noise that they computed and left out.
    """
    convolutions = [convolution(32, 4), convolution(32, 3), convolution(32, 2, stride=1), convolution(64, 3)]
    model = RESOptions(
        height=84,
        width=84,
        channels=1,
        actions=actions,
        convolutions=convolutions,
        encoder_units=512,
        hidden_size=512,
        fusion_size=512,
        structure="hidden-times-action",
        activation="relu",
    )
    return SimulatorTraining(model=model, warm_up=15, subsequence=25, scheme="60%PDT")


def res_two_class_pong(actions: int = 6) -> SimulatorTraining:
    """96x96 Pong in two classes, as KokoMind/Recurrent-Environment-Simulators: cross-entropy and a reward head.

    Kept: a chunk of 15 frames of warm-up and two of 8 observed and 7 predicted steps; the paper's widths.
    Mended: no batch normalisation and no dropout, which in a model that is fed its own output behave differently in training
    and in use; the optimiser is the paper's, with its momentum and centring; the batch is 16, not 4; it is tested
    over the whole horizon, not on 4 frames; its reward head reads the hidden state, so that imagining needs no drawing.
    """
    model = RESOptions(
        height=96,
        width=96,
        channels=1,
        actions=actions,
        convolutions=[convolution(64, 8, 1, 1), convolution(32, 6, 1, 1), convolution(32, 6, 1, 1), convolution(32, 4)],
        pixels="two-class",
        predict_reward=True,
    )
    return SimulatorTraining(model=model, warm_up=15, subsequence=15, subsequences=2, scheme="46%PDT")


def vae_mdn_rnn_vision(actions: int = 18) -> SimulatorTraining:
    """V of World Models (Ha & Schmidhuber 2018), on single frames: 128 a batch, about 1.3 M in all. M comes after it."""
    model = VAEMDNRNNOptions(actions=actions)
    return SimulatorTraining(
        **{"model": model, "updates": 10_000, "batch_size": 16, "warm_up": 1, "subsequence": 8, "scheme": "0%PDT"},
        **{"optimiser": "adam", "learning_rate": 1e-3, "final_learning_rate_fraction": 0.05},
    )


def vae_mdn_rnn(actions: int = 18) -> SimulatorTraining:
    """M of World Models, on the latents of a trained V: 32 windows of 64 steps a batch."""
    model = VAEMDNRNNOptions(actions=actions, learns="memory")
    return SimulatorTraining(
        **{"model": model, "updates": 20_000, "batch_size": 32, "warm_up": 1, "subsequence": 64, "scheme": "0%PDT"},
        **{"optimiser": "adam", "learning_rate": 1e-3, "final_learning_rate_fraction": 0.05, "gradient_clip": 1.0},
    )


PRESETS = {
    "res": res,
    "res-independent": res_independent,
    "res-laptop": res_laptop,
    "res-grey": res_grey,
    "res-two-class-pong": res_two_class_pong,
    "vae-mdn-rnn-vision": vae_mdn_rnn_vision,
    "vae-mdn-rnn": vae_mdn_rnn,
}
"""By name; each takes the number of actions."""
