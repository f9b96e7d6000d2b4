"""Experiments with simulators in config.yaml: what they amount to, where they write, and errors that name plain keys."""

from pathlib import Path
from typing import get_args

import pytest

from worldmodels.config import simulator_blocks, simulator_files, simulator_products
from worldmodels.config.acvp_presets import CURRICULA, STEPS
from worldmodels.config.jobs import experiment_jobs
from worldmodels.config.load import experiment_options, load_config, read_yaml
from worldmodels.config.simulator_experiments import Curriculum, CurriculumStage
from worldmodels.config.simulator_presets import PRESETS
from worldmodels.errors import UserError

JOINT_TABLE = (
    *("res", "res-mixed", "res-independent", "acvp-recurrent", "acvp-feed-forward", "acvp-paper", "acvp-compression"),
    *("vae-mdn-rnn", "copy-last", "mean-frame"),
)
ONE_ROW = {"acvp-feed-forward": {"curriculum": "acvp-feed-forward-laptop", "stage": "5-step-reward"}}
CONFIG_FILE = Path(__file__).parents[2] / "config.yaml"


@pytest.fixture(scope="module")
def config():
    return load_config(CONFIG_FILE)


@pytest.fixture
def raw():
    return read_yaml(CONFIG_FILE)


def test_paper_experiment_is_the_papers(config):
    """Ten games, eight schemes and Oh's phases, every structure of the parameter table, all at the paper's step size."""
    options = config.simulator_experiments["atari-res"]
    assert len(options.games) == 10 and options.evaluation.sequences == 10_000 and options.evaluation.horizon == 100
    rows = options.simulators
    assert rows["pdt-0-100"].training == PRESETS["res"]()
    assert rows["independent"].training == PRESETS["res-independent"]()
    assert len({row.scheme for row in rows.values()}) == 9
    structures = {row.model.structure for row in rows.values()}
    assert len(structures) == 9, "all of them but the open implementation's"
    assert {row.optimiser for row in rows.values()} == {"centred-rmsprop"}
    assert {row.learning_rate for row in rows.values()} == {1e-5}


def test_row_takes_from_its_preset_then_from_training_then_says_itself(raw):
    raw["simulator_experiments"]["mine"] = {
        "dataset": "atari-laptop",
        "games": ["pong"],
        "training": {"preset": "res-laptop", "updates": 7, "model": {"hidden_size": 32}},
        "simulators": {
            "one": {"model": {"fusion_size": 8}},
            "two": {"preset": "res", "updates": 9},
            "three": None,
        },
    }
    rows = load_config(raw).simulator_experiments["mine"].simulators
    assert (rows["one"].updates, rows["one"].model.hidden_size, rows["one"].model.fusion_size) == (7, 32, 8)
    assert rows["one"].model.subtract == "pixel-mean" and rows["three"].updates == 7
    two = rows["two"]
    assert (two.updates, two.optimiser, two.model.height) == (9, "centred-rmsprop", 210)


def test_curriculum_becomes_a_chain_of_trainings(config):
    """One entry; its stages go on from one another, and only the last is a row of the table, unless all are asked for."""
    options = config.simulator_experiments["atari-acvp"]
    for name, earlier_scored in (("acvp-paper", False), ("acvp-recurrent", True)):
        chain = options.chain(name)
        assert chain == [f"{name}.1-step", f"{name}.3-step", f"{name}.5-step", name]
        stages = [options.simulators[stage] for stage in chain]
        assert [stage.training for stage in stages] == [*CURRICULA[name](18).values()]
        assert [stage.scored for stage in stages] == [*[earlier_scored] * 3, True]
    assert list(options.scored) == [
        *(
            *(f"acvp-recurrent{stage}" for stage in (".1-step", ".3-step", ".5-step", "")),
            *(f"acvp-feed-forward{stage}" for stage in (".1-step", ".3-step", ".5-step", "")),
            "acvp-no-action",
            "acvp-perceptron",
            "acvp-paper",
            "acvp-compression",
            "copy-last",
            "mean-frame",
        )
    ]
    place = {"experiment": "atari-acvp", "game": "ms-pacman", "seed": "1", "simulator": "acvp-recurrent"}
    assert simulator_files.training_inputs(config, place)["start_from"] == [
        "results/atari-acvp/ms-pacman/seed-1/simulators/acvp-recurrent.5-step/weights.safetensors"
    ]
    scored = simulator_files.simulator_files(config, "atari-acvp", "horizon.h5", "ms-pacman")
    assert [path.split("/")[-2] for path in scored] == [*options.scored]


