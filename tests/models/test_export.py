"""Modules as graphs: each operator says what torch says, of any number of rows; what has no counterpart is named."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from models.export import CannotExport, export
from models.torch_operators import OPERATORS
from models.trees import Trees

Formula = Callable[[Tensor, Tensor], Tensor]
ROW, TABLE = torch.tensor([0.5, -2.0, 3.0]).double(), torch.arange(12.0).double().reshape(4, 3)
NAN = math.nan
TREES = Trees(
    feature=np.array([0, 0, 2, 0, 0]),
    threshold=np.array([0.0, 0, 1, 0, 0]),
    left=np.array([1, 1, 3, 3, 4]),
    right=np.array([2, 1, 4, 3, 4]),
    value=np.array([0.0, 1, 0, 2, 3]),
    roots=np.array([0, 2]),
)


class Written(nn.Module):
    """Formulas as a module."""

    def __init__(self, *formulas: Formula) -> None:
        super().__init__()
        self.formulas = formulas

    def forward(self, x: Tensor, i: Tensor) -> tuple[Tensor, ...]:
        return tuple(formula(x, i) for formula in self.formulas)


def exported(*formulas: Formula) -> bytes:
    """As a graph of numbers x [n, 3] and whole numbers i [n, 2]."""
    inputs = {"x": torch.zeros(3, 3).double(), "i": torch.zeros(3, 2, dtype=torch.int64)}
    return export(Written(*formulas), inputs, [f"y{k}" for k in range(len(formulas))])


def operators(*formulas: Formula) -> list[str]:
    return [node.op_type for node in onnx.load_model_from_string(exported(*formulas)).graph.node]


FORMULAS: dict[str, list[Formula]] = {
    "abs": [lambda x, i: x.abs(), lambda x, i: i.abs()],
    "add": [lambda x, i: x + 1, lambda x, i: 1 + i, lambda x, i: x + i[:, :1], lambda x, i: x[:, None] + TABLE],
    "amax": [lambda x, i: x.amax(1), lambda x, i: x.amax(1, keepdim=True)],
    "argmin": [lambda x, i: i.argmin(dim=1), lambda x, i: i.argmin(1, True)],
    "atan2": [lambda x, i: torch.atan2(x[:, :1].float(), x[:, 1:].float())],
    "baddbmm": [lambda x, i: torch.baddbmm(ROW, x.expand(2, -1, -1), torch.stack([TABLE[1:], TABLE[:3]]))[1]],
    "cat": [lambda x, i: torch.cat([x, i, x], dim=1), lambda x, i: torch.cat([x, x]), lambda x, i: torch.cat([x])],
    "clamp": [
        lambda x, i: x.clamp(-1, 0.5),
        lambda x, i: x.clamp(max=0.5),
        lambda x, i: i.clamp(min=0),
        lambda x, i: x.clamp(ROW - 1, ROW),
    ],
    "div": [lambda x, i: x / ROW, lambda x, i: i / 2],
    "exp": [lambda x, i: x.exp()],
    "expand": [lambda x, i: x.expand(4, -1, -1)[2]],
    "float": [lambda x, i: x.float(), lambda x, i: i.float().float()],
    "floor": [lambda x, i: torch.floor(x)],
    "getitem": [
        lambda x, i: x[:, 1],
        lambda x, i: x[:, -1:],
        lambda x, i: x[:, ::2],
        lambda x, i: x[:, [2, 0]],
        lambda x, i: x[:, None, 1:, None],
        lambda x, i: x[:, :2][:, None, 1],
        lambda x, i: TABLE[i.abs()],
    ],
    "index_select": [
        lambda x, i: TABLE.index_select(0, i[:, 0].abs()),
        lambda x, i: x.index_select(1, torch.ones(1).int()),
    ],
    "isnan": [lambda x, i: torch.isnan(x)],
    "log": [lambda x, i: torch.log(x.abs())],
    "log1p": [lambda x, i: torch.log1p(x.abs())],
    "matmul": [lambda x, i: torch.matmul(x, TABLE.T), lambda x, i: x @ TABLE[1:]],
    "mean": [lambda x, i: x.mean(1), lambda x, i: x[:, None].mean(1, keepdim=True)],
    "minimum": [lambda x, i: torch.minimum(x, ROW)],
    "mul": [lambda x, i: x * 1, lambda x, i: ROW * x, lambda x, i: 2 * x, lambda x, i: 3 * i],
    "neg": [lambda x, i: -x],
    "relu": [lambda x, i: torch.relu(x)],
    "remainder": [lambda x, i: torch.remainder(i, torch.tensor([3, -3])), lambda x, i: i % 2],
    "reshape": [lambda x, i: x.reshape(-1, 3, 1)],
    "round": [lambda x, i: torch.round(x * 2)],
    "sign": [lambda x, i: torch.sign(x), lambda x, i: i.sign()],
    "sin": [lambda x, i: x.sin()],
    "softmax": [lambda x, i: torch.softmax(x, dim=1)],
    "sub": [lambda x, i: x - ROW, lambda x, i: i - x[:, :1]],
    "sum": [lambda x, i: x.sum(1), lambda x, i: x.sum(1, keepdim=True)],
    "tanh": [lambda x, i: nn.Tanh()(x)],
    "to": [lambda x, i: i.to(x.dtype), lambda x, i: torch.isnan(x).to(torch.int64)],
    "tree_sum": [lambda x, i: TREES(x)],
    "where": [
        lambda x, i: torch.where(torch.isnan(x), ROW, x),
        lambda x, i: torch.where(torch.isnan(x), 0.0, i[:, :1]),
    ],
}


#: ONNX Runtime has an opinion of its own on NaN here: for the detector's numbers it has been replaced before.
NOT_OF_NAN = {"amax", "atan2", "sign"}


@pytest.mark.parametrize("name", sorted({*OPERATORS, *FORMULAS}))
def test_it_says_what_torch_says_of_any_number_of_rows(name: str) -> None:
    random = np.random.default_rng(0)
    odd = [0.0, -0.5, 0.25, 1, 1e9, *([] if name in NOT_OF_NAN else [NAN])]
    x = torch.from_numpy(np.concatenate([random.normal(size=(50, 3)) * 3, random.choice(odd, (50, 3))]))
    i = torch.from_numpy(random.integers(-3, 4, (100, 2)))
    graph = onnxruntime.InferenceSession(exported(*FORMULAS[name]), providers=["CPUExecutionProvider"])
    for rows in (slice(0, 0), slice(3, 4), slice(0, 100)):
        found = graph.run(None, {"x": x[rows].numpy(), "i": i[rows].numpy()})
        for one, formula in zip(found, FORMULAS[name], strict=True):
            expected = formula(x[rows], i[rows]).numpy()
            assert (one.dtype, one.shape) == (expected.dtype, expected.shape)
            np.testing.assert_allclose(one, expected, rtol=1e-6 if one.dtype == np.float32 else 1e-13)


def test_only_what_depends_on_the_inputs_and_is_asked_for_becomes_a_node_and_that_once() -> None:
    assert operators(lambda x, i: x * (TABLE @ ROW).sum().sqrt()) == ["Mul"]

    def formula(x: Tensor, i: Tensor) -> Tensor:
        _ = x.exp()
        return x.tanh() * torch.tanh(x)

    assert operators(formula) == ["Tanh", "Mul"]
    assert operators(formula, formula) == ["Tanh", "Mul", "Identity"]
    assert operators(formula, lambda x, i: x.tanh()) == ["Tanh", "Mul"]
    assert operators(lambda x, i: x) == ["Identity"]


def test_constants_are_added_once_and_nothing_is_expanded_or_multiplied_by_one_for_nothing() -> None:
    """And the results are the same, of one member or several, whatever the shape of what is added."""
    wide, many = TABLE[:3] + 1, torch.stack([TABLE[1:], TABLE[:3]])

    def layers(x: Tensor, i: Tensor) -> Tensor:
        hidden = torch.baddbmm(many[:, :1], x.expand(2, -1, -1), many)
        return ((hidden @ wide + ROW - 2) * torch.ones(3)).mean(0)

    def rows(x: Tensor, i: Tensor) -> Tensor:
        return ((x - ROW + 1) @ many + 0.5).sum(0) / 1

    assert operators(layers) == ["MatMul", "MatMul", "Add", "ReduceMean"]
    assert operators(rows) == ["MatMul", "Add", "ReduceSum"]
    assert operators(lambda x, i: (x.expand(2, -1, -1) - (x @ many + ROW)).sum(0))[2:] == ["Sub", "ReduceSum"]
    assert operators(lambda x, i: (x.expand(2, -1, -1) + 1).sum(0))[0] == "Expand"  # two of them, not one
    x, i = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 3))), torch.zeros(5, 2, dtype=torch.int64)
    graph = onnxruntime.InferenceSession(exported(layers, rows), providers=["CPUExecutionProvider"])
    for one, formula in zip(graph.run(None, {"x": x.numpy(), "i": i.numpy()}), (layers, rows), strict=True):
        np.testing.assert_allclose(one, formula(x, i), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        (lambda x, i: torch.erf(x), "erf"),
        (lambda x, i: x.T, "'T'|T has"),
        (lambda x, i: torch.zeros(3, 3).double().copy_(x), "copy_"),
        (lambda x, i: x.exp().add_(1), "add_"),
        (lambda x, i: x if x.sum(1)[0] > 0 else -x, "gt"),
        (lambda x, i: x * x.sum(1)[0].item(), "item"),
        (lambda x, i: x % 2, "remainder has no counterpart in a graph here: only whole numbers"),
        (lambda x, i: torch.atan2(x, x), "atan2.*float32"),
        (lambda x, i: x[torch.isnan(x)], "getitem.*places of type Tensor"),
        (lambda x, i: x[[0, 1], [0, 1]], "getitem"),
        (lambda x, i: x.sum(1, dtype=torch.float32), "sum.*dtype"),
        (lambda x, i: x / len(x), "len"),
        (lambda x, i: x / x.shape[0], "number of rows"),
        (lambda x, i: x.reshape(x.shape[0], 3, 1), "number of rows"),
    ],
)
def test_what_has_no_counterpart_is_named(formula: Formula, message: str) -> None:
    with pytest.raises(CannotExport, match=message):
        exported(formula)
