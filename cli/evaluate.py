"""``counterfoil evaluate``: measure a model on labelled transactions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cli.console import advance, out, progress
from cli.opening import fork_of, open_scorer, require_label
from cli.options import ArtifactsOption, InputArgument, ModelOption, State, StateOption
from cli.say import say_metrics


def evaluate(
    data: InputArgument,
    model: ModelOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    report: Annotated[Path | None, typer.Option(help="Also write a report (HTML) about this data.")] = None,
    state: StateOption = State.snapshot,
    artifacts: ArtifactsOption = None,
) -> None:
    """Measure a model on labelled transactions it was not trained on.

    Example: counterfoil evaluate november.csv --json
    """
    from models.aside import written_aside
    from training.behaviour import continued
    from training.evaluate import measure
    from training.read import read_history
    from training.report import ScoredPart, render_report

    scorer = open_scorer(model, artifacts)
    schema = scorer.schema
    require_label(schema, [data], schema.label)
    with progress() as bars:
        task = bars.add_task("reading", total=None)
        history = read_history(schema, [data], progress=advance(bars, task))
    fork = fork_of(scorer, state)
    if fork is not None and history.behaviour is None:
        history = continued(fork, history)
    part = ScoredPart.of(scorer, history.batch(scorer.vocabulary), history)
    threshold = scorer.manifest.threshold.score
    metrics = measure(data.name, part.scores.score, history.label, threshold, labelled=history.labelled)
    if report is not None:
        with written_aside(report) as aside:
            aside.write_bytes(render_report(scorer, part, loss=None))
    if as_json:
        print(json.dumps({"model_version": scorer.manifest.version, **metrics.model_dump()}))
        return
    out.print(f"Model {scorer.manifest.version}")
    say_metrics(metrics)
    if report is not None:
        out.print(f"Report: {report}")