def test_chain_may_begin_at_another_simulator(config):
    """The re-implementation's `compression` starts from `paper`'s weights."""
    options = config.simulator_experiments["atari-acvp-smoke"]
    assert options.chain("acvp-compression") == ["acvp-paper", "acvp-compression"]
    assert options.simulators["acvp-compression"].continues and not options.simulators["acvp-paper"].continues


def test_equal_simulators_are_taken_over(config, raw):
    """`models_from`: not trained again where name, training and frames are the same, nor scored where scoring is too."""
    folder = "results/{}/ms-pacman/seed-1/simulators/{}/weights.safetensors"
    files = simulator_files.simulator_files(
        config, "simulators-laptop", "weights.safetensors", "ms-pacman", only_first=True
    )
    own = ("res", "res-mixed", "res-independent", "vae-mdn-rnn")
    owners = {name: "simulators-laptop" if name in own else "atari-acvp-laptop" for name in JOINT_TABLE}
    assert files == [folder.format(owner, name) for name, owner in owners.items()]
    trained = [job for job in experiment_jobs(config, "simulators-laptop") if job.stage == "train_simulator"]
    assert {job.owner for job in trained if job.place["simulator"].startswith("acvp-paper")} == {"atari-acvp-laptop"}


@pytest.mark.parametrize(
    ("change", "trained", "scored"),
    [
        ({}, "atari-acvp-laptop", "atari-acvp-laptop"),
        ({"evaluation": {"sequences": 7}}, "atari-acvp-laptop", "mine"),
        ({"training_seeds": [1, 2]}, "mine", "mine"),
        ({"training": {"updates": 3}}, "mine", "mine"),
        ({"dataset": "atari-dqn-laptop"}, "mine", "mine"),
        ({"dataset": "atari-dqn-laptop", "training": {"dataset": "atari-laptop"}}, "atari-acvp-laptop", "mine"),
    ],
)
def test_weights_and_errors_are_shared_each_where_they_are_the_same(raw, change, trained, scored):
    raw["simulator_experiments"]["mine"] = {
        "extends": "simulators-laptop",
        "games": ["ms_pacman"],
        "simulators": ONE_ROW,
        **change,
    }
    config = load_config(raw)
    assert simulator_files.weights_owner(config, "mine", "acvp-feed-forward") == trained
    assert simulator_files.errors_owner(config, "mine", "acvp-feed-forward") == scored
    folder = "ms-pacman/seed-1/simulators/acvp-feed-forward"
    [errors] = simulator_files.simulator_files(config, "mine", "horizon.h5", only_first=True)
    assert errors == f"results/{scored}/{folder}/horizon.h5"
    [job] = [
        job for job in experiment_jobs(config, "mine") if job.stage == "evaluate_simulator" and job.place["seed"] == "1"
    ]
    assert job.outputs == (errors,) and f"results/{trained}/{folder}/weights.safetensors" in job.inputs
    assert simulator_files.scored_weights(config, job.place) in job.inputs


