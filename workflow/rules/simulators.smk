# Learned simulators of video: trained on Atari frames, scored on held-out sequences, timed, drawn and filmed.


localrules:
    tabulate_simulators,
    plot_simulators,
    film_simulator,
    tabulate_agents,


rule train_simulator:
    input:
        unpack(training_frames),
    output:
        weights="results/{experiment}/{game}/seed-{seed}/simulators/{simulator}/weights.safetensors",
        metrics="results/{experiment}/{game}/seed-{seed}/simulators/{simulator}/metrics.csv",
    log:
        "results/{experiment}/logs/{game}/seed-{seed}/train_simulator-{simulator}.log",
    benchmark:
        "results/{experiment}/benchmarks/{game}/seed-{seed}/train_simulator-{simulator}.jsonl"
    wildcard_constraints:
        experiment=SIMULATOR_EXPERIMENT,
        game=r"[a-z0-9-]+",
        simulator=ANY_NAME,
    conda:
        "../../envs/worldmodels.yaml"
    threads: simulator_threads
    resources:
        mem_mb=8000,
        runtime=1440,  # a longer training goes on in the next job
        gpu=simulator_gpus,
    params:
        frames=training_options,
        config=stage_config("train_simulator"),
        code=code_of("train_simulator"),
    shell:
        "python -m worldmodels train_simulator {params.frames} --seed {wildcards.seed} "
        "--weights {output.weights} --metrics {output.metrics} "
        "--config {params.config:q} --threads {threads} --log {log}"


rule evaluate_simulator:
    input:
        weights=scored_weights,
        shards=test_frames,
    output:
        "results/{experiment}/{game}/seed-{seed}/simulators/{simulator}/horizon.h5",
    log:
        "results/{experiment}/logs/{game}/seed-{seed}/evaluate_simulator-{simulator}.log",
    benchmark:
        "results/{experiment}/benchmarks/{game}/seed-{seed}/evaluate_simulator-{simulator}.jsonl"
    wildcard_constraints:
        experiment=SIMULATOR_EXPERIMENT,
        game=r"[a-z0-9-]+",
        simulator=ANY_NAME,
    conda:
        "../../envs/worldmodels.yaml"
    threads: simulator_threads
    resources:
        mem_mb=8000,
        runtime=480,
        gpu=simulator_gpus,
    params:
        config=stage_config("evaluate_simulator"),
        code=code_of("evaluate_simulator"),
    shell:
        "python -m worldmodels evaluate_simulator --weights {input.weights} --shards {input.shards} "
        "--output {output} "
        "--config {params.config:q} --threads {threads} --log {log}"


rule time_simulators:
    input:
        weights=timed_weights,
    output:
        report(
            "results/{experiment}/speed.csv",
            category=report_category,
            subcategory="Tables",
            labels={"table": "Speed", "form": "Save (CSV)"},
            caption="../report/speed_simulators.rst",
        ),
    log:
        "results/{experiment}/logs/time_simulators.log",
    benchmark:
        "results/{experiment}/benchmarks/time_simulators.jsonl"
    wildcard_constraints:
        experiment=SIMULATOR_EXPERIMENT,
    conda:
        "../../envs/worldmodels.yaml"
    threads: 64
    resources:
        mem_mb=16000,
        runtime=120,
        gpu=simulator_gpus,
    params:
        about=about_simulators,
        config=stage_config("time_simulators"),
        code=code_of("time_simulators"),
    shell:
        "python -m worldmodels time_simulators --weights {input.weights} --output {output} "
        "--config {params.config:q} --threads {threads} --log {log}"


rule tabulate_simulators:
    input:
        unpack(table_inputs),
    output:
        csv=report(
            "results/{experiment}/table.csv",
            category=report_category,
            subcategory="Tables",
            labels={"table": "Errors", "form": "Save (CSV)"},
            caption="../report/table_simulators.rst",
        ),
        markdown=report(
            "results/{experiment}/table.md",
            category=report_category,
            subcategory="Tables",
            labels={"table": "Errors", "form": "Save (Markdown)"},
            caption="../report/table_simulators.rst",
        ),
        latex=report(
            "results/{experiment}/table.tex",
            category=report_category,
            subcategory="Tables",
            labels={"table": "Errors", "form": "Save (LaTeX)"},
            caption="../report/table_simulators.rst",
        ),
    log:
        "results/{experiment}/logs/tabulate_simulators.log",
    benchmark:
        "results/{experiment}/benchmarks/tabulate_simulators.jsonl"
    wildcard_constraints:
        experiment=SIMULATOR_EXPERIMENT,
    conda:
        "../../envs/worldmodels.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=0,
    params:
        about=about_simulators,
        files=file_options,
        config=stage_config("tabulate_simulators"),
        code=code_of("tabulate_simulators"),
    shell:
        "python -m worldmodels tabulate_simulators {params.files} "
        "--csv {output.csv} --markdown {output.markdown} --latex {output.latex} "
        "--config {params.config:q} --threads {threads} --log {log}"


