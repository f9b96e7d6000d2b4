"""The action-conditioned LSTM of recurrent environment simulators (Chiappa et al. 2017, section 3, appendix B.1).

Time alignment: s_t = (h_t, c_t) follows from s_{t-1}, the action a_{t-1} taken at frame t-1, and z_{t-1}, the features of
that frame. The baseline:

    v = (W h) * (W a)                 h enters through v alone
    i, f, o = sigmoid(W v + W z)
    c_t = f * c_{t-1} + i * tanh(W v + W z),   h_t = o * tanh(c_t)
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from worldmodels.config.simulators import RESOptions, Structure
from worldmodels.models.first_weights import ONE_HOT, draw_he
from worldmodels.models.video.network import Parts


class LSTMState(NamedTuple):
    """s_t: what the memory holds before it takes in frame t and its action."""

    hidden: Tensor  # (B, H)
    cell: Tensor  # (B, H)


Factor = Literal["h", "z", "a"]
"""Memory, features of the frame, action."""
Product = Literal["v", "w"]
Source = Literal["h", "z", "a", "v", "w"]


class Wiring(NamedTuple):
    """What is multiplied with what, and what the gates see."""

    products: dict[Product, tuple[Factor, ...]]
    gates: tuple[Source, ...]  # of the input, forget and output gates and of the candidate
    candidate: tuple[Source, ...] = ()  # of the candidate alone
    gate_for_z: bool = False  # z enters the cell through a tanh and a gate of its own
    biases: bool = True  # of the factors


# Sums of gates i, f, o and of the candidate u: c = f c + i tanh(u). With a gate g for z: c = f c + i tanh(u) + g tanh(W z).
# Each W is a matrix of its own.
WIRINGS: dict[Structure, Wiring] = {
    # v = (W h) (W a);  i, f, o, u: W v + W z
    "baseline": Wiring({"v": ("h", "a")}, ("v", "z")),
    # v = (W h) (W a);  i, f, o, g: W v + W z;  u: W v
    "gate-for-z": Wiring({"v": ("h", "a")}, ("v", "z"), gate_for_z=True),
    # v = (W h) (W a);  i, f, o: W v;  u: W v + W z
    "no-z-in-gates": Wiring({"v": ("h", "a")}, ("v",), ("z",)),
    # v = (W h) (W a);  i, f, o: W v + W h;  u: W v + W h + W z
    "h-in-gates": Wiring({"v": ("h", "a")}, ("v", "h"), ("z",)),
    # v = (W h) (W a);  i, f, o, g, u: W v + W h
    "h-in-gates-gate-for-z": Wiring({"v": ("h", "a")}, ("v", "h"), ("z",), gate_for_z=True),
    # v = (W h) (W z) (W a);  i, f, o, u: W v
    "three-factors": Wiring({"v": ("h", "z", "a")}, ("v",), biases=False),
    # v = (W h) (W a), w = (W z) (W a);  i, f, o, u: W v + W w
    "two-products": Wiring({"v": ("h", "a"), "w": ("z", "a")}, ("v", "w"), biases=False),
    # i, f, o, u: W h + W z + W a
    "action-as-input": Wiring({}, ("h", "z", "a")),
    # i, f, o, u: W h + W z; the action comes with the frame
    "action-planes": Wiring({}, ("h", "z")),
    # v = h (W a), without weights on h, as one open implementation;  i, f, o, u: W v + W z
    "hidden-times-action": Wiring({"v": ("h", "a")}, ("v", "z")),
}
"""Appendices B.1.2 and B.1.3, and the transition of an open implementation. With a gate for z, the candidate's z is
apart. Biases are where they make the paper's totals of parameters."""


