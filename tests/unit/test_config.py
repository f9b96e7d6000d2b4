"""The configuration: inheritance, checks, and what each stage's block contains."""

import json
import math
from pathlib import Path

import pytest

from worldmodels.config import blocks, dag, job, jobs
from worldmodels.config.jobs import experiment_jobs
from worldmodels.config.key_places import config_key
from worldmodels.config.load import experiment_options, load_config, read_yaml
from worldmodels.errors import UserError

CONFIG_FILE = Path(__file__).parents[2] / "config.yaml"


@pytest.fixture
def raw():
    return read_yaml(CONFIG_FILE)


def test_paper_experiment_has_the_papers_numbers():
    """Without options, an experiment is the paper's: a silent change of a default would falsify every table."""
    options = experiment_options(load_config(CONFIG_FILE), "doom")
    evolution = options.evolution
    assert (evolution.population, evolution.rollouts, evolution.sigma0) == (64, 16, 0.1)
    assert evolution.generations >= 200
    assert (options.vae.epochs, options.vae.batch_size, options.vae.learning_rate) == (1, 100, 1e-4)
    assert options.evaluation.episodes >= 1000
    dataset = load_config(CONFIG_FILE).datasets["doom-random"]
    assert dataset.shards * dataset.episodes_per_shard == 10_000
    assert dataset.task.screen_resolution == "640x480"
    assert dataset.task.skill == 4


def test_child_takes_what_it_does_not_say_from_its_parent(raw):
    raw["experiments"]["mine"] = {"extends": "doom-laptop", "mdn_rnn": {"epochs": 3}}
    config = load_config(raw)
    mine, parent = config.experiments["mine"], config.experiments["doom-laptop"]
    assert mine.mdn_rnn.epochs == 3
    assert mine.mdn_rnn.streams == parent.mdn_rnn.streams
    assert mine.evolution == parent.evolution


def test_variants_replace_the_parents_rows(raw):
    """A child that names one row must not drag along five that nobody asked for."""
    raw["experiments"]["mine"] = {"extends": "doom", "variants": {"warm": {"temperature": 1.2}}}
    assert list(load_config(raw).experiments["mine"].variants) == ["warm"]


AGENT = {"name": "agent", "random_policy": {"name": "uniform"}}


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("experiments", "doom", "vae", "epohcs"), 1, ["experiments.doom.vae.epohcs", "epochs"]),
        (("experiments", "doom", "vae", "epochs"), -1, ["experiments.doom.vae.epochs", "-1", "greater than 0"]),
        (("experiments", "doom", "dataset"), "dom-random", ["dom-random", "doom-random"]),
        (("experiments", "doom", "variants", "hot"), {"temperature": 99}, ["variants.hot.temperature", "99"]),
        (("experiments", "doom-laptop", "extends"), ["doom"], ["doom-laptop.extends is ['doom']", "the name of one"]),
        (
            ("experiments", "doom-smoke", "mdn_rnn", "model"),
            {"action_size": 3},
            ["doom-smoke.mdn_rnn.model.action_size is 3", "take_cover (dataset doom-random-smoke) has 1"],
        ),
        (
            ("experiments", "doom-smoke-selection", "models_from"),
            "carracing-smoke",
            ["doom-smoke-selection plays take_cover", "'carracing-smoke', which plays car_racing"],
        ),
        (("experiments", "doom-laptop", "extends"), "dom", ["doom-laptop.extends", "Did you mean 'doom'"]),
        (("experiments", "doom-laptop-seeds", "models_from"), "nobody", ["models_from", "nobody"]),
        (("datasets", "doom-random", "task"), {"name": "atari"}, ["doom-random.task is 'atari'", "'car_racing'."]),
        (
            ("datasets", "carracing-random", "task", "backnd"),
            "envpool",
            ["unknown key datasets.carracing-random.task.car_racing.backnd. Did you mean 'backend'?"],
        ),
        (("datasets", "doom-random", "policy"), {"name": "helt"}, ["policy is 'helt'", "Did you mean 'held'?"]),
        (
            ("datasets", "carracing-agent", "policy", "experiment"),
            "carracng",
            ["carracing-agent.policy.experiment is 'carracng'"],
        ),
        (
            ("datasets", "carracing-agent", "policy", "variant"),
            "random",
            ["variant is 'random'", "are: z-h, z-only, z-hidden"],
        ),
        (("datasets", "carracing-agent", "policy", "training_seed"), 9, ["training_seed is 9", "[1, 2, 3]"]),
        (
            ("datasets", "carracing-agent", "policy"),
            {**AGENT, "experiment": "doom", "variant": "tau-1.15"},
            ["datasets.carracing-agent.task.name is 'car_racing', but the agents of doom know 'take_cover'"],
        ),
        (
            ("datasets", "carracing-agent", "policy"),
            {**AGENT, "experiment": "carracing-dream-agent", "variant": "dream"},
            ["its agent learns from itself (carracing-agent <- carracing-agent)"],
        ),
        (("datasets", "carracing-agent", "policy", "epsilom"), 0.1, ["policy.agent.epsilom. Did you mean 'epsilon'?"]),
        (("datasets", "carracing-agent", "policy", "latent"), "mean", ["latent is 'mean'", "with 'sample'"]),
        (
            ("datasets", "carracing-agent", "task", "preprocessing"),
            "released",
            ["preprocessing is 'released'", "know 'resize'"],
        ),
        (
            ("experiments", "carracing-smoke", "evolution", "short_episodes"),
            {"steps": 500},
            ["short_episodes.steps is 500", "end after 80"],
        ),
        (("datasets", "doom-random", "task", "screen_resolution"), "1x1", ["screen_resolution", "1x1"]),
        (("experiments", "doom", "mdn_rnn", "model"), {"latent_size": 32}, ["latent_size", "32", "64"]),
        (("experiments", "doom", "training_seeds"), [1, 1], ["training_seeds", "twice"]),
    ],
)
def test_bad_entry_is_named_with_its_path_its_value_and_what_is_allowed(raw, path, value, words):
    place = raw
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[path[-1]] = value
    with pytest.raises(UserError) as caught:
        load_config(raw)
    for word in words:
        assert word in str(caught.value)


