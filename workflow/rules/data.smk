# Rollouts of real environments, a shard at a time.


rule collect_rollouts:
    input:
        unpack(playing_agent),
    output:
        "results/data/{dataset}/{shard}.h5",
    log:
        "results/data/{dataset}/logs/{shard}.log",
    benchmark:
        "results/data/{dataset}/benchmarks/{shard}.jsonl"
    conda:
        "../../envs/worldmodels.yaml"
    threads: 1
    resources:
        mem_mb=collection_memory,
        runtime=120,
        gpu=0,
    params:
        agent=agent_options,
        config=stage_config("collect_rollouts"),
        code=code_of("collect_rollouts"),
    shell:
        "python -m worldmodels collect_rollouts --output {output} --shard {wildcards.shard} {params.agent} "
        "--config {params.config:q} --threads {threads} --log {log}"
