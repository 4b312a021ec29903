"""``counterfoil train``: what it publishes, and every wrong input with its one clear message."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from models.registry import Registry
from tests.cli.wrong_tables import TABLES
from tests.command_line import Cli, refused
from tests.waiting import until


@pytest.mark.usefixtures("few_steps")
def test_without_a_profile_it_guesses_and_without_activate_it_does_not(cli: Cli, tiny_csv: Path) -> None:
    done = cli(
        "train", tiny_csv, "--hidden", "4", "--members", "1", "--no-activate", "--out", "elsewhere", "--code-size", "2",
        "--labels", "use", "--novel-share", "0.4",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.out.startswith("No --profile given; guessed from the data:\n")
    assert "labels       NOT used: " in done.out and "at least 50 of each are needed" in done.out
    registry = Registry(cli.folder / "elsewhere")
    [version] = registry.versions()
    assert registry.active() is None
    assert f"Not active. To serve it: counterfoil activate {version}" in done.out
    done = cli("embed", tiny_csv, "--out", "codes.csv", "--model", str(registry.root / version), "--state", "empty")
    assert [name for name in pl.read_csv(cli.folder / "codes.csv").columns if name.startswith("code_")] == [
        "code_1", "code_2",
    ]  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_a_wrong_table_is_refused_in_words(cli: Cli, tiny_csv: Path, profile: Path, name: str) -> None:
    file, make, message = TABLES[name]
    lines = tiny_csv.read_text().splitlines()
    (cli.folder / file).write_bytes(make(lines))
    done = cli("train", file, "--profile", profile)
    refused(done, message.replace("{file}", file).replace("{rows}", str(len(lines) - 1)))
    assert len(done.err) < 600
    assert not (cli.folder / "artifacts").exists() or not any((cli.folder / "artifacts").iterdir())


def test_a_wrong_profile_is_told_before_anything_slow_is_imported(
    cli: Cli, tiny_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "training.fit", None)
    refused(cli("train", tiny_csv, "--profile", "paymets"), "error: no profile 'paymets'")


def test_of_several_processes_the_first_says_what_is_wrong(
    cli: Cli, tiny_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    for rank, said in (("1", ""), ("0", "error: no profile 'paymets'")):
        monkeypatch.setenv("RANK", rank)
        done = cli("train", tiny_csv, "--profile", "paymets")
        assert done.code == 2 and done.err.startswith(said) and bool(done.err) == bool(said)


@pytest.mark.usefixtures("few_steps")
def test_constant_columns_and_no_label_are_no_error(cli: Cli) -> None:
    random = pl.Series([(i * 7919) % 101 / 10 for i in range(400)])
    frame = pl.DataFrame({"a": random, "b": random * 2 + 1, "constant": [7.0] * 400, "word": ["same"] * 400})
    frame.write_csv(cli.folder / "t.csv")
    done = cli("train", "t.csv", "--hidden", "4", "--members", "1")
    assert done.code == 0, done.err
    assert "No labels: every row is taken for legitimate, and detection cannot be measured." in done.out
    refused(cli("evaluate", "t.csv"), "error: profile 't' has no label column, so there is nothing to measure against")
    assert "left out    constant: the same in every row" in done.out
    assert "left out    word: the same in every row" in done.out


OPTIONS: list[tuple[list[str], str]] = [
    (["nowhere.csv"], "error: nowhere.csv: no such file"),
    (["no/*.csv"], "error: no/*.csv: no such file"),
    (
        ["{csv}", "--profile", "paymets"],
        "error: no profile 'paymets': neither a file nor one of handbook, handbook-raw, payments, ulb",
    ),
    (["{csv}", "--label", "nope"], "error: {csv}: no column nope to use as the label; the table has "),
    (["{csv}", "--profile", "{profile}", "--label", "nope"], "error: {csv}: missing column nope; the table has 14: "),
    (["{csv}", "--alert-rate", "2"], "error: --alert-rate: expected a share above 0 and below 1, e.g. 0.005"),
    (["{csv}", "--alert-rate", "0"], "error: --alert-rate: expected a share above 0 and below 1"),
    (["{csv}", "--alert-rate", "nan"], "error: --alert-rate: expected a share above 0 and below 1"),
    (["{csv}", "--hidden", "wide"], "error: --hidden: expected whole numbers separated by commas, e.g. 128,64"),
    (["{csv}", "--hidden", "8,,4"], "error: --hidden: expected whole numbers separated by commas"),
    (["{csv}", "--hidden", "0"], "error: code size, hidden widths and members must each be at least 1"),
    (["{csv}", "--members", "0"], "error: code size, hidden widths and members must each be at least 1"),
    (["{csv}", "--noise", "-1"], "error: noise must be"),
    (
        ["{csv}", "--architecture", "overcomplete", "--noise", "0"],
        "error: an overcomplete autoencoder without noise learns to copy its input and would flag nothing: set noise "
        "above 0 (denoising)",
    ),
    (["{csv}", "--code-size", "500"], "error: code size 500 is not narrower than the "),
    (["{csv}", "--device", "abacus"], "error: device 'abacus' is not available here; use cpu, cuda or auto"),
    (
        ["{csv}", "--label-delay", "soon"],
        "error: label delay: a duration is a whole number and one of s, m, h, d, e.g. 7d",
    ),
    (["{csv}", "--label-delay", "60d"], "error: the train part has 0 legitimate rows of "),
    (["{csv}", "--out", "{csv}"], "error: {csv}: cannot hold model versions: File exists"),
]


@pytest.mark.parametrize(("arguments", "message"), OPTIONS)
def test_a_wrong_option_is_refused_in_words(
    cli: Cli, tiny_csv: Path, profile: Path, arguments: list[str], message: str
) -> None:
    def filled(text: str) -> str:
        return text.replace("{csv}", str(tiny_csv)).replace("{profile}", str(profile))

    refused(cli("train", *map(filled, arguments)), filled(message))
    assert list(cli.folder.rglob("manifest.json")) == []


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_training_leaves_nothing(tiny_csv: Path, tmp_path: Path, sent: signal.Signals) -> None:
    command = [sys.executable, "-m", "counterfoil", "train", str(tiny_csv), "--out", str(tmp_path / "artifacts")]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        [*command, "--hidden", "512,512", "--members", "16"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert "guessed" in process.stdout.readline()  # everything is imported, reading begins
        made = tmp_path / "artifacts"  # the last step before the training itself
        assert until(lambda: made.exists() or process.poll() is not None) and made.exists()
        process.send_signal(sent)
        message = process.stderr.read()
        process.wait(60)
    assert process.returncode == 130
    assert "Interrupted; nothing half-written was left behind." in message and "Traceback" not in message
    assert Registry(tmp_path / "artifacts").versions() == []
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.usefixtures("few_steps")
def test_card_numbers_and_verification_values_are_in_nothing_that_comes_out(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = ["4111111111111111", "5555555555554444", "378282246310005", "6011000990139424", "4222222222222"]
    lines = [f"{i},{10 + i % 7}.50,{cards[i % 5]},{737 + i % 200},x{i % 3}" for i in range(300)]
    (cli.folder / "t.csv").write_text("time,amount,cc_num,cvv,word\n" + "\n".join(lines) + "\n")
    (cli.folder / "p.toml").write_text(
        'name = "t"\n[columns]\ntime = { kind = "timestamp", format = "elapsed-s", cycles = [] }\n'
        'amount = { kind = "amount" }\ncc_num = { kind = "entity", key_hash = true }\nword = { kind = "categorical" }\n'
    )
    refused(cli("train", "t.csv", "--profile", "p.toml"), "error: profile 't': cc_num has key_hash = true, which needs")
    key = cli.folder / "key"
    key.write_bytes(bytes(range(32)))
    key.chmod(0o600)
    monkeypatch.setenv("COUNTERFOIL_PSEUDONYM_KEY_FILE", str(key))
    done = cli("train", "t.csv", "--profile", "p.toml", "--members", "1", "--hidden", "4", "--alert-rate", "0.05")
    assert done.code == 0, done.err
    scored = cli("score", "t.csv", "--out", "scored.csv")
    assert scored.code == 0, scored.err
    text = (cli.folder / "scored.csv").read_text()
    assert pl.read_csv(cli.folder / "scored.csv", infer_schema=False)["cvv"].unique().to_list() == ["(withheld)"]
    written = [path.read_bytes() for path in (cli.folder / "artifacts").rglob("*") if path.is_file()]
    for card in cards:
        assert card not in text + done.out + scored.out
        assert not any(card.encode() in data for data in written)
    (cli.folder / "cvv.toml").write_text((cli.folder / "p.toml").read_text() + 'cvv = { kind = "numeric" }\n')
    done = cli("train", "t.csv", "--profile", "cvv.toml")
    assert done.code == 2 and "card verification values must not be stored" in done.err
