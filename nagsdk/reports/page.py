"""report.html: a self-contained page for one deployment or for the comparison of several, drawn only from manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nagsdk.common.wording import counted
from nagsdk.manifest.result import result_of
from nagsdk.reports import figures, images, load
from nagsdk.reports.figures import Manifest
from nagsdk.reports.rendering import render


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
        "sustained": load.sustained(manifest),
        "agreement": figures.agreement(manifest),
        "costs": figures.costs(manifest),
        "network": figures.network(manifest),
    }
    return render(
        "deployment.html.j2",
        m=manifest,
        asked=result_of(manifest).percentile,
        arms=result_of(manifest).arms,
        budgets=budgets(manifest),
        figures=pictures,
        load=load.told(manifest),
        bill=bill_told(manifest),
        provenance=_provenance(manifest),
        task=task_told(manifest),
    )


def task_told(m: Manifest) -> str:
    """What is known about the task of a bundle that was trained on a user's images; empty if nothing is."""
    task, measured = m["report"].get("task"), m["measured"]
    if not task or measured["top1"] is None:
        return ""
    deployed = {name: measured[name] for name in ("top1", "top1_low", "top1_high")}
    return images.told(task, {**deployed, "macs": m["macs"]})


def comparison_page(manifests: Mapping[str, Manifest]) -> str:
    """The page that compares deployments side by side.

    Args:
        manifests: Two or more manifests, by the names that the page shows; see `deployment_page`.
    """
    pictures = {"pareto": figures.pareto(manifests), "histogram": figures.histogram(manifests)}
    networks = {name: figures.network(m) for name, m in manifests.items()}
    drawn = figures.frontiers(manifests)
    return render(
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
        ("measured p95", "ms", [m["measured"].get("latency_p95_ms") for m in manifests.values()]),
        ("measured init", "ms", [m["measured"].get("init_ms") for m in manifests.values()]),
        ("measured first inference", "ms", [m["measured"].get("first_inference_ms") for m in manifests.values()]),
        ("measured memory", "MB", [m["measured"].get("memory_mb") for m in manifests.values()]),
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
        **({"Energy of an inference": _energy(m["report"]["energy"])} if m["report"].get("energy") else {}),
        "Versions": m["versions"],
    }


def bill_told(m: Manifest) -> str:
    """What the measured times of layers say, and what more latency would buy, as sentences."""
    bill, more = m["report"].get("bill"), m["report"].get("worth_of_more")
    told = []
    if bill and bill["note"]:
        told.append(f"The times of single layers were not measured: {bill['note']}")
    elif bill:
        told.append(
            "Thin bars and the second number: as measured by the profiler of the runtime, "
            f"{bill['total_ms']:.3g} ms in all, of which {bill['other_ms']:.3g} ms belong to no layer. The profiler "
            "makes an inference slower. A layer without a time was fused into the one before it."
        )
    if more:
        told.append(f"{more['more_ms']:g} ms more buys {more['top1']:+.2f} points of predicted top-1 here.")
    return " ".join(told)


def _energy(energy: Mapping[str, float]) -> dict[str, Any]:
    """The energy with its parts."""
    return {
        "without the idle device (mJ)": energy["energy_mj"],
        "with it (mJ)": energy["gross_mj"],
        "power idle (W)": energy["idle_w"],
        "power under load (W)": energy["load_w"],
        "latency under load (ms)": energy["latency_ms"],
        "metered for (s)": energy["seconds"],
    }
