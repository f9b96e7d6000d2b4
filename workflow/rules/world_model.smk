# V and M: the world model of one training seed.


rule train_vae:
    input:
        rollouts=dataset_shards,
    output:
        weights="results/{experiment}/seed-{seed}/models/vae/weights.safetensors",
        metrics="results/{experiment}/seed-{seed}/models/vae/metrics.csv",
    log:
        "results/{experiment}/logs/seed-{seed}/train_vae.log",
    benchmark:
        "results/{experiment}/benchmarks/seed-{seed}/train_vae.jsonl"
    conda:
        "../../envs/worldmodels.yaml"
    threads: 64
    resources:
        mem_mb=3000,
        runtime=240,
        gpu=gpus_wanted,
    params:
        dataset=dataset_folder,  # the folder and its shard count: 1,000 paths would overflow a command line
        shards=dataset_shard_count,
        config=stage_config("train_vae"),
        code=code_of("train_vae"),
    shell:
        "python -m worldmodels train_vae --dataset {params.dataset} --shards {params.shards} --seed {wildcards.seed} "
        "--weights {output.weights} --metrics {output.metrics} "
        "--config {params.config:q} --threads {threads} --log {log}"


rule encode_latents:
    input:
        rollouts=dataset_shards,
        vae="results/{experiment}/seed-{seed}/models/vae/weights.safetensors",
    output:
        "results/{experiment}/seed-{seed}/latents.h5",
    log:
        "results/{experiment}/logs/seed-{seed}/encode_latents.log",
    benchmark:
        "results/{experiment}/benchmarks/seed-{seed}/encode_latents.jsonl"
    conda:
        "../../envs/worldmodels.yaml"
    threads: 64
    resources:
        mem_mb=4000,
        runtime=120,
        gpu=gpus_wanted,
    params:
        dataset=dataset_folder,
        shards=dataset_shard_count,
        config=stage_config("encode_latents"),
        code=code_of("encode_latents"),
    shell:
        "python -m worldmodels encode_latents --dataset {params.dataset} --shards {params.shards} --vae {input.vae} "
        "--output {output} --config {params.config:q} --threads {threads} --log {log}"


rule train_mdn_rnn:
    input:
        latents="results/{experiment}/seed-{seed}/latents.h5",
    output:
        weights="results/{experiment}/seed-{seed}/models/mdn_rnn/weights.safetensors",
        metrics="results/{experiment}/seed-{seed}/models/mdn_rnn/metrics.csv",
        deaths="results/{experiment}/seed-{seed}/models/mdn_rnn/deaths.json",
    log:
        "results/{experiment}/logs/seed-{seed}/train_mdn_rnn.log",
    benchmark:
        "results/{experiment}/benchmarks/seed-{seed}/train_mdn_rnn.jsonl"
    conda:
        "../../envs/worldmodels.yaml"
    threads: 64
    resources:
        mem_mb=4000,
        runtime=480,
        gpu=gpus_wanted,
    params:
        config=stage_config("train_mdn_rnn"),
        code=code_of("train_mdn_rnn"),
    shell:
        "python -m worldmodels train_mdn_rnn --latents {input.latents} --seed {wildcards.seed} "
        "--weights {output.weights} --metrics {output.metrics} --deaths {output.deaths} "
        "--config {params.config:q} --threads {threads} --log {log}"


rule initialise_vae:
    output:
        weights="results/{experiment}/seed-{seed}/models/vae-untrained/weights.safetensors",
    log:
        "results/{experiment}/logs/seed-{seed}/initialise_vae.log",
    benchmark:
        "results/{experiment}/benchmarks/seed-{seed}/initialise_vae.jsonl"
    conda:
        "../../envs/worldmodels.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    params:
        config=stage_config("initialise_vae"),
        code=code_of("initialise_vae"),
    shell:
        "python -m worldmodels initialise_vae --seed {wildcards.seed} "
        "--weights {output.weights} --config {params.config:q} --threads {threads} --log {log}"


rule initialise_mdn_rnn:
    input:
        vae=vae_of_untrained,
    output:
        weights="results/{experiment}/seed-{seed}/models/{memory}/weights.safetensors",
    log:
        "results/{experiment}/logs/seed-{seed}/initialise-{memory}.log",
    benchmark:
        "results/{experiment}/benchmarks/seed-{seed}/initialise-{memory}.jsonl"
    conda:
        "../../envs/worldmodels.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    params:
        config=stage_config("initialise_mdn_rnn"),
        code=code_of("initialise_mdn_rnn"),
    shell:
        "python -m worldmodels initialise_mdn_rnn --vae {input.vae} --seed {wildcards.seed} "
        "--weights {output.weights} --config {params.config:q} --threads {threads} --log {log}"