def test_rows_may_learn_from_frames_of_their_own(config):
    """Random games against an agent's: each row is trained on its own frames, and all are scored on the same ones."""
    name = "atari-acvp-laptop-data"
    options = config.simulator_experiments[name]
    jobs = experiment_jobs(config, name)
    for simulator, dataset in (("acvp-paper-random", "atari-laptop"), ("acvp-paper", "atari-a2c-laptop")):
        for one in options.chain(simulator):
            [job] = [job for job in jobs if job.stage == "train_simulator" and job.place["simulator"] == one]
            shards = [path for path in job.inputs if "/data/" in path]
            assert shards == [f"results/data/{dataset}-ms-pacman/train-{shard:03d}.h5" for shard in range(5)], one
        [job] = [job for job in jobs if job.stage == "evaluate_simulator" and job.place["simulator"] == simulator]
        assert "results/data/atari-a2c-laptop-ms-pacman/test-000.h5" in job.inputs
    assert options.datasets["atari-laptop"] == [
        f"acvp-{name}-random" for name in ("feed-forward", "no-action", "paper")
    ]
    # The same games' test frames of random play are no input of anything, and the agent is trained once.
    outputs = [path for job in jobs for path in job.outputs]
    assert "results/data/atari-laptop-ms-pacman/test-000.h5" not in outputs and len(outputs) == len(set(outputs))
    assert [job.place for job in jobs if job.stage == "train_agent"] == [{"agent": "a2c-laptop", "game": "ms-pacman"}]
    paper = config.simulator_experiments["atari-acvp-data"]
    owners = {row: simulator_files.errors_owner(config, "atari-acvp-data", row) for row in paper.scored}
    assert owners["acvp-paper"] == "atari-acvp" and owners["acvp-paper-random"] == "atari-acvp-data"


