# Frames of Atari games, a shard at a time, and the agents that play only to collect them.


@clear_errors
def atari_agent_file(wildcards):
    """Input function: the agent that plays a data set; nothing where actions are random."""
    path = atari_blocks.agent_file(CONFIG, wildcards.dataset)
    return {} if path is None else {"agent": path}


@clear_errors
def collect_atari_config(wildcards):
    return atari_blocks.atari_shard_block(CONFIG, wildcards.dataset).canonical_json()


@clear_errors
def train_agent_config(wildcards):
    return atari_blocks.train_agent_block(CONFIG, wildcards.agent, wildcards.game).canonical_json()


@clear_errors
def agent_to_start_from(wildcards):
    """Input function: the file that an agent goes on from; nothing where it starts afresh."""
    path = atari_blocks.train_agent_block(CONFIG, wildcards.agent, wildcards.game).start_from
    return {} if path is None else {"start_from": path}


@clear_errors
def atari_shards(name):
    """All shards of an Atari data set, to train and to test on."""
    return [path for split in ("train", "test") for path in atari_blocks.atari_shards(CONFIG, name, split)]


rule atari_smoke_data:
    """Frames of the smoke data sets: a random policy's, and an agent's that has just begun to learn."""
    input:
        atari_shards("atari-smoke-pong"),
        atari_shards("atari-dqn-smoke-pong"),


rule collect_atari:
    input:
        unpack(atari_agent_file),
    output:
        "results/data/{dataset}/{split}-{shard}.h5",
    wildcard_constraints:
        split="train|test",
    log:
        "results/data/{dataset}/logs/{split}-{shard}.log",
    benchmark:
        "results/data/{dataset}/benchmarks/{split}-{shard}.jsonl"
    conda:
        "../../envs/worldmodels.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=240,
        gpu=0,
    params:
        agent=agent_options,
        config=collect_atari_config,
        code=code_of("collect_atari"),
    shell:
        "python -m worldmodels collect_atari {params.agent} --output {output} "
        "--config {params.config:q} --threads {threads} --log {log}"


rule train_agent:
    input:
        unpack(agent_to_start_from),
    output:
        agent="results/agents/{agent}/{game}/agent.safetensors",
        episodes="results/agents/{agent}/{game}/episodes.csv",
        score="results/agents/{agent}/{game}/score.json",
    wildcard_constraints:
        agent=r"[a-z0-9][a-z0-9.-]*",
        game=r"[a-z0-9-]+",
    log:
        "results/agents/{agent}/{game}/train_agent.log",
    benchmark:
        "results/agents/{agent}/{game}/train_agent.jsonl"
    conda:
        "../../envs/worldmodels.yaml"
    threads: 8
    resources:
        mem_mb=8000,
        runtime=2880,
        gpu=lambda wildcards: int(wildcards.agent in ("dqn", "a2c")),
    params:
        agent=agent_options,
        config=train_agent_config,
        code=code_of("train_agent"),
    shell:
        "python -m worldmodels train_agent {params.agent} --output {output.agent} --episodes {output.episodes} "
        "--score {output.score} --config {params.config:q} --threads {threads} --log {log}"
