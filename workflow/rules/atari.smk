# Frames of Atari games, a shard at a time, and the agents that play only to collect them.


include: "atari_inputs.smk"


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
    log:
        "results/data/{dataset}/logs/{split}-{shard}.log",
    benchmark:
        "results/data/{dataset}/benchmarks/{split}-{shard}.jsonl"
    wildcard_constraints:
        split="train|test",
    conda:
        "../../envs/worldmodels.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime=240,
        gpu=0,
    params:
        agent=agent_options,
        config=stage_config("collect_atari"),
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
    log:
        "results/agents/{agent}/{game}/train_agent.log",
    benchmark:
        "results/agents/{agent}/{game}/train_agent.jsonl"
    wildcard_constraints:
        agent=r"[a-z0-9][a-z0-9.-]*",
        game=r"[a-z0-9-]+",
    conda:
        "../../envs/worldmodels.yaml"
    threads: 8
    resources:
        mem_mb=8000,
        runtime=1440,  # a longer training goes on in the next job
        gpu=agent_gpus,
    params:
        agent=agent_options,
        config=stage_config("train_agent"),
        code=code_of("train_agent"),
    shell:
        "python -m worldmodels train_agent {params.agent} --output {output.agent} --episodes {output.episodes} "
        "--score {output.score} --config {params.config:q} --threads {threads} --log {log}"