def test_names_of_curricula_are_those_there_are():
    assert set(get_args(Curriculum)) == set(CURRICULA) and set(get_args(CurriculumStage)) == set(STEPS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"simulators": {"a": {"curriculum": "acvp-recurent"}}}, r"a.curriculum is 'acvp-recurent', but: .*'acvp-recurrent'"),
        (
            {"simulators": {"a": {"curriculum": "acvp-papr", "model": {"drawing_channels": [4]}}}},
            r"a.curriculum is 'acvp-papr', but: .*'acvp-paper'",
        ),
        ({"simulators": {"a": {"curriculum": ["acvp-paper"]}}}, r"mine.simulators.a.curriculum is \['acvp-paper'\]"),
        ({"simulators": {"a": {"curriculum": "acvp-paper", "stage": "2-step"}}}, r"a.stage is '2-step', but: .*'3-step'"),
        ({"simulators": {"a": {"after": "b"}}}, r"a goes on after 'b', which is no simulator of this experiment"),
        ({"simulators": {"a": {"after": "b"}, "b": {"after": "a"}}}, r"a goes on after itself: a after b after a"),
        (
            {"simulators": {"a": {"preset": "res-laptop"}, "b": {"preset": "res-laptop", "after": "a", "model": {"hidden_size": 8}}}},
            r"b cannot go on from the weights of 'a' \(its hidden_size is 256, here 8\): give both the same model options",
        ),
        (
            {"simulators": {"a": {"preset": "res-laptop"}, "b": {"preset": "copy-last", "after": "a"}}},
            r"b cannot go on from the weights of 'a' \(it is a RESOptions, here CopyLastOptions\)",
        ),
        ({"simulators": {"a": {"continues": True}}}, r"a has continues: True, but after: None: set both or none"),
        ({"simulators": {"a": {"scored": False}}}, r"no simulator is scored: the table would be empty"),
        ({"simulators": {"a": {"score_stages": True}}}, r"a.*score_stages: true needs a curriculum"),
        ({"training": {"updtes": 3}}, r"unknown key simulator_experiments.mine.training.updtes. Did you mean 'updates'"),
        (
            {"simulators": {"a": {"scheme": "12%PDT"}}},
            r"simulator_experiments.mine.simulators.a.scheme is '12%PDT', but: Input should be '0%PDT'",
        ),
        ({"training": {"preset": "res-lapto"}}, r"mine.training.preset is 'res-lapto', but: .*'res-laptop'"),
        ({"games": ["pongg"]}, r"mine.games.0 is 'pongg', but: there is no such game; did you mean 'pong'"),
        ({"games": ["asterix"]}, r"mine.games has asterix, but atari_datasets.atari-res has bowling"),
        ({"simulators": {"a": {"dataset": "atari-ress"}}}, r"mine.simulators.a.dataset is 'atari-ress', but the Atari data sets are"),
        (
            {"simulators": {"a": {"dataset": "atari-pong2"}}},
            r"mine.simulators.a.games has bowling, but atari_datasets.atari-pong2 has pong",
        ),
        ({"dataset": "atari-ress"}, r"mine.dataset is 'atari-ress', but the Atari data sets are"),
        ({"models_from": "mine"}, r"simulator_experiments.mine.models_from is 'mine', but it must be another of the experiments"),
        ({"models_from": "simulators"}, r"mine.models_from is 'simulators', which has no models of its own; name 'atari-acvp'"),
        ({"extends": "atari-rez"}, r"simulator_experiments.mine.extends is 'atari-rez'.* Did you mean 'atari-res'"),
        ({"simulators": {"a": {"model": {"actions": 6}}}}, r"a.model.actions is 6, but atari_datasets.atari-res has all 18"),
        ({"agent_play": {"simulators": ["pdt-1"]}}, r"agent_play.simulators has 'pdt-1', but the rows are pdt-0, "),
        (
            {"simulators": {"a": {"preset": "mean-frame"}}, "agent_play": {"simulators": ["a"]}},
            r"agent_play.simulators has 'a', which shows no frames that an agent could play by",
        ),
        (
            {"agent_play": {"simulators": ["pdt-0"], "agent": "dqm"}},
            r"mine.agent_play.agent is 'dqm', but it must be a file \*.safetensors, or one of the agents a2c,",
        ),
        (
            {"dataset": "atari-laptop", "agent_play": {"simulators": ["pdt-0"]}},
            r"mine.agent_play.agent must name an agent, since atari_datasets.atari-laptop is played at random",
        ),
        ({"evaluation": {"horizn": 5}}, r"unknown key simulator_experiments.mine.evaluation.horizn. Did you mean 'horizon'"),
    ],
)  # fmt: skip
def test_mistake_is_named_where_it_was_written(raw, change, message):
    raw["simulator_experiments"]["mine"] = {"extends": "atari-res", **change}
    with pytest.raises(UserError, match=message):
        load_config(raw)


def test_name_of_another_experiment_is_refused(raw):
    """Both would write into one folder."""
    raw["simulator_experiments"]["doom"] = {"extends": "atari-res"}
    with pytest.raises(UserError, match=r"simulator_experiments.doom has the name of an experiment"):
        load_config(raw)


def test_unknown_names_get_the_nearest(config):
    with pytest.raises(UserError, match=r"no experiment 'atari-res-smok'. Did you mean 'atari-res-smoke'"):
        experiment_options(config, "atari-res-smok")
    with pytest.raises(UserError, match=r"no simulator 'pdt-0-10'. Did you mean 'pdt-0-100'"):
        simulator_files.simulator_entry(config, "atari-res-smoke", "pdt-0-10")
    with pytest.raises(UserError, match=r"no game 'pomg'. Did you mean 'pong'"):
        simulator_files.game_dataset(config, "atari-res-smoke", "pomg")
    with pytest.raises(
        UserError, match=r"no figure 'eror'; it has error, training, speed, schemes, frames, agent, strip-pong"
    ):
        simulator_products.figure_inputs(config, "atari-res-smoke", "eror")


