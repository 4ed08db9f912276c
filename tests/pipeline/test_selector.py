import json
import shutil
import subprocess

import numpy as np
import pytest

from nagsdk.budget import Budget
from nagsdk.bundle.bundle import load_bundle
from nagsdk.events import ignore
from nagsdk.pipeline.population import PopulationFile, members_of
from nagsdk.pipeline.selector import MOST_BYTES, Selector, selector
from nagsdk.pipeline.selector_code import cpp, kotlin

BUDGET = Budget.parse("50ms")
RULE = Selector(
    ("model-1", "model-2", "model-3"), ((10.0, 12.5), (8.0, 20.0)), {"sm7325": 1, "mt6877": 1}, 0.9, 95.0, 76.0, 0
)
# Listed chips as phones write them and others, and benchmarks at, between and beyond the limits of the rule.
CHIPS, TIMES = ("", "SM7325", "sm-7325", "MT 6877", "x"), (7.9, 8.0, 8.1, 12.5, 21.0)
MAIN = """
#include <cstdlib>
#include <iostream>
#include "nagsdk_selector.hpp"
int main(int count, char** a) {
  for (int i = 1; i + 1 < count; i += 2) std::cout << nagsdk::fleet::pick(a[i], std::atof(a[i + 1])) << std::endl;
  int runs = 0;
  const double ms = nagsdk::fleet::benchmark_ms([&] { ++runs; });
  std::cout << nagsdk::fleet::benchmark << " " << runs << " " << (ms >= 0) << std::endl;
}
"""


@pytest.fixture(scope="module")
def members():
    entries = [
        {"share": 100 / 8, "readings": {"mobilenet_v3_large": ms}, "chips": [f"Chip {number}"] if number % 2 else []}
        for number, ms in enumerate((5, 8, 12, 18, 25, 35, 50, 80))
    ]
    file = PopulationFile.model_validate({"devices": entries})
    return members_of(file, None, load_bundle("imagenet"), None, None, ignore)


@pytest.fixture(scope="module")
def codes(members):
    """Three architectures, of which each takes about half as long as the one before."""
    drawn = members[0].target.bundle.space.sample(500, np.random.default_rng(0))
    ms = members[0].model.mean(drawn)
    return drawn[[int(np.abs(ms - ms.max() / divisor).argmin()) for divisor in (1, 2, 3.5)]]


def rule_of(members, codes, promised=0.9):
    names = [f"model-{number}" for number in range(1, len(codes) + 1)]
    return selector(members, codes, np.array([78.0, 76.0, 74.0])[: len(codes)], names, BUDGET, promised)


def test_phones_that_pick_by_the_rule_hold_the_budget_for_the_share(members, codes):
    rule, rng = rule_of(members, codes), np.random.default_rng(0)
    assert rule.held >= 90 and 0.5 <= rule.confidence < 1
    held, top1 = [], dict(zip(rule.models, (78.0, 76.0, 74.0), strict=True))
    picked = []
    for member in members:
        ms, model = member.model.mean(codes), member.model
        for _ in range(300):
            speed = np.exp(rng.normal(0, model.predict(codes[-1:])[1][0] / ms[-1]))
            name = rule.pick(next(iter(member.chips), ""), ms[-1] * speed)
            left = model.with_observation(codes[-1], ms[-1]).predict(codes)[1] / ms
            number = rule.models.index(name)
            doubt = 0.02 if name == rule.models[-1] else left[number]
            held.append(ms[number] * speed * np.exp(rng.normal(0, doubt)) <= BUDGET.limit)
            picked.append(top1[name])
    assert np.mean(held) == pytest.approx(rule.held / 100, abs=0.03)
    assert np.mean(picked) == pytest.approx(rule.top1, abs=0.15)


def test_a_faster_benchmark_never_gets_a_less_accurate_model(members, codes):
    rule = rule_of(members, codes)
    for chip in ("", "Chip 3"):
        places = [rule.models.index(rule.pick(chip, ms)) for ms in np.geomspace(0.1, 1000, 60)]
        assert places == sorted(places) and places[0] == 0 and places[-1] == len(codes) - 1


def test_one_model_needs_no_benchmark(members, codes):
    rule = rule_of(members, codes[-1:], 0.5)
    assert rule.pick("Chip 1", 1e9) == "model-1" and rule.rows == ((),) and not rule.chips


def test_many_chips_leave_out_those_of_the_fewest_users(codes, monkeypatch):
    monkeypatch.setattr("nagsdk.pipeline.selector.MOST_BYTES", 500)
    cores = ("Cortex-A53", "Cortex-A72", "Cortex-A73", "Cortex-A76", "Cortex-A55", "Cortex-A17")
    entries = [
        {
            "share": share,
            "readings": {"mobilenet_v3_large": 20.0 + 2 * number},
            "chip": core,
            "kernels": "ncnn",
            "chips": [f"Chip {number} {n}" for n in range(20)],
        }
        for number, (core, share) in enumerate(zip(cores, (30, 25, 20, 15, 6, 4), strict=True))
    ]
    file = PopulationFile.model_validate({"devices": entries})
    rule = rule_of(members_of(file, None, load_bundle("imagenet"), None, None, ignore), codes)
    text = rule.text(str(BUDGET), 90)
    assert len(text.encode()) <= 500 < MOST_BYTES and rule.left_out > 0
    content = json.loads(text)
    assert content["models"] == list(rule.models) and content["benchmark"] == "model-3"
    assert "chip00" in rule.chips and "chip319" not in rule.chips


def test_the_cpp_code_picks_what_python_picks(tmp_path):
    compiler = shutil.which("g++") or pytest.skip("g++ is not installed")
    (tmp_path / "nagsdk_selector.hpp").write_text(cpp(RULE, "20ms", 95.0))
    (tmp_path / "main.cpp").write_text(MAIN)
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{tmp_path}"]
    subprocess.run([compiler, *flags, tmp_path / "main.cpp", "-o", tmp_path / "main"], check=True)
    asked = [(chip, ms) for chip in CHIPS for ms in TIMES]
    arguments = [text for chip, ms in asked for text in (chip, str(ms))]
    done = subprocess.run([tmp_path / "main", *arguments], check=True, capture_output=True, text=True)
    *picked, last = done.stdout.splitlines()
    assert picked == [RULE.pick(chip, ms) for chip, ms in asked]
    assert last == "model-3 26 1"


def test_the_kotlin_code_holds_the_same_rule():
    code = kotlin(RULE, "20ms", 95.0)
    assert "listOf(doubleArrayOf(10.0, 12.5), doubleArrayOf(8.0, 20.0))" in code
    assert 'mapOf<String, Int>("sm7325" to 1, "mt6877" to 1)' in code and 'BENCHMARK = "model-3"' in code
