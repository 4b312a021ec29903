"""Decision trees in torch, and as ONNX's own tree operator. Imported by ``training`` only."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function


class Trees(nn.Module):
    """A sum of decision trees. Nodes of all trees stand in one row; a leaf is its own child.

    Args:
        feature, threshold, left, right, value: [nodes]; a row goes left where its feature <= the threshold. Children
            have higher positions than their parents.
        roots: [trees].
    """

    def __init__(
        self,
        feature: NDArray[np.int64],
        threshold: NDArray[np.float64],
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        value: NDArray[np.float64],
        roots: NDArray[np.int64],
    ) -> None:
        super().__init__()
        self.register_buffer("feature", torch.from_numpy(feature))
        self.register_buffer("threshold", torch.from_numpy(threshold))
        self.register_buffer("left", torch.from_numpy(left))
        self.register_buffer("right", torch.from_numpy(right))
        self.register_buffer("value", torch.from_numpy(value))
        self.register_buffer("roots", torch.from_numpy(roots))

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor
    roots: Tensor

    def forward(self, inputs: Tensor) -> Tensor:
        """[n, inputs] -> [n, 1]."""
        return tree_sum(inputs, self)

    def attributes(self) -> dict[str, Any]:
        """Of the tree operator that computes the same."""
        leaf = (self.left == torch.arange(len(self.left))).numpy()
        left, right = self.left.numpy(), self.right.numpy()
        # ONNX counts inner nodes and leaves apart.
        position = np.where(leaf, np.cumsum(leaf), np.cumsum(~leaf)) - 1
        inner = np.flatnonzero(~leaf)
        return {
            "n_targets": 1,
            "tree_roots": position[self.roots.numpy()],
            "nodes_featureids": self.feature.numpy()[inner],
            "nodes_splits": numpy_helper.from_array(self.threshold.numpy()[inner]),
            "nodes_modes": numpy_helper.from_array(np.zeros(len(inner), np.uint8)),
            "nodes_truenodeids": position[left[inner]],
            "nodes_falsenodeids": position[right[inner]],
            "nodes_trueleafs": leaf[left[inner]].astype(np.int64),
            "nodes_falseleafs": leaf[right[inner]].astype(np.int64),
            "leaf_targetids": np.zeros(int(leaf.sum()), np.int64),
            "leaf_weights": numpy_helper.from_array(self.value.numpy()[leaf]),
        }


def tree_sum(inputs: Tensor, trees: Trees) -> Tensor:
    """What trees say of [n, inputs], [n, 1]: to whoever watches torch's functions this is one of them."""
    if has_torch_function((inputs,)):
        result: Tensor = handle_torch_function(tree_sum, (inputs,), inputs, trees)
        return result
    at = trees.roots.expand(len(inputs), -1)
    while True:
        goes_left = inputs.gather(1, trees.feature[at]) <= trees.threshold[at]
        below = torch.where(goes_left, trees.left[at], trees.right[at])
        if torch.equal(below, at):
            return trees.value[at].sum(1, keepdim=True)
        at = below