def test_agent_inside_is_the_named_one_or_the_data_sets(config):
    """Scores and films lie with the experiment that says so, whoever trained the simulators."""
    inside = [
        job for job in experiment_jobs(config, "atari-res-laptop-agent") if job.stage in ("play_agent", "train_agent")
    ]
    assert [job.stage for job in inside] == ["train_agent", "play_agent", "play_agent"]
    folder = "results/atari-res-laptop-agent/ms-pacman/seed-1"
    assert inside[1].inputs == (
        f"{folder}/simulators/pdt-0-100/weights.safetensors",
        "results/agents/a2c-laptop/ms-pacman/agent.safetensors",
    )
    assert inside[1].outputs == tuple(f"{folder}/agent/pdt-0-100.{suffix}" for suffix in ("csv", "mp4", "h5"))
    paper = [job for job in experiment_jobs(config, "atari-res") if job.stage == "play_agent"]
    assert len(paper) == 10 * 3 and paper[0].inputs[1] == "results/agents/dqn/bowling/agent.safetensors"
    assert paper[0].block.chain_periods == [1, 5, 10, 50, 100] and paper[0].block.task.actions == "full"
    with pytest.raises(UserError, match="no agent acts inside the simulators of 'atari-res-grey'"):
        simulator_files.agent_play_of(config, "atari-res-grey")


def test_saliency_is_drawn_where_an_agent_sees_predictions(config, raw):
    """A figure a game, of the first training seed and of all simulators in which the agent acts."""
    assert simulator_products.figure_inputs(config, "atari-res-smoke", "saliency-pong") == {
        "moments": [f"results/atari-res-smoke/pong/seed-1/agent/{name}.h5" for name in ("pdt-0-100", "independent")],
        "acting": ["results/agents/dqn-smoke/pong/agent.safetensors"],
    }
    assert not [name for name in simulator_products.figure_names(config, "atari-res-grey") if "saliency" in name]
    play = {"agent": "dqn-smoke", "simulators": ["pdt-0"], "chain_periods": [1]}
    raw["simulator_experiments"]["mine"] = {"extends": "atari-res-smoke", "agent_play": play, "training_seeds": [4, 2]}
    assert "saliency-pong" not in simulator_products.figure_names(load_config(raw), "mine"), "all frames are real"
    play["chain_periods"] = [1, 2]
    several = load_config(raw)
    assert "saliency-pong" in simulator_products.figure_names(several, "mine")
    kept = simulator_products.figure_inputs(several, "mine", "saliency-pong")["moments"]
    assert kept == ["results/mine/pong/seed-4/agent/pdt-0.h5"]


def test_scoring_reads_other_frames_than_training(config):
    place = {"experiment": "atari-res", "game": "pong", "seed": "1", "simulator": "pdt-0"}
    train = simulator_files.training_inputs(config, place)["shards"]
    test = simulator_files.test_shards(config, "atari-res", "pong")
    assert (len(train), len(test)) == (50, 10) and not set(train) & set(test)
    online = simulator_files.training_inputs(
        config, {**place, "experiment": "atari-res-online-smoke", "simulator": "pdt-0-100"}
    )
    assert online == {"agent": ["results/agents/dqn-smoke/pong/agent.safetensors"]}


def test_blocks_change_only_with_what_they_depend_on(config):
    """More sequences to score on must not train anything again; another game's training is the same block."""
    place = {"experiment": "atari-res-smoke", "game": "pong", "seed": "1", "simulator": "independent"}
    before = simulator_blocks.simulator_block(config, "train_simulator", place).canonical_json()
    content = read_yaml(CONFIG_FILE)
    content["simulator_experiments"]["atari-res-smoke"]["evaluation"]["sequences"] = 7
    content["simulator_experiments"]["atari-res-smoke"]["title"] = "another"
    changed = load_config(content)
    assert simulator_blocks.simulator_block(changed, "train_simulator", place).canonical_json() == before
    block = simulator_blocks.simulator_block(changed, "evaluate_simulator", place)
    assert block.sequences == 7