rule plot_simulators:
    input:
        unpack(figure_inputs),
    output:
        svg=report(
            "results/{experiment}/figures/{figure}.svg",
            category=report_category,
            subcategory="Figures",
            labels=figure_labels("Picture (SVG)"),
            caption="../report/figure_simulators.rst",
        ),
        pdf=report(
            "results/{experiment}/figures/{figure}.pdf",
            category=report_category,
            subcategory="Figures",
            labels=figure_labels("Print (PDF)"),
            caption="../report/figure_simulators.rst",
        ),
    log:
        "results/{experiment}/logs/plot_simulators-{figure}.log",
    benchmark:
        "results/{experiment}/benchmarks/plot_simulators-{figure}.jsonl"
    wildcard_constraints:
        experiment=SIMULATOR_EXPERIMENT,
    conda:
        "../../envs/worldmodels.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=0,
    params:
        about=about_simulators,
        files=file_options,
        config=stage_config("plot_simulators"),
        code=code_of("plot_simulators"),
    shell:
        "python -m worldmodels plot_simulators --figure {wildcards.figure} {params.files} "
        "--svg {output.svg} --pdf {output.pdf} "
        "--config {params.config:q} --threads {threads} --log {log}"


rule film_simulator:
    input:
        unpack(film_inputs),
    output:
        report(
            "results/{experiment}/videos/{game}.mp4",
            category=report_category,
            subcategory="Films",
            labels={"film": "{game}", "form": "Save (MP4)"},
            caption="../report/film_simulators.rst",
        ),
    log:
        "results/{experiment}/logs/film_simulator-{game}.log",
    benchmark:
        "results/{experiment}/benchmarks/film_simulator-{game}.jsonl"
    wildcard_constraints:
        experiment=SIMULATOR_EXPERIMENT,
        game=r"[a-z0-9-]+",
    conda:
        "../../envs/worldmodels.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=0,
    params:
        about=about_simulators,
        files=file_options,
        config=stage_config("film_simulator"),
        code=code_of("film_simulator"),
    shell:
        "python -m worldmodels film_simulator {params.files} --output {output} "
        "--config {params.config:q} --threads {threads} --log {log}"


rule play_agent:
    input:
        unpack(acting_inputs),
    output:
        csv="results/{experiment}/{game}/seed-{seed}/agent/{simulator}.csv",
        film=report(
            "results/{experiment}/{game}/seed-{seed}/agent/{simulator}.mp4",
            category=report_category,
            subcategory="Films",
            labels={"film": "agent in {simulator}, {game}, seed {seed}", "form": "Save (MP4)"},
            caption="../report/film_agent.rst",
        ),
        moments="results/{experiment}/{game}/seed-{seed}/agent/{simulator}.h5",
    log:
        "results/{experiment}/logs/{game}/seed-{seed}/play_agent-{simulator}.log",
    benchmark:
        "results/{experiment}/benchmarks/{game}/seed-{seed}/play_agent-{simulator}.jsonl"
    wildcard_constraints:
        experiment=SIMULATOR_EXPERIMENT,
        game=r"[a-z0-9-]+",
        simulator=ANY_NAME,
    conda:
        "../../envs/worldmodels.yaml"
    threads: simulator_threads
    resources:
        mem_mb=8000,
        runtime=480,
        gpu=simulator_gpus,
    params:
        about=about_simulators,
        config=stage_config("play_agent"),
        code=code_of("play_agent"),
    shell:
        "python -m worldmodels play_agent --weights {input.weights} --agent {input.agent} --seed {wildcards.seed} "
        "--csv {output.csv} --film {output.film} --moments {output.moments} "
        "--config {params.config:q} --threads {threads} --log {log}"


rule tabulate_agents:
    input:
        scores=agent_scores("score.json"),
        episodes=agent_scores("episodes.csv"),
    output:
        csv=report(
            "results/{experiment}/agents.csv",
            category=report_category,
            subcategory="Tables",
            labels={"table": "Agents", "form": "Save (CSV)"},
            caption="../report/table_agents.rst",
        ),
        markdown=report(
            "results/{experiment}/agents.md",
            category=report_category,
            subcategory="Tables",
            labels={"table": "Agents", "form": "Save (Markdown)"},
            caption="../report/table_agents.rst",
        ),
    log:
        "results/{experiment}/logs/tabulate_agents.log",
    benchmark:
        "results/{experiment}/benchmarks/tabulate_agents.jsonl"
    wildcard_constraints:
        experiment=SIMULATOR_EXPERIMENT,
    conda:
        "../../envs/worldmodels.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
        gpu=0,
    params:
        about=about_simulators,
        config=stage_config("tabulate_agents"),
        code=code_of("tabulate_agents"),
    shell:
        "python -m worldmodels tabulate_agents --scores {input.scores} --episodes {input.episodes} "
        "--csv {output.csv} --markdown {output.markdown} "
        "--config {params.config:q} --threads {threads} --log {log}"
