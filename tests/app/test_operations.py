"""docs/operations.md and its files: backup and retraining run as printed, the metrics named are those there are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from app.service import create_app
from app.settings import PREFIX, Settings
from app.store.records import SavedState
from app.store.redis.store import RedisStore
from models.registry import Registry
from tests import private_servers
from tests.app.calls import Client
from tests.app.records import replies, sent, till
from tests.app.store.events import append, decision, key, look
from tests.app.store.redis.test_store import server
from tests.app.test_server import announced
from tests.app.traffic import Payments
from tests.command_line import Cli, refused
from tests.private_servers import DURABLE
from tests.test_docs import ROOT, assert_same, sessions
from tests.waiting import FAR

DOCS = ROOT / "docs"
GUIDE = (DOCS / "operations.md").read_text(encoding="utf-8")
DASHBOARD = json.loads((DOCS / "grafana.json").read_text(encoding="utf-8"))
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ALERTS = yaml.safe_load((DOCS / "deploy" / "alerts.yml").read_text(encoding="utf-8"))["groups"]
_METRIC = re.compile(r"\b(?:counterfoil|process)_[a-z_]+")
_SUFFIX = re.compile(r"_(?:bucket|count|sum|total)$")


@pytest.fixture(scope="module")
def measured(payments: Payments, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The metrics of a service, without the suffixes of their kinds."""
    database = f"sqlite:///{tmp_path_factory.mktemp('measured') / 'counterfoil.db'}"
    app = create_app(Settings(artifacts=payments.artifacts, database_url=database), payments.scorer)
    text = Client(app).get("/metrics").text
    app.state.serving.close()
    return {_SUFFIX.sub("", name) for name in re.findall(r"^# TYPE (\S+)", text, flags=re.M)}


def named(text: str) -> set[str]:
    """Metrics that a text names, without the suffixes of their kinds."""
    return {_SUFFIX.sub("", name) for name in _METRIC.findall(text)}


def expressions() -> list[str]:
    """All of the dashboard's."""
    return [target["expr"] for panel in PANELS for target in panel["targets"]]


def test_the_dashboard_asks_for_what_there_is_and_shows_all_of_ours(measured: set[str]) -> None:
    asked = named(" ".join(expressions()))
    assert asked <= measured
    assert {name for name in measured if name.startswith("counterfoil_")} <= asked


def test_alerts_ask_for_what_there_is_and_are_explained(measured: set[str]) -> None:
    rules = [rule for group in ALERTS for rule in group["rules"]]
    assert named(" ".join(rule["expr"] for rule in rules)) <= measured
    explained = set(re.findall(r"`(Counterfoil\w+)`", GUIDE))
    assert {rule["alert"] for rule in rules} == explained
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] for rule in rules)


def test_the_guide_explains_every_metric_of_ours(measured: set[str]) -> None:
    ours = {name for name in measured if name.startswith("counterfoil_")}
    begin = GUIDE.index("- `counterfoil_requests_total")
    listed = GUIDE[begin : GUIDE.index("With `--workers`", begin)]
    assert {name for name in named(listed) if name.startswith("counterfoil_")} == ours


def test_the_dashboard_has_the_form_that_grafana_loads() -> None:
    assert DASHBOARD["schemaVersion"] >= 36
    assert DASHBOARD["uid"] and DASHBOARD["title"]
    assert "id" not in DASHBOARD  # one that is imported gets its own
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert (variables["datasource"]["type"], variables["datasource"]["query"]) == ("datasource", "prometheus")
    assert named(variables["instance"]["definition"]) == {"counterfoil_build_info"}
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] >= 0 and place["x"] + place["w"] <= 24
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    for panel in PANELS:
        assert panel["title"] and panel["type"] in ("timeseries", "stat")
        references = [target["refId"] for target in panel["targets"]]
        assert references and len(set(references)) == len(references)
        used = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in used)
    assert all('instance=~"$instance"' in expression for expression in expressions())


