"""What tests compare of two results folders."""

import hashlib


def checksums(checkout):
    """Of every product whose bytes must not depend on interruptions, by path below results/."""
    results = checkout.folder / "results"
    patterns = ("data/*/*.h5", "*/seed-*/**/*.safetensors", "*/seed-*/*.h5", "*/seed-*/**/*.csv", "*/table.*")
    paths = {path for pattern in patterns for path in results.glob(pattern)}
    return {
        str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if ".state" not in path.parts and not path.name.endswith(".json")
    }