def test_circle_of_parents_is_found(raw):
    raw["experiments"]["doom"]["extends"] = "doom-laptop"
    with pytest.raises(UserError, match="circle"):
        load_config(raw)


def test_unknown_experiment_suggests_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'doom-laptop'"):
        experiment_options(load_config(CONFIG_FILE), "doom-latop")


def test_more_shards_leave_the_existing_ones_alone(raw):
    """The number of shards must not be in a shard's block, or asking for more would collect all of them again."""
    before = blocks.shard_block(load_config(raw).datasets["doom-random"]).canonical_json()
    raw["datasets"]["doom-random"]["shards"] = 1000
    assert blocks.shard_block(load_config(raw).datasets["doom-random"]).canonical_json() == before


def test_evolution_options_reach_only_stages_that_use_them(raw):
    def texts():
        config = load_config(raw)
        options = config.experiments["doom"]
        simple = {
            stage: blocks.simple_block(stage, config, options).canonical_json()
            for stage in ("train_vae", "encode_latents", "train_mdn_rnn")
        }
        return simple, blocks.evolve_block(config, options, "tau-1.15").canonical_json()

    before = texts()
    raw["experiments"]["doom"]["evolution"] = {"sigma0": 0.2}
    after = texts()
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_block_travels_through_the_command_line_unchanged():
    config = load_config(CONFIG_FILE)
    block = blocks.evaluate_block(config, config.experiments["doom"], "random")
    assert blocks.parse_block(blocks.EvaluateControllerBlock, block.canonical_json()) == block
    with pytest.raises(UserError, match="not valid JSON"):
        blocks.parse_block(blocks.EvaluateControllerBlock, "{")
    with pytest.raises(UserError, match="unknown"):
        blocks.parse_block(blocks.TrainVAEBlock, json.dumps({"training": {}, "unknown": 1}))


def test_same_controller_is_taken_over_and_another_is_not():
    """doom-laptop-temperatures must not evolve tau 1.15 of seed 1 a second time, and must evolve tau 0.10 itself."""
    config = load_config(CONFIG_FILE)
    assert dag.controller_owner(config, "doom-laptop-temperatures", "tau-1.15") == "doom-laptop"
    assert dag.controller_owner(config, "doom-laptop-temperatures", "random") == "doom-laptop"
    assert dag.controller_owner(config, "doom-laptop-temperatures", "tau-0.10") == "doom-laptop-temperatures"
    assert dag.models_folder(config, "doom-laptop-temperatures", 2) == "results/doom-laptop/seed-2"


@pytest.mark.parametrize(
    ("experiment", "owner", "variant"),
    [("doom-laptop-drawn", "doom-laptop", "tau-1.15"), ("carracing-laptop-envpool", "carracing-laptop", "z-h")],
)
def test_an_agent_scored_in_another_way_is_the_same_agent(experiment, owner, variant):
    config = load_config(CONFIG_FILE)
    assert dag.agent_controller(config, experiment, variant, 1) == (
        f"results/{owner}/seed-1/controllers/{variant}/controller.json"
    )
    assert dag.episodes_folder(config, experiment, variant, 1) == f"results/{experiment}/seed-1/controllers/{variant}"
    stages = [
        (job.stage, job.place["experiment"]) for job in experiment_jobs(config, experiment) if "experiment" in job.place
    ]
    assert ("evolve_controller", owner) in stages and ("evolve_controller", experiment) not in stages
    assert ("evaluate_controller", experiment) in stages


