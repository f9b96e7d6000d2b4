# C: evolved in the dream, scored in the real environment.


localrules:
    gather_episodes,


rule evolve_controller:
    input:
        unpack(agent_models),
    output:
        controller="results/{experiment}/seed-{seed}/controllers/{variant}/controller.json",
        history="results/{experiment}/seed-{seed}/controllers/{variant}/history.csv",
    log:
        "results/{experiment}/logs/seed-{seed}/evolve_controller-{variant}.log",
    benchmark:
        "results/{experiment}/benchmarks/seed-{seed}/evolve_controller-{variant}.jsonl"
    conda:
        "../../envs/worldmodels.yaml"
    threads: 64
    resources:
        mem_mb=evolution_memory,
        runtime=720,
        gpu=gpus_wanted,
    params:
        agent=agent_options,
        config=stage_config("evolve_controller"),
        code=code_of("evolve_controller"),
    shell:
        "python -m worldmodels evolve_controller {params.agent} "
        "--seed {wildcards.seed} --output {output.controller} --history {output.history} "
        "--config {params.config:q} --threads {threads} --log {log}"


rule evaluate_controller:
    input:
        unpack(scored_agent),
    output:
        "results/{experiment}/seed-{seed}/controllers/{variant}/episodes.csv",
    log:
        "results/{experiment}/logs/seed-{seed}/evaluate_controller-{variant}.log",
    benchmark:
        "results/{experiment}/benchmarks/seed-{seed}/evaluate_controller-{variant}.jsonl"
    wildcard_constraints:
        experiment=rf"(?!(?:{SPREAD_EXPERIMENT}|{SIMULATOR_EXPERIMENT})/){ANY_NAME}",
    conda:
        "../../envs/worldmodels.yaml"
    threads: 64
    resources:
        mem_mb=evaluation_memory,
        runtime=240,
        gpu=gpus_wanted,
    params:
        agent=agent_options,
        config=stage_config("evaluate_controller"),
        code=code_of("evaluate_controller"),
    shell:
        "python -m worldmodels evaluate_controller {params.agent} --experiment {wildcards.experiment} "
        "--variant {wildcards.variant} --seed {wildcards.seed} --output {output} "
        "--config {params.config:q} --threads {threads} --log {log}"


rule evaluate_batch:
    input:
        unpack(scored_agent),
    output:
        "results/{experiment}/seed-{seed}/controllers/{variant}/batches/{batch}.csv",
    log:
        "results/{experiment}/logs/seed-{seed}/evaluate_batch-{variant}-{batch}.log",
    benchmark:
        "results/{experiment}/benchmarks/seed-{seed}/evaluate_batch-{variant}-{batch}.jsonl"
    wildcard_constraints:
        experiment=SPREAD_EXPERIMENT,
        batch=r"\d{3}",
    conda:
        "../../envs/worldmodels.yaml"
    threads: 64
    resources:
        mem_mb=evaluation_memory,
        runtime=240,
        gpu=gpus_wanted,
    params:
        agent=agent_options,
        config=stage_config("evaluate_batch"),
        code=code_of("evaluate_batch"),
    shell:
        "python -m worldmodels evaluate_batch {params.agent} --experiment {wildcards.experiment} "
        "--variant {wildcards.variant} --seed {wildcards.seed} --batch {wildcards.batch} --output {output} "
        "--config {params.config:q} --threads {threads} --log {log}"


rule gather_episodes:
    input:
        episode_batches,
    output:
        "results/{experiment}/seed-{seed}/controllers/{variant}/episodes.csv",
    log:
        "results/{experiment}/logs/seed-{seed}/gather_episodes-{variant}.log",
    benchmark:
        "results/{experiment}/benchmarks/seed-{seed}/gather_episodes-{variant}.jsonl"
    wildcard_constraints:
        experiment=SPREAD_EXPERIMENT,
    conda:
        "../../envs/worldmodels.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
        gpu=0,
    params:
        config=stage_config("gather_episodes"),
        code=code_of("gather_episodes"),
    shell:
        "python -m worldmodels gather_episodes --batches {input} --output {output} "
        "--config {params.config:q} --threads {threads} --log {log}"
