"""Decision trees in torch, and as ONNX's own tree operator. Imported by ``training`` only."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor, nn

from models.graph_check import TREES, TREES_DOMAIN


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
        if torch.compiler.is_exporting():
            # A placeholder: the exporter has no attributes that are tensors. :meth:`complete` fills them in.
            return torch.onnx.ops.symbolic(
                f"{TREES_DOMAIN}::{TREES}", (inputs,), dtype=inputs.dtype, shape=(inputs.shape[0], 1), version=5
            )
        at = self.roots.expand(len(inputs), -1)
        while True:
            goes_left = inputs.gather(1, self.feature[at]) <= self.threshold[at]
            below = torch.where(goes_left, self.left[at], self.right[at])
            if torch.equal(below, at):
                return self.value[at].sum(1, keepdim=True)
            at = below

    def complete(self, model: onnx.ModelProto) -> None:
        """Write the trees into the graph's one tree operator."""
        (node,) = (node for node in model.graph.node if node.domain == TREES_DOMAIN)
        leaf = (self.left == torch.arange(len(self.left))).numpy()
        left, right = self.left.numpy(), self.right.numpy()
        # ONNX counts inner nodes and leaves apart.
        position = np.where(leaf, np.cumsum(leaf), np.cumsum(~leaf)) - 1
        inner = np.flatnonzero(~leaf)
        attributes = {
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
        del node.attribute[:]
        node.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
