# The agent that the authors of World Models released: V, M and C without any training.


rule import_published_weights:
    input:
        published_files,
    output:
        vae="results/{experiment}/seed-{seed}/models/vae-published/weights.safetensors",
        mdn_rnn="results/{experiment}/seed-{seed}/models/mdn_rnn-published/weights.safetensors",
        controller="results/{experiment}/seed-{seed}/models/controller-published/controller.json",
    log:
        "results/{experiment}/logs/seed-{seed}/import_published_weights.log",
    benchmark:
        "results/{experiment}/benchmarks/seed-{seed}/import_published_weights.jsonl"
    conda:
        "../../envs/worldmodels.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
        gpu=0,
    params:
        folder=published_folder,
        config=stage_config("import_published_weights"),
        code=code_of("import_published_weights"),
    shell:
        "python -m worldmodels import_published_weights --folder {params.folder:q} --vae {output.vae} "
        "--mdn-rnn {output.mdn_rnn} --controller {output.controller} "
        "--config {params.config:q} --threads {threads} --log {log}"