def test_the_compose_file_says_what_the_image_knows() -> None:
    compose: dict[str, Any] = yaml.safe_load((DOCS / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
    services = compose["services"]
    stages = set(re.findall(r"^FROM .* AS (\w+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.M))
    builds = [service["build"] for service in services.values() if "build" in service]
    assert {build["target"] for build in builds} <= stages
    assert all((DOCS / "deploy" / build["context"]).resolve() == ROOT for build in builds)
    volumes = [volume.partition(":")[0] for service in services.values() for volume in service.get("volumes", ())]
    assert set(volumes) == set(compose["volumes"])
    own = {name.removeprefix(PREFIX).lower() for name in services["counterfoil"]["environment"] if PREFIX in name}
    assert own <= set(Settings.model_fields)
    for name in ("webhooks", "consume"):
        assert services[name]["command"][0] == name and services[name]["profiles"] == [name]
        assert services[name]["image"] == "counterfoil" and not services[name]["ports"]


def test_units_of_what_runs_beside_it_are_made_of_its_own(tmp_path: Path) -> None:
    text = (DOCS / "operations.md").read_text(encoding="utf-8")
    (made,) = re.findall(r"^cd /etc/systemd/system\n(.*?)^systemctl", text, re.M | re.S)
    (tmp_path / "counterfoil.service").write_bytes((DOCS / "deploy" / "counterfoil.service").read_bytes())
    subprocess.run(["sh", "-euc", made], cwd=tmp_path, check=True)
    for name, command in (("webhooks", "webhooks run"), ("consume", "consume kafka://HOST:9092/payments")):
        unit = (tmp_path / f"counterfoil-{name}.service").read_text(encoding="utf-8")
        assert f"\nExecStart=/opt/counterfoil/bin/counterfoil {command}" in unit and "counterfoil serve" not in unit


@pytest.mark.parametrize("file", ["Dockerfile", "docs/deploy/counterfoil.service"])
def test_image_and_unit_say_what_every_process_sets_itself(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    assert "ORT_DISABLE_TELEMETRY=1" in text and "NUMBA_CACHE_DIR=/" in text


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """``counterfoil serve`` in a folder; its port."""
    command = [sys.executable, str(ROOT / "counterfoil.py"), "serve", "--port", "0"]
    environment = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        found = announced(process)
        assert found
        try:
            yield found[0]
        finally:
            process.terminate()


def answer(port: int, body: bytes) -> bytes:
    """The answer to one transaction."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/score", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=FAR) as reply:
        content: bytes = reply.read()
        return content


def environment() -> dict[str, str]:
    """With the project's own commands."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return dict(os.environ) | {"PATH": path}


def run(part: list[tuple[str, str]], folder: Path) -> None:
    """Commands of the guide, in a folder; they print what the guide shows."""
    for command, printed in part:
        done = subprocess.run(
            ["bash", "-c", command], check=False, cwd=folder, env=environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert_same(printed, done.stdout.strip(), command)


def test_a_backup_is_made_and_restored_as_printed(payments: Payments, tmp_path: Path) -> None:
    if shutil.which("sqlite3") is None:
        private_servers.missing("sqlite3 is not installed")
    shutil.copytree(payments.artifacts, tmp_path / "artifacts")
    start = GUIDE.index("### SQLite")
    pairs = sessions(GUIDE[start : GUIDE.index("### PostgreSQL")])
    serve = [command for command, _ in pairs].index("counterfoil serve &")
    stop = next(i for i, (command, _) in enumerate(pairs) if command.startswith("rm "))
    rows = sent(payments, 9)
    with serving(tmp_path) as port:
        before = [answer(port, row) for row in rows[:6]]
        run(pairs[:stop], tmp_path)  # beside the running service
        after = [answer(port, row) for row in rows[6:]]
    (tmp_path / "counterfoil.db").write_bytes(b"lost")
    shutil.rmtree(tmp_path / "artifacts")
    run(pairs[stop:serve], tmp_path)
    with serving(tmp_path) as port:
        run(pairs[serve + 1 :], tmp_path)
        assert [answer(port, row) for row in rows[:6]] == before  # from the log
        assert [answer(port, row) for row in rows[6:]] == after  # anew, from the same states


def test_a_backup_of_redis_is_made_and_restored_as_printed(tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    section = GUIDE[GUIDE.index("### Redis") : GUIDE.index("## Retrain")]
    backup, restore = re.findall(r"```sh\n(.*?)```", section, flags=re.S)

    def run(script: str, port: int | None) -> str:
        script = script.replace("/var/lib/redis", str(folder)).replace("redis-cli", f"redis-cli -p {port}")
        script = script.replace("redis-server", f"redis-server --bind 127.0.0.1 --port {port}")
        done = subprocess.run(
            ["bash", "-ec", script], check=False, cwd=tmp_path, capture_output=True, text=True, timeout=FAR
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    with server(folder, *DURABLE) as url:
        port = urlsplit(url).port
        with closing(RedisStore(url)) as store:
            written = append(store, decision("t1", key("a")), states={key("a"): b"1"})
            assert "RDB looks OK" in run(backup, port)
            append(store, decision("t2", key("a")), states={key("a"): b"2"})
    assert run(restore, port).strip().endswith("aof_last_bgrewrite_status:ok")
    with server(folder, *DURABLE) as url, closing(RedisStore(url)) as store:
        assert list(store.log()) == written
        assert look(store, keys=[key("a")]).states == {key("a"): SavedState(1, b"1")}


@pytest.mark.early
def test_a_challenger_is_compared_on_the_log_and_promoted_on_evidence_alone(
    payments: Payments, tmp_path: Path, cli: Cli
) -> None:
    """docs/monday.md trains one; here another threshold is the challenger, so that nothing is to be trained."""
    shutil.copytree(payments.artifacts, tmp_path / "artifacts")
    registry = Registry(tmp_path / "artifacts")
    old, recorded = registry.active(), 1_000
    assert cli("threshold", "--alert-rate", "0.02", "--no-activate").code == 0
    (challenger,) = (version for version in registry.versions() if version != old)
    with till(payments, f"sqlite:///{tmp_path / 'counterfoil.db'}") as one:
        rows = sent(payments, recorded)
        for start in range(0, len(rows), 250):
            replies(one.send(*rows[start : start + 250]))
        for row, fraud in zip(rows, payments.frame["is_fraud"].head(recorded), strict=True):
            if fraud:
                one.recorder.label(json.loads(row)["transaction_id"], "fraud", 2**51, 2**51, None)
        one.recorder.label(json.loads(rows[0])["transaction_id"], "disputed", 2**51, 2**51, None)
    retrain = ("retrain", "--challenger", challenger)
    done = cli(*retrain)
    assert done.code == 0, done.err
    assert f"{recorded:,} rows: 0 in files, {recorded:,} recorded" in done.out
    assert "1 left out: disputed" in done.out and "Not active." in done.out
    done = cli(*retrain, "--promote")
    told = json.loads((tmp_path / "flips.json").read_text(encoding="utf-8"))
    assert done.code == 3 and told["verdict"]["why"] in done.out and "NOT promoted" in done.err
    assert not told["verdict"]["passed"] and registry.active() == old
    assert told["comparison"]["new"]["version"] == challenger
    assert told["comparison"]["changes"] == 0  # the same network, and here as many alerts
    refused(cli("retrain", "--out", "nowhere"), "error: --out: nowhere")
