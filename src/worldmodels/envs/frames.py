"""Screens as the networks see them."""

import numpy as np
import torch
import torch.nn.functional as F


def resize_frames(screens: np.ndarray, size: int = 64) -> np.ndarray:
    """Resize screens (N, h, w, 3) uint8 to frames (N, size, size, 3) uint8: bilinear with antialiasing, as Pillow does."""
    channels_first = torch.from_numpy(screens).permute(0, 3, 1, 2)
    resized = F.interpolate(channels_first, size=(size, size), mode="bilinear", antialias=True)
    return resized.permute(0, 2, 3, 1).contiguous().numpy()
