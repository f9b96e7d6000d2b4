"""A person plays any learned simulator with the keyboard: `python -m worldmodels play EXPERIMENT`."""
