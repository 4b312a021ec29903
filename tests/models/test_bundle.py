"""Every way to damage or tamper with a version is refused, naming the file and the check."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from models.bundle import load_bundle, read_manifest
from models.errors import InvalidBundle
from models.manifest import DETECTOR, FILES, GOLDEN, MANIFEST, REPORT, sha256
from models.scorer import Scorer


@pytest.fixture
def version(tiny_model: Path, tmp_path: Path) -> Path:
    """A copy of the tiny version, to damage."""
    return Path(shutil.copytree(tiny_model, tmp_path / tiny_model.name))


def refused(version: Path, file: str, check: str) -> str:
    """Assert that loading names the file and the check; the message."""
    with pytest.raises(InvalidBundle) as caught:
        Scorer.load(version)
    assert (caught.value.file, caught.value.check) == (file, check), str(caught.value)
    assert str(caught.value).startswith(f"{file}: failed check '{check}': ")
    return str(caught.value)


def rehash(version: Path) -> None:
    """Make the manifest fit the files, as a forger would."""
    manifest = json.loads((version / MANIFEST).read_text())
    manifest["files"] = {name: sha256((version / name).read_bytes()) for name in manifest["files"]}
    (version / MANIFEST).write_text(json.dumps(manifest))


def edit_json(path: Path, change: Callable[[Any], None]) -> None:
    """Change a JSON file in place."""
    body = json.loads(path.read_text())
    change(body)
    path.write_text(json.dumps(body))


def edit_graph(version: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    """Change the graph in place and fix up the hashes."""
    model = onnx.load_model_from_string((version / DETECTOR).read_bytes())
    change(model)
    (version / DETECTOR).write_bytes(model.SerializeToString())
    rehash(version)


def weights(model: onnx.ModelProto) -> onnx.TensorProto:
    """The largest float tensor of the graph."""
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
    found = max((t for t in model.graph.initializer if t.data_type in floats), key=lambda t: np.prod(t.dims))
    assert isinstance(found, onnx.TensorProto)
    return found


def test_an_untouched_copy_loads(version: Path) -> None:
    assert Scorer.load(version).manifest.version == version.name
    rehash(version)
    Scorer.load(version)


# The folder


def test_an_extra_file(version: Path) -> None:
    (version / "helper.py").write_text("")
    assert "holds only" in refused(version, "helper.py", "extra file")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(version: Path, name: str) -> None:
    (version / name).unlink()
    refused(version, name, "missing file")


@pytest.mark.parametrize("name", FILES)
def test_a_link_in_place_of_a_file(version: Path, tmp_path: Path, name: str) -> None:
    (version / name).rename(tmp_path / name)
    (version / name).symlink_to(tmp_path / name)
    refused(version, name, "regular file")


def test_a_folder_or_a_pipe_in_place_of_a_file(version: Path) -> None:
    (version / REPORT).unlink()
    (version / REPORT).mkdir()
    refused(version, REPORT, "regular file")
    (version / REPORT).rmdir()
    os.mkfifo(version / REPORT)
    refused(version, REPORT, "regular file")


def test_a_link_in_place_of_the_folder(version: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(version)
    refused(tmp_path / "link", "link", "folder")
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file", "file", "folder")


def test_an_oversized_file(version: Path) -> None:
    os.truncate(version / REPORT, (512 << 20) + 1)  # sparse: takes no room
    assert "512 MiB" in refused(version, REPORT, "size")


@pytest.mark.parametrize("name", [DETECTOR, GOLDEN, REPORT])
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_one_flipped_bit(version: Path, name: str, place: float) -> None:
    data = bytearray((version / name).read_bytes())
    data[int(place * (len(data) - 1))] ^= 1
    (version / name).write_bytes(data)
    refused(version, name, "sha256")


@pytest.mark.parametrize("name", [DETECTOR, GOLDEN, REPORT])
def test_a_file_of_another_version(version: Path, name: str) -> None:
    (version / name).write_bytes((version / name).read_bytes() + b"\n")
    refused(version, name, "sha256")


# The manifest


@pytest.mark.parametrize(("key", "value"), [("format", "other"), ("format_version", 1), ("format_version", "2")])
def test_an_unknown_format(version: Path, key: str, value: object) -> None:
    edit_json(version / MANIFEST, lambda body: body.update({key: value}))
    refused(version, MANIFEST, "format")


@pytest.mark.parametrize("keep", [0, 1, 0.5, 0.999])
def test_a_manifest_cut_off(version: Path, keep: float) -> None:
    data = (version / MANIFEST).read_bytes().rstrip()
    (version / MANIFEST).write_bytes(data[: int(keep if keep >= 1 else keep * len(data))])
    refused(version, MANIFEST, "content")
    with pytest.raises(InvalidBundle, match="content"):
        read_manifest(version)


CONTENTS: list[tuple[str, Callable[[Any], None]]] = [
    ("extra", lambda body: body.update(extra=1)),
    ("version", lambda body: body.update(version="../evil")),
    ("threshold.score", lambda body: body["threshold"].update(score=1.5)),
    ("threshold.score", lambda body: body["threshold"].update(score="0.5")),
    ("threshold.error", lambda body: body["threshold"].update(error=float("nan"))),
    ("calibration", lambda body: body["calibration"].update(error=body["calibration"]["error"][::-1])),
    ("calibration.error", lambda body: body["calibration"].update(error=[])),
    ("transaction_schema", lambda body: body["transaction_schema"]["columns"].update(x={"kind": "magic"})),
    ("vocabulary", lambda body: body.update(vocabulary={})),
    ("training", lambda body: body.pop("training")),
]


@pytest.mark.parametrize(("key", "change"), CONTENTS)
def test_a_manifest_that_makes_no_sense(version: Path, key: str, change: Callable[[Any], None]) -> None:
    edit_json(version / MANIFEST, change)
    assert f": {key}" in refused(version, MANIFEST, "content")


def test_a_manifest_that_lists_other_files(version: Path) -> None:
    edit_json(version / MANIFEST, lambda body: body["files"].update(other="0" * 64))
    refused(version, MANIFEST, "files")
    edit_json(version / MANIFEST, lambda body: body["files"].pop("other") and body["files"].pop(REPORT))
    refused(version, REPORT, "sha256")


def test_a_vocabulary_that_does_not_fit_the_schema(version: Path) -> None:
    edit_json(version / MANIFEST, lambda body: body["vocabulary"].pop())
    refused(version, MANIFEST, "vocabulary")


def test_bytes_that_are_no_text(version: Path) -> None:
    (version / MANIFEST).write_bytes(b"\xff\xfe\x00")
    refused(version, MANIFEST, "content")


# The graph


def test_a_graph_that_is_none(version: Path) -> None:
    (version / DETECTOR).write_bytes(b"not a graph")
    rehash(version)
    refused(version, DETECTOR, "onnx")


def test_external_data(version: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = weights(model)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../etc/passwd")

    edit_graph(version, change)
    refused(version, DETECTOR, "external data")


def test_external_data_inside_a_constant(version: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = onnx.TensorProto(name="t", data_type=onnx.TensorProto.FLOAT, dims=[1])
        tensor.data_location = onnx.TensorProto.EXTERNAL
        model.graph.node.append(onnx.helper.make_node("Constant", [], ["unused"], value=tensor))

    edit_graph(version, change)
    refused(version, DETECTOR, "external data")


@pytest.mark.parametrize("where", ["node", "import", "branch"])
def test_a_foreign_operator_domain(version: Path, where: str) -> None:
    def change(model: onnx.ModelProto) -> None:
        foreign = onnx.helper.make_node("Run", ["error"], ["x"], domain="com.evil")
        if where == "node":
            model.graph.node.append(foreign)
        elif where == "import":
            model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
        else:
            inner = onnx.helper.make_graph([foreign], "g", [], [])
            model.graph.node.append(onnx.helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner))

    edit_graph(version, change)
    refused(version, DETECTOR, "operator domain")


def test_local_functions(version: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.functions.append(onnx.FunctionProto(name="f", domain=""))

    edit_graph(version, change)
    refused(version, DETECTOR, "operator domain")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_no_number(version: Path, value: float) -> None:
    def change(model: onnx.ModelProto) -> None:
        array = numpy_helper.to_array(weights(model)).copy()
        array.flat[-1] = value
        weights(model).CopyFrom(numpy_helper.from_array(array, weights(model).name))

    edit_graph(version, change)
    refused(version, DETECTOR, "finite")


def test_a_constant_that_is_no_number(version: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node.append(onnx.helper.make_node("Constant", [], ["unused"], value_float=float("nan")))

    edit_graph(version, change)
    refused(version, DETECTOR, "finite")


def test_sparse_weights(version: Path) -> None:
    edit_graph(version, lambda model: model.graph.sparse_initializer.append(onnx.SparseTensorProto()))
    refused(version, DETECTOR, "weights")


def test_other_inputs_and_outputs(version: Path, tiny_model: Path) -> None:
    edit_graph(version, lambda model: model.graph.output.pop() and None)
    refused(version, DETECTOR, "outputs")
    shutil.copy(tiny_model / DETECTOR, version)
    edit_graph(version, lambda model: model.graph.input.append(onnx.ValueInfoProto(name="more")))
    refused(version, DETECTOR, "inputs")


def test_a_graph_that_does_not_load(version: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[0].op_type = "NoSuchOperator"

    edit_graph(version, change)
    refused(version, DETECTOR, "loads")


def test_a_changed_weight_shows_in_the_golden_rows(version: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        array = numpy_helper.to_array(weights(model)) * 1.001
        weights(model).CopyFrom(numpy_helper.from_array(array.astype(array.dtype), weights(model).name))

    edit_graph(version, change)
    refused(version, GOLDEN, "golden rows")


# The golden rows


@pytest.mark.parametrize("key", ["error", "contributions", "numeric", "time"])
def test_changed_golden_rows(version: Path, key: str) -> None:
    def change(body: Any) -> None:
        if key in ("error", "time"):
            body[key][7] = body[key][7] * 2 + 40_000_000_000 if key == "time" else body[key][7] * 1.0001
        else:
            body[key][7][0] = body[key][7][0] * 2 + 1

    edit_json(version / GOLDEN, change)
    rehash(version)
    refused(version, GOLDEN, "golden rows")


def test_too_few_golden_rows(version: Path) -> None:
    edit_json(version / GOLDEN, lambda body: body.update({key: rows[:63] for key, rows in body.items()}))
    rehash(version)
    refused(version, GOLDEN, "rows")


def test_golden_rows_of_another_shape(version: Path) -> None:
    edit_json(version / GOLDEN, lambda body: body["numeric"][5].append(1.0))
    rehash(version)
    refused(version, GOLDEN, "shape")


def test_golden_rows_cut_off(version: Path) -> None:
    (version / GOLDEN).write_text((version / GOLDEN).read_text()[:500])
    rehash(version)
    refused(version, GOLDEN, "content")


def test_golden_rows_that_do_not_run(version: Path) -> None:
    edit_json(version / GOLDEN, lambda body: body["categorical"][5].__setitem__(0, 10_000))
    rehash(version)
    refused(version, DETECTOR, "runs")


def test_no_golden_row_is_a_transaction(tiny_model: Path, tiny_scorer: Scorer) -> None:
    golden = load_bundle(tiny_model).golden
    assert len(golden.time) >= 64
    assert np.isfinite(tiny_scorer.evidence(golden.batch())).all()


def test_a_manifest_alone(version: Path) -> None:
    assert read_manifest(version).version == version.name
    (version / MANIFEST).unlink()
    with pytest.raises(InvalidBundle, match=r"manifest.json: failed check 'readable'"):
        read_manifest(version)
