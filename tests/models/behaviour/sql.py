"""Behaviour features in SQL: the definition once more, as an analyst would write it in DuckDB."""

from __future__ import annotations

import tempfile

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tests.models.behaviour.oracle import Section, micros


def _km(north: str, east: str, here_north: str, here_east: str) -> str:
    """The haversine formula, NULL where a place is missing."""
    return f"""2 * 6371.0088 * asin(sqrt(
        power(sin(radians(({here_north} - {north}) / 1e7) / 2), 2)
        + cos(radians({north} / 1e7)) * cos(radians({here_north} / 1e7))
        * power(sin(radians(({here_east} - {east}) / 1e7) / 2), 2)
    ))"""


def features(section: Section, events: pl.DataFrame) -> dict[str, NDArray[np.float64]]:
    """Every feature [n] by name, the events in order of arrival.

    Args:
        events: in order of arrival: entity, t (microseconds), x (minor units), fraud, known (since when that is
            known, microseconds), north, east (1e-7 degrees, or null), and text columns. None may be too late.
    """
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    with tempfile.TemporaryDirectory() as folder:
        events.with_row_index("seq").write_parquet(f"{folder}/events.parquet")
        database.execute(f"CREATE TABLE e AS SELECT * FROM read_parquet('{folder}/events.parquet')")
    longest, delay = micros(section.windows[-1]), micros(section.label_delay)
    database.execute(
        f"""CREATE TABLE pairs AS SELECT e.seq, e.x AS own, e.t AS now, p.* EXCLUDE (seq, fraud), p.seq AS earlier,
            p.fraud = 1 AND p.known < e.clock AS fraud
        FROM (SELECT *, max(t) OVER (PARTITION BY entity ORDER BY seq) AS clock FROM e) e
        JOIN e p ON p.entity = e.entity AND p.seq < e.seq AND p.t < e.t AND p.t >= e.t - {longest + delay}"""
    )
    windowed = [f"{sql} AS {name}" for feature in section.features for name, sql in _column(section, feature)]
    found = database.execute(
        f"""WITH l AS (
            SELECT seq, max_by({{'north': north, 'east': east}}, (t, earlier)) AS place, max(t) AS t
            FROM pairs WHERE t >= now - {longest} GROUP BY seq
        ), a AS (
            SELECT e.seq, e.x AS own, e.merchant_id AS own_merchant_id, e.country AS own_country, e.t AS now,
                (e.t // 3600000000) % 24 AS own_hour, l.t AS last,
                coalesce({_km("l.place.north", "l.place.east", "e.north", "e.east")}, 0) AS km,
                e.north AS own_north, e.east AS own_east
            FROM e LEFT JOIN l USING (seq)
        )
        SELECT {", ".join(windowed)}, 1 - (count(p.t) FILTER (p.t >= a.now - {longest}) > 0)::INT AS is_new
        FROM a LEFT JOIN pairs p USING (seq) GROUP BY a.seq ORDER BY a.seq"""
    )
    return {name: np.asarray(values, np.float64) for name, values in found.fetchnumpy().items()}


def _column(section: Section, feature: str) -> list[tuple[str, str]]:
    """Name and expression for each window."""
    rest, _, own = feature.partition("@")
    word, _, column = rest.partition(":")
    longest = section.windows[-1]
    inside = f"FILTER (p.t >= a.now - {micros(longest)})"
    elapsed = f"any_value(coalesce(a.now - a.last, {micros(longest)}))"
    same = f"{inside[:-1]} AND p.{column} = a.own_{column})"
    hour = "(p.t // 3600000000) % 24"
    near = "+".join(
        f"{weight} * (count(p.t) {inside[:-1]} AND ({hour} + {shift}) % 24 = a.own_hour))"
        for weight, shift in ((1, 1), (2, 0), (1, 23))
    )
    # The last of a tenth, rounded up; distances from a missing place are NULL, and left out.
    distances = f"list_sort(list({_km('p.north', 'p.east', 'a.own_north', 'a.own_east')}) {inside[:-1]} "
    distances += "AND p.north IS NOT NULL AND a.own_north IS NOT NULL))"
    single = {
        "since_last": f"{elapsed} / 1e6",
        "since": f"coalesce(any_value(a.now) - max(p.t) {same}, {micros(longest)}) / 1e6",
        "since_first": f"coalesce(any_value(a.now) - min(p.t) {same}, 0) / 1e6",
        "ratio_to_same": f"CASE WHEN (count(p.t) {same}) > 0 THEN any_value(a.own) "
        f"/ greatest((sum(p.x) {same})::DOUBLE / (count(p.t) {same}), 1) ELSE 1 END",
        "km_from_last": "any_value(a.km)",
        "km_from_usual": f"coalesce({distances}[(len({distances}) + 9) // 10], 0)",
        "kmh": f"any_value(a.km) / (greatest({elapsed}, 60000000) / 3.6e9)",
        "new": f"coalesce(bool_and(p.{column} <> a.own_{column}) {inside}, false)::INT",
        "hour_rarity": f"ln((4 * (count(p.t) {inside}) + 24) / (24 * ({near} + 1)))",
    }
    if word in single:
        return [("_".join(part for part in (word, column) if part), single[word])]
    found = []
    for window in (own,) if own else section.windows:
        inside = f"FILTER (p.t >= a.now - {micros(window)})"
        until = f"a.now - {micros(section.label_delay)}"
        known = f"FILTER (p.t >= {until} - {micros(window)} AND p.t < {until})"
        n, total, squares = f"(count(p.t) {inside})", f"(sum(p.x) {inside})", f"(sum(p.x::HUGEINT * p.x) {inside})"
        unit = float(10**section.digits)
        mean = f"({total}::DOUBLE / {n})"
        std = f"sqrt(({n} * {squares} - {total}::HUGEINT * {total})::DOUBLE / ({n}::DOUBLE * ({n} - 1)))"
        expression = {
            "count": n,
            "sum": f"coalesce({total}, 0) / {unit}",
            "mean": f"CASE WHEN {n} > 0 THEN {mean} / {unit} ELSE 0 END",
            "std": f"CASE WHEN {n} > 1 THEN {std} / {unit} ELSE 0 END",
            "max": f"coalesce(max(p.x) {inside}, 0) / {unit}",
            "distinct": f"count(DISTINCT p.{column}) {inside}",
            "same": f"count(p.t) {inside[:-1]} AND p.{column} = a.own_{column})",
            "ratio_to_mean": f"CASE WHEN {n} > 0 THEN any_value(a.own) / greatest({mean}, 1) ELSE 1 END",
            "zscore": f"CASE WHEN {n} > 1 THEN ({n} * any_value(a.own) - {total})::DOUBLE / {n} "
            f"/ greatest({std}, abs({mean}) / 10, 1) ELSE 0 END",
            "fraud_share": f"coalesce(sum(p.fraud::INT) {known}, 0) / ((count(p.t) {known}) + 2.0009765625::DOUBLE)",
            "fraud_count": f"coalesce(sum(p.fraud::INT) {known}, 0)",
            # A fraud's place in time among the window's known events, those before the last legitimate one left out.
            "fraud_streak": f"len(list_filter(list(p.t) {known[:-1]} AND p.fraud), "
            f"lambda t: t > coalesce(max(p.t) {known[:-1]} AND NOT p.fraud), -9223372036854775808)))",
        }[word]
        found.append(("_".join(part for part in (word, column, window) if part), expression))
    return found
