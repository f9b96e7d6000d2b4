"""A person in front of `python -m worldmodels play`: a real process, real key events."""

import subprocess
import sys
import time


class Player:
    """A running `play`, and the keyboard in front of it."""

    def __init__(self, checkout, display, *words):
        self.environment = checkout.environment | display
        command = [sys.executable, "-m", "worldmodels", "play", *words]
        settings = {"cwd": checkout.folder, "env": self.environment, "text": True}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings)

    def wait(self):
        """Wait for the window; keys go to the one under the pointer, as no window manager says otherwise."""
        assert "arrows" in self.process.stdout.readline()
        time.sleep(1)
        self.xdotool("mousemove", "100", "100")

    def xdotool(self, *words):
        subprocess.run(["xdotool", *words], env=self.environment, capture_output=True, check=True)

    def end(self):
        output, errors = self.process.communicate(timeout=400)
        assert self.process.returncode == 0, errors
        return output
