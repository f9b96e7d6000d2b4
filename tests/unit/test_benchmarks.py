"""What benchmarks count by: operations of an update, deaths in a thousand tics, and the numbers of threads that rates are measured with."""

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from worldmodels.__main__ import main
from worldmodels.benchmarks.honesty import deaths_per_thousand
from worldmodels.benchmarks.scaling import thread_counts
from worldmodels.benchmarks.simulators import operations_per_update, update_of
from worldmodels.config.simulators import RESOptions, SimulatorTraining

SMALL = {
    **{"height": 42, "width": 42, "channels": 1, "hidden_size": 64, "fusion_size": 64},
    "convolutions": [{"channels": 8, "kernel": kernel, "padding": [1, 1]} for kernel in (8, 6)],
}


@pytest.mark.parametrize(
    ("scheme", "warm_up_gradient", "model"),
    [
        ("0%PDT", 0, {}),
        ("100%PDT", 0, {}),
        ("46%PDT", 10, {}),
        ("100%PDT", 6, {"feedback": "hidden", "separate_weights": True}),
    ],
)
def test_operations_of_an_update_are_those_that_torch_counts(scheme, warm_up_gradient, model):
    """Shares of a matrix product's rate rest on this formula. It leaves out what is no product, and counts the first layer's twice."""
    training = SimulatorTraining(
        model=RESOptions(**SMALL, **model),
        scheme=scheme,
        warm_up_gradient=warm_up_gradient,
        batch_size=2,
        precision="fp32",
    )
    update = update_of(training, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        update()
    assert operations_per_update(training) == pytest.approx(counter.get_total_flops(), rel=0.1)


@pytest.mark.parametrize(
    ("cores", "counts"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (64, [1, 2, 4, 8, 16, 32, 64])]
)
def test_threads_double_up_to_all_cores(cores, counts):
    assert thread_counts(cores) == counts


def test_benchmarks_are_named_in_the_help_and_a_wrong_name_gets_the_nearest(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["benchmark", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "[NAME ...]" in shown and "studies: honesty, parity, rhythm, yoked" in shown
    assert main(["benchmark", "vae", "yokd"]) == 1
    printed = capsys.readouterr()
    assert "there is no benchmark 'yokd'. Did you mean 'yoked'?" in printed.err and not printed.out, (
        "nothing was measured"
    )


def test_deaths_in_a_thousand_tics():
    """Three episodes: deaths after 50 and 150 tics, and none within 400."""
    lengths = np.array([50, 150, 401])
    assert deaths_per_thousand(lengths, 0, 100) == pytest.approx(1000 / 250)
    assert deaths_per_thousand(lengths, 100, 400) == pytest.approx(1000 / 350)
    assert deaths_per_thousand(lengths, 0, 400) == pytest.approx(2000 / 600)
    assert deaths_per_thousand(lengths[:2], 200, 400) is None
