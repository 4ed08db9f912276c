"""report.html: a self-contained page for one deployment or for the comparison of several, drawn only from manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nagsdk.common.wording import counted
from nagsdk.manifest.result import result_of
from nagsdk.reports import figures
from nagsdk.reports.figures import Manifest


def deployment_page(manifest: Manifest) -> str:
    """The page of one deployment.

    Args:
        manifest: Content of its manifest.json, valid as `nagsdk.manifest.schema.ManifestFile`.

    Returns:
        HTML without scripts that loads no other files.
    """
    one = {"": manifest}
    pictures = {
        "pareto": figures.pareto(one),
        "histogram": figures.histogram(one),
        "agreement": figures.agreement(manifest),
        "costs": figures.costs(manifest),
        "network": figures.network(manifest),
    }
    return _render(
        "deployment.html.j2",
        m=manifest,
        asked=result_of(manifest).percentile,
        arms=result_of(manifest).arms,
        budgets=budgets(manifest),
        figures=pictures,
        provenance=_provenance(manifest),
    )


def comparison_page(manifests: Mapping[str, Manifest]) -> str:
    """The page that compares deployments side by side.

    Args:
        manifests: Two or more manifests, by the names that the page shows; see `deployment_page`.
    """
    pictures = {"pareto": figures.pareto(manifests), "histogram": figures.histogram(manifests)}
    networks = {name: figures.network(m) for name, m in manifests.items()}
    drawn = figures.frontiers(manifests)
    return _render(
        "comparison.html.j2",
        rows=comparison(manifests),
        names=list(manifests),
        figures=pictures,
        networks=networks,
        colors=figures.colors(manifests),
        missing=[name for name in manifests if name not in drawn],
    )


def comparison(manifests: Mapping[str, Manifest]) -> list[dict[str, Any]]:
    """The compared figures of deployments: rows with a title, a unit and one value each, None if unknown."""
    rows: list[tuple[str, str, list[Any]]] = [
        ("verdict", "", [m["verdict"] for m in manifests.values()]),
        ("device", "", [m["device"] for m in manifests.values()]),
        ("bundle", "", [m["bundle"] for m in manifests.values()]),
        ("budget", "", [budgets(m) for m in manifests.values()]),
        ("measured p50", "ms", [m["measured"]["latency_p50_ms"] for m in manifests.values()]),
        ("measured p90", "ms", [m["measured"]["latency_p90_ms"] for m in manifests.values()]),
        (
            "measured, percentile of the budget",
            "ms",
            [m["measured"].get("latency_asked_ms") for m in manifests.values()],
        ),
        ("predicted latency", "ms", [m["predicted"]["latency_ms"] for m in manifests.values()]),
        ("measured top-1", "%", [m["measured"]["top1"] for m in manifests.values()]),
        ("predicted top-1", "%", [m["predicted"]["top1"] for m in manifests.values()]),
        ("file", "MB", [m["artifact"]["bytes"] / 1e6 for m in manifests.values()]),
        ("multiply-accumulates", "10⁶", [m["macs"] / 1e6 for m in manifests.values()]),
        ("parameters", "10⁶", [m["parameters"] / 1e6 for m in manifests.values()]),
        ("resolution", "px", [m["resolution"] for m in manifests.values()]),
        ("precision", "", [m["precision"] for m in manifests.values()]),
        ("threads", "", [m["threads"] for m in manifests.values()]),
        ("architecture", "", [m["architecture"] for m in manifests.values()]),
        ("SHA-256", "", [m["artifact"]["sha256"] for m in manifests.values()]),
    ]
    return [
        {"title": title, "unit": unit, "values": values, "differs": len(set(map(str, values))) > 1}
        for title, unit, values in rows
    ]


def budgets(m: Manifest) -> str:
    """The budgets of a deployment in the units that were asked for."""
    return " and ".join(map(figures.budget_text, m["budgets"])) or "none"


def _provenance(m: Manifest) -> dict[str, dict[str, Any]]:
    """Tables of facts about where the model comes from."""
    artifact, recalibrated = m["artifact"], m["recalibrated_on"]
    return {
        "Artifact": {
            "file": artifact["path"],
            "SHA-256": artifact["sha256"],
            "bytes": artifact["bytes"],
            "created at": m["created_at"],
            "seed": m["seed"],
        },
        "Bundle": {"name": m["bundle"], "version": m["bundle_version"], **m["hashes"]},
        "Device": {"id": m["device"], "fingerprint": m["device_fingerprint"] or None, **m["device_properties"]},
        "Build": {
            "strategy": m.get("strategy"),
            "parity with torch (relative error)": m["parity"],
            "batch normalisation recalibrated on": (
                f"{counted(recalibrated['images'], 'image')} ({recalibrated['source']})"
            ),
            "precision": m["precision"],
            "threads": m["threads"],
            "batch": m["batch"],
        },
        "Versions": m["versions"],
    }


def _number(value: object) -> str:
    """A value as readable text; a dash if it is unknown."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:.4g}"
    return str(value)


def _render(template: str, **values: Any) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("nagsdk.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    return environment.get_template(template).render(**values)