class ActionTransition(nn.Module):
    """One step of the memory, wired in any of the paper's ways. Gates are ordered input, forget, output, (z), candidate.

    feature_size: numbers in z; 0 for steps that see none.
    """

    def __init__(self, options: RESOptions, feature_size: int) -> None:
        super().__init__()
        self.wiring = WIRINGS[options.structure]
        self.hidden_size, self.actions = options.hidden_size, options.actions
        self.gate_for_z = self.wiring.gate_for_z and feature_size > 0
        self.gates = 4 + self.gate_for_z
        fused = options.fusion_size
        sizes = {"h": self.hidden_size, "z": feature_size, "a": self.actions, "v": fused, "w": fused}
        raw = {"v_h"} if options.structure == "hidden-times-action" else set()
        self.factors = nn.ModuleDict()
        for product, letters in self.wiring.products.items():
            for letter in letters:
                if f"{product}_{letter}" not in raw:
                    self.factors[f"{product}_{letter}"] = nn.Linear(sizes[letter], fused, bias=self.wiring.biases)
        self.inputs = nn.ModuleDict()
        for source in self.wiring.gates + self.wiring.candidate:
            if sizes[source]:
                blocks = self.gates if source in self.wiring.gates else 1
                self.inputs[source] = nn.Linear(sizes[source], blocks * self.hidden_size, bias=False)
        self.bias = nn.Parameter(torch.empty(self.gates * self.hidden_size))
        seen = sum(layer.in_features for layer in self.inputs.values())  # type: ignore[misc]
        nn.init.uniform_(self.bias, -(seen**-0.5), seen**-0.5)

    def draw_he_weights(self) -> None:
        """Draw first weights with which products and sums keep the size of what they are made of.

        The gates' biases stay Torch's: a product of three factors, of which one is the memory, could never leave 0 without.
        """
        for name, layer in self.factors.items():
            draw_he(layer, None, summed=ONE_HOT if name.endswith("_a") else None)  # type: ignore[arg-type]
        for source, layer in self.inputs.items():
            draw_he(layer, None, summed=ONE_HOT if source == "a" else None)  # type: ignore[arg-type]

    def prepare(self, features: Tensor | None, actions: Tensor) -> Parts:
        """All that does not depend on the memory, for many steps at once.

        features: (..., Z), or None for steps without; actions: one-hot (..., A). Returns tensors (..., size), linear
        functions of these, by the name of their layer.
        """
        given = {"a": actions} if features is None else {"z": features, "a": actions}
        parts = {name: layer(given[name[-1]]) for name, layer in self.factors.items() if name[-1] in given}
        return parts | {name: layer(given[name]) for name, layer in self.inputs.items() if name in given}

    def forward(self, parts: Parts, state: LSTMState) -> LSTMState:
        """Take one step. parts: what `prepare` made of it, (B, size)."""
        sources = {"h": state.hidden}
        for product in self.wiring.products:
            sources[product] = self._product(product, parts, state)
        gates, candidate = self.bias[: -self.hidden_size], self.bias[-self.hidden_size :]
        apart = None
        for name, layer in self.inputs.items():
            if name not in parts and name not in sources:
                continue  # a step without z
            part = parts[name] if name in parts else layer(sources[name])  # (B, blocks * H)
            if name in self.wiring.gates:
                gates = gates + part[:, : -self.hidden_size]
            if name == "z" and self.gate_for_z:
                apart = part[:, -self.hidden_size :]
            else:
                candidate = candidate + part[:, -self.hidden_size :]
        return self._remember(gates.sigmoid(), candidate.tanh(), apart, state)

    def _product(self, name: Product, parts: Parts, state: LSTMState) -> Tensor:
        """v or w, (B, V)."""
        product: Tensor | None = None
        for letter in self.wiring.products[name]:
            layer = f"{name}_{letter}"
            if letter == "h":
                factor = self.factors[layer](state.hidden) if layer in self.factors else state.hidden
            else:
                factor = parts[layer]
            product = factor if product is None else product * factor
        assert product is not None
        return product

    def _remember(self, gates: Tensor, candidate: Tensor, apart: Tensor | None, state: LSTMState) -> LSTMState:
        """The LSTM's equations. apart: z's own candidate before its tanh, with its gate the last of `gates`."""
        input_gate, forget_gate, output_gate, *gate_for_z = gates.split(self.hidden_size, dim=1)
        cell = forget_gate * state.cell + input_gate * candidate
        if apart is not None:
            cell = cell + gate_for_z[0] * apart.tanh()
        return LSTMState(output_gate * cell.tanh(), cell)