def test_evolution_in_the_real_game_depends_on_how_that_is_seen():
    """Precision and latent change what a driver saw while it was evolved; the number of report episodes does not."""
    raw = read_yaml(CONFIG_FILE)
    for name, evaluation in (("more", {"episodes": 7}), ("means", {"latent": "mean"})):
        raw["experiments"][name] = {
            "extends": "carracing-laptop",
            "models_from": "carracing-laptop",
            "evaluation": evaluation,
        }
    config = load_config(raw)
    assert dag.controller_owner(config, "more", "z-h") == "carracing-laptop"
    assert dag.episodes_owner(config, "more", "z-h") == "more"
    assert dag.controller_owner(config, "means", "z-h") == "means"


def test_episodes_of_a_policy_that_nobody_evolves_are_shared_with_experiments_that_evolve_otherwise():
    config = load_config(CONFIG_FILE)
    assert config.experiments["doom-laptop-short"].evolution != config.experiments["doom-laptop"].evolution
    assert dag.episodes_owner(config, "doom-laptop-short", "random") == "doom-laptop"
    assert dag.episodes_owner(config, "doom-laptop-short", "tau-1.15") == "doom-laptop-short"


def test_paper_cars_have_the_papers_numbers():
    """867, 99 and 1,443 weights (test_controller), V with 32 latents, M with 256 units and neither flag nor death head."""
    config = load_config(CONFIG_FILE)
    options = config.experiments["carracing"]
    memory = options.mdn_rnn.model
    assert (options.vae.model.latent_size, memory.latent_size, memory.hidden_size, memory.action_size) == (
        32,
        32,
        256,
        3,
    )
    assert not memory.restart_input and not memory.predict_done
    assert (options.evolution.population, options.evolution.rollouts, options.evolution.generations) == (64, 16, 1800)
    assert options.evolution.hopeless_after == 0 and not options.evolution.same_episodes
    assert all(variant.environment == "real" for variant in options.variants.values() if variant.policy == "evolved")
    dataset = config.datasets["carracing-random"]
    assert dataset.shards * dataset.episodes_per_shard == 10_000 and dataset.policy.name == "random-controller"


def test_reported_car_scores_come_from_gymnasium():
    """EnvPool may collect and evolve; what a table says was played by gymnasium itself."""
    config = load_config(CONFIG_FILE)
    options = config.experiments["carracing"]
    assert blocks.evolve_block(config, options, "z-h").task.backend == "envpool"
    for variant in options.variants:
        assert blocks.evaluate_block(config, options, variant).task.backend == "gymnasium"


def test_variants_share_trained_models_and_untrained_ones_have_their_own():
    """V and M are trained once, whatever the number of controllers; an untrained V has an M of its own."""
    config = load_config(CONFIG_FILE)
    paths = {
        name: dag.agent_models(config, "carracing", name, 1)
        for name in ("z-h", "z-only", "z-h-untrained-m", "z-h-untrained")
    }
    assert paths["z-h"] == paths["z-only"]
    assert paths["z-h-untrained-m"]["vae"] == paths["z-h"]["vae"]
    assert len({one["mdn_rnn"] for one in paths.values()}) == 3
    assert "latents" not in paths["z-h-untrained"]


@pytest.mark.parametrize("variant", [{"models": "untrained"}, {"controller": {"inputs": "z", "hidden_units": 4}}])
def test_impossible_dreams_are_refused(raw, variant):
    """A dream needs a trained M, and its engine takes linear controllers."""
    raw["experiments"]["mine"] = {"extends": "carracing-laptop", "variants": {"dreamt": variant}}
    with pytest.raises(UserError, match="environment: real"):
        load_config(raw)


@pytest.mark.parametrize(
    ("extends", "change", "message"),
    [
        ("carracing", {"variants": {"dream": {}}}, "every dream would have the same score"),
        ("carracing", {"variants": {"a": {"environment": "real", "controller": {"inputs": "z"}}}}, r"a\.controller\.actions is 'unit', but a controller of car_racing needs 'steer-gas-brake'"),
        ("doom-smoke", {"evolution": {"controller": {"actions": "steer-gas-brake"}}}, r"mine\.evolution\.controller\.actions is 'steer-gas-brake'"),
        ("doom-laptop-seeds", {"vae": {"epochs": 5}}, r"mine\.vae is not that of 'doom-laptop', whose models it uses .* would change nothing"),
        ("doom-laptop-seeds", {"mdn_rnn": {"done_weight": 99}}, r"mine\.mdn_rnn is not that of 'doom-laptop'"),
        ("doom-laptop-seeds", {"dataset": "doom-random"}, r"mine\.dataset is not that of 'doom-laptop'"),
    ],
)  # fmt: skip
def test_options_that_would_do_harm_or_nothing_are_refused(raw, extends, change, message):
    raw["experiments"]["mine"] = {"extends": extends, **change}
    with pytest.raises(UserError, match=message):
        load_config(raw)


