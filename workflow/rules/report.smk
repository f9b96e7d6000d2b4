# What people read: tables, figures, films.


localrules:
    tabulate,
    plot,
    show,


rule tabulate:
    input:
        episodes=all_controllers("episodes.csv"),
        controllers=all_controllers("controller.json", only_evolved=True),
    output:
        csv=report(
            "results/{experiment}/table.csv",
            category=report_category,
            subcategory="Tables",
            labels={"table": "Scores", "form": "Save (CSV)"},
            caption="../report/table.rst",
        ),
        markdown=report(
            "results/{experiment}/table.md",
            category=report_category,
            subcategory="Tables",
            labels={"table": "Scores", "form": "Save (Markdown)"},
            caption="../report/table.rst",
        ),
        latex=report(
            "results/{experiment}/table.tex",
            category=report_category,
            subcategory="Tables",
            labels={"table": "Scores", "form": "Save (LaTeX)"},
            caption="../report/table.rst",
        ),
    log:
        "results/{experiment}/logs/tabulate.log",
    benchmark:
        "results/{experiment}/benchmarks/tabulate.jsonl"
    conda:
        "../../envs/worldmodels.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    params:
        controllers=controllers_option,
        about=about_experiment,
        config=stage_config("tabulate"),
        code=code_of("tabulate"),
    shell:
        "python -m worldmodels tabulate --episodes {input.episodes} "
        "{params.controllers} --csv {output.csv} --markdown {output.markdown} --latex {output.latex} "
        "--config {params.config:q} --log {log}"


rule plot:
    input:
        table="results/{experiment}/table.csv",
        episodes=all_controllers("episodes.csv"),
        histories=all_controllers("history.csv", only_evolved=True),
        vae_metrics=all_models("models/vae/metrics.csv"),
        mdn_rnn_metrics=all_models("models/mdn_rnn/metrics.csv"),
        shard=first_shard,
        vae=shown_model("models/vae/weights.safetensors"),
        mdn_rnn=shown_model("models/mdn_rnn/weights.safetensors"),
        latents=shown_model("latents.h5"),
        controller=shown_controller,
    output:
        svg=report(
            "results/{experiment}/figures/{figure}.svg",
            category=report_category,
            subcategory="Figures",
            labels=figure_labels("Picture (SVG)"),
            caption="../report/figure.rst",
        ),
        pdf=report(
            "results/{experiment}/figures/{figure}.pdf",
            category=report_category,
            subcategory="Figures",
            labels=figure_labels("Print (PDF)"),
            caption="../report/figure.rst",
        ),
    log:
        "results/{experiment}/logs/plot-{figure}.log",
    benchmark:
        "results/{experiment}/benchmarks/plot-{figure}.jsonl"
    conda:
        "../../envs/worldmodels.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=15,
        gpu=0,
    params:
        about=about_experiment,
        config=stage_config("plot"),
        code=code_of("plot"),
    shell:
        "python -m worldmodels plot --figure {wildcards.figure} "
        "--table {input.table} --episodes {input.episodes} --histories {input.histories} "
        "--vae-metrics {input.vae_metrics} --mdn-rnn-metrics {input.mdn_rnn_metrics} --shard {input.shard} "
        "--vae {input.vae} --mdn-rnn {input.mdn_rnn} --latents {input.latents} --controller {input.controller} "
        "--svg {output.svg} --pdf {output.pdf} --config {params.config:q} --log {log}"


rule film:
    input:
        vae=shown_model("models/vae/weights.safetensors"),
        mdn_rnn=shown_model("models/mdn_rnn/weights.safetensors"),
        latents=shown_model("latents.h5"),
        controller=shown_controller,
    output:
        real=report(
            "results/{experiment}/videos/real.mp4",
            category=report_category,
            subcategory="Films",
            labels={"film": "Real environment", "form": "Save (MP4)"},
            caption="../report/film_real.rst",
        ),
        dream=report(
            "results/{experiment}/videos/dream.mp4",
            category=report_category,
            subcategory="Films",
            labels={"film": "Dream", "form": "Save (MP4)"},
            caption="../report/film_dream.rst",
        ),
    log:
        "results/{experiment}/logs/film.log",
    benchmark:
        "results/{experiment}/benchmarks/film.jsonl"
    conda:
        "../../envs/worldmodels.yaml"
    threads: 2
    resources:
        mem_mb=4000,
        runtime=30,
        gpu=0,
    params:
        about=about_experiment,
        config=stage_config("film"),
        code=code_of("film"),
    shell:
        "python -m worldmodels film --vae {input.vae} --mdn-rnn {input.mdn_rnn} --latents {input.latents} "
        "--controller {input.controller} --real {output.real} --dream {output.dream} "
        "--config {params.config:q} --threads {threads} --log {log}"


rule show:
    input:
        table="results/{experiment}/table.md",
        real="results/{experiment}/videos/real.mp4",
        dream="results/{experiment}/videos/dream.mp4",
    output:
        table=report(
            "results/{experiment}/table.html",
            category=report_category,
            subcategory="Tables",
            labels={"table": "Scores", "form": "Read (HTML)"},
            caption="../report/table.rst",
        ),
        real=report(
            "results/{experiment}/videos/real.html",
            category=report_category,
            subcategory="Films",
            labels={"film": "Real environment", "form": "Play"},
            caption="../report/film_real.rst",
        ),
        dream=report(
            "results/{experiment}/videos/dream.html",
            category=report_category,
            subcategory="Films",
            labels={"film": "Dream", "form": "Play"},
            caption="../report/film_dream.rst",
        ),
    log:
        "results/{experiment}/logs/show.log",
    benchmark:
        "results/{experiment}/benchmarks/show.jsonl"
    conda:
        "../../envs/worldmodels.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
        gpu=0,
    params:
        about=about_experiment,
        config=stage_config("show"),
        code=code_of("show"),
    shell:
        "python -m worldmodels show --table {input.table} --real {input.real} --dream {input.dream} "
        "--table-page {output.table} --real-page {output.real} --dream-page {output.dream} "
        "--config {params.config:q} --log {log}"
