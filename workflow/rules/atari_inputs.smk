# What the Atari rules ask of the configuration; the logic lives in worldmodels.config.atari_blocks.


@clear_errors
def atari_agent_file(wildcards):
    """Input function: the agent that plays a data set; nothing where actions are random."""
    path = atari_blocks.agent_file(CONFIG, wildcards.dataset)
    return {} if path is None else {"agent": path}


@clear_errors
def agent_to_start_from(wildcards):
    """Input function: the file that an agent goes on from; nothing where it starts afresh."""
    path = atari_blocks.train_agent_block(CONFIG, wildcards.agent, wildcards.game).start_from
    return {} if path is None else {"start_from": path}


@clear_errors
def atari_shards(name):
    """All shards of an Atari data set, to train and to test on."""
    return [path for split in ("train", "test") for path in atari_blocks.atari_shards(CONFIG, name, split)]


def agent_gpus(wildcards):
    """One GPU for the paper's agents, none for those of laptops and smoke tests."""
    return int(CONFIG.atari_agents[wildcards.agent].steps > 5_000_000)