def test_more_batches_than_episodes_are_refused(raw):
    raw["experiments"]["doom-smoke"]["evaluation"] |= {"batches": 5}
    with pytest.raises(UserError, match="batches is 5, but there are only 4 episodes to share"):
        load_config(raw)


def test_films_show_the_dreams_that_their_controller_evolved_in(raw):
    """Without the variant's dropout, a film would show another dream."""
    place = {"experiment": "carracing-dream"}
    config = load_config(raw)
    assert dag.film_variant(config, "carracing-dream") == "dream-dropout"
    block = job.stage_block(config, "film", place)
    assert block.dropout == config.experiments["carracing-dream"].variants["dream-dropout"].dropout == 0.1
    del raw["experiments"]["carracing-dream"]["variants"]["dream-dropout"]
    assert job.stage_block(load_config(raw), "film", place).dropout == 0
    film = next(job for job in jobs.experiment_jobs(config, "carracing-dream") if job.stage == "film")
    assert config_key(config, film, "dropout") == "experiments.carracing-dream.variants.dream-dropout.dropout"


def test_screen_of_the_reported_scores_may_be_another_than_of_the_data(raw):
    """Then the scores are new, of controllers that are not evolved anew."""
    config = load_config(raw)
    place = {"experiment": "doom-laptop-640x480", "seed": "1", "variant": "tau-1.15"}
    block = job.stage_block(config, "evaluate_controller", place)
    assert block.task.screen_resolution == "640x480"
    seeds = job.stage_block(config, "evaluate_controller", {**place, "experiment": "doom-laptop-seeds"})
    assert seeds.task.screen_resolution == "160x120"
    assert dag.controller_folder(config, "doom-laptop-640x480", "tau-1.15", 1).startswith("results/doom-laptop/")
    assert dag.episodes_folder(config, "doom-laptop-640x480", "random", 1).startswith("results/doom-laptop-640x480/")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            b"experiments:\n  a: 1\nother: 2\nexperiments:\n  b: 2\n",
            r"line 4: 'experiments' stands twice \(first in line 1\)",
        ),
        (b"a:\n  - {b: 1, c: 2, b: 3}\n", r"line 2: 'b' stands twice"),
        (b"title: caf\xe9\n", "is not UTF-8 text"),
        (b"a: [1\n", "is not valid YAML"),
        (b"a: {{name}}\n", "is not valid YAML: .*unhashable key"),
        (b"? [a, b]\n: 1\n", "is not valid YAML: .*unhashable key"),
    ],
)
def test_yaml_that_would_lose_something_is_refused(tmp_path, text, message):
    path = tmp_path / "config.yaml"
    path.write_bytes(text)
    with pytest.raises(UserError, match=message):
        read_yaml(path)


def test_merge_keys_of_yaml_are_no_duplicates(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("one: &one {a: 1, b: 2}\ntwo: &two {<<: *one, b: 3}\nthree: {<<: *two, a: 4}\n")
    assert read_yaml(path) == {"one": {"a": 1, "b": 2}, "two": {"a": 1, "b": 3}, "three": {"a": 4, "b": 3}}
    path.write_text("one: &one\n  within: *one\n")
    within = read_yaml(path)["one"]
    assert within["within"] is within


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("datasets", "doom-random", "shortest_episode"), 5000, "episodes end after 2100 steps"),
        (
            ("datasets", "doom-random", "policy"),
            {"name": "held", "shortest_hold": 20, "longest_hold": 3},
            "shortest_hold is 20",
        ),
        (
            ("datasets", "doom-random", "policy"),
            {"name": "sweeping", "shortest_hold": 200},
            "at most longest_hold, which is 120",
        ),
        (
            ("datasets", "doom-random", "policy"),
            {"name": "wandering", "shortest_stride": 200},
            "shortest_stride is 200",
        ),
        (("experiments", "doom-laptop", "vae", "epochs"), math.inf, "finite"),
        (("simulator_experiments", "atari-res-laptop", "training", "preset"), ["res"], "preset"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_runs(place, value, message):
    raw = read_yaml(CONFIG_FILE)
    here = raw
    for key in place[:-1]:
        here = here[key]
    here[place[-1]] = value
    with pytest.raises(UserError, match=message):
        load_config(raw)
