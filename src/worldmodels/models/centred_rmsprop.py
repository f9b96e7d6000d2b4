"""Centred RMSProp as Graves (2013, equations 38-41) wrote it: with its constant inside the root.

    n <- decay * n + (1 - decay) * g^2
    m <- decay * m + (1 - decay) * g
    d <- momentum * d - learning_rate * g / sqrt(n - m^2 + epsilon)
    w <- w + d

`torch.optim.RMSprop(centered=True)` adds epsilon to the root instead. With the paper's 0.01 that divides small gradients by
0.01 rather than by 0.1.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn


class CentredRMSProp(torch.optim.Optimizer):
    """The optimiser of recurrent environment simulators (Chiappa et al. 2017, appendix A; its values are the defaults)."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        lr: float = 1e-5,
        momentum: float = 0.9,
        decay: float = 0.95,
        epsilon: float = 0.01,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "decay": decay, "epsilon": epsilon})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Change every parameter that has a gradient."""
        assert closure is None, "the loss is computed before the step"
        for group in self.param_groups:
            pairs = [(parameter, parameter.grad) for parameter in group["params"] if parameter.grad is not None]
            if pairs:
                self._change([parameter for parameter, _ in pairs], [gradient for _, gradient in pairs], group)

    def _change(self, parameters: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        squares, means, steps = (self._moments(parameters, name) for name in ("square", "mean", "step_taken"))
        rest = 1 - group["decay"]
        torch._foreach_mul_(squares, group["decay"])
        torch._foreach_addcmul_(squares, gradients, gradients, rest)
        torch._foreach_lerp_(means, gradients, rest)
        variances = torch._foreach_addcmul(squares, means, means, -1)
        # A mean of squares is never below the squared mean, but rounding may say so.
        torch._foreach_clamp_min_(variances, 0)
        torch._foreach_add_(variances, group["epsilon"])
        torch._foreach_sqrt_(variances)
        torch._foreach_mul_(steps, group["momentum"])
        torch._foreach_addcdiv_(steps, gradients, variances, -group["lr"])
        torch._foreach_add_(parameters, steps)

    def _moments(self, parameters: list[Tensor], name: str) -> list[Tensor]:
        """One kind of running value of every parameter, zeros at first."""
        for parameter in parameters:
            if name not in self.state[parameter]:
                self.state[parameter][name] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return [self.state[parameter][name] for parameter in parameters]
