"""The selector of a fleet as code for apps: Kotlin for Android, and a header of C++17."""

from __future__ import annotations

import json

from nagsdk.pipeline.selector import Selector

_KOTLIN = """\
// Picks the model of a fleet for this phone ({asked}). Written by `nagsdk fleet`; do not change it.
//
// At the first start, not on the main thread:
//
//     val ms = NagsdkSelector.benchmarkMs {{ benchmark.infer() }}  // the model in the folder NagsdkSelector.BENCHMARK
//     val folder = NagsdkSelector.pick(NagsdkSelector.chip(), ms)  // keep it for later starts

import android.os.Build

object NagsdkSelector {{
    /** Folders of the models, the most accurate first. */
    val MODELS = listOf({models})

    /** The model to time at the first start. */
    const val BENCHMARK = {benchmark}

    // Largest milliseconds of the benchmark up to which each model but the last is taken; the first row is for all
    // phones whose chip is not listed.
    private val ROWS = listOf({rows})
    private val CHIPS = mapOf<String, Int>({chips})

    /** The folder of the model for a phone with this chip, on which the benchmark takes `benchmarkMs`. */
    fun pick(chip: String, benchmarkMs: Double): String {{
        val key = chip.lowercase(java.util.Locale.ROOT).filter {{ it in 'a'..'z' || it in '0'..'9' }}
        val row = ROWS[CHIPS[key] ?: 0]
        val first = row.indexOfFirst {{ benchmarkMs <= it }}
        return if (first < 0) MODELS.last() else MODELS[first]
    }}

    /** The median milliseconds of `run`, after a few runs that are not timed. */
    fun benchmarkMs(warmup: Int = 5, runs: Int = 21, run: () -> Unit): Double {{
        repeat(warmup) {{ run() }}
        val times = DoubleArray(runs) {{
            val start = System.nanoTime()
            run()
            (System.nanoTime() - start) / 1e6
        }}
        times.sort()
        return times[runs / 2]
    }}

    /** What the phone says of its chip. */
    fun chip(): String = if (Build.VERSION.SDK_INT >= 31) Build.SOC_MODEL else Build.HARDWARE
}}
"""
_CPP = """\
// Picks the model of a fleet for this device ({asked}). Written by `nagsdk fleet`; do not change it. Needs only C++17
// and its standard library.
//
//     const double ms = nagsdk::fleet::benchmark_ms([&] {{ session.Run(...); }});  // the model in `benchmark`
//     const std::string folder = nagsdk::fleet::pick(chip, ms);                   // keep it for later starts
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <string>
#include <unordered_map>
#include <vector>

namespace nagsdk::fleet {{

// Folders of the models, the most accurate first.
inline const std::vector<std::string> models{{{models}}};
// The model to time at the first start.
inline const std::string benchmark{{{benchmark}}};
// Largest milliseconds of the benchmark up to which each model but the last is taken; the first row is for all devices
// whose chip is not listed.
inline const std::vector<std::vector<double>> rows{{{rows}}};
inline const std::unordered_map<std::string, std::size_t> chips{{{chips}}};

// The folder of the model for a device with this chip, on which the benchmark takes `benchmark_ms`.
inline const std::string& pick(const std::string& chip, double benchmark_ms) {{
  std::string key;
  for (const char c : chip) {{
    const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    if ((lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9')) key += lower;
  }}
  const auto known = chips.find(key);
  const std::vector<double>& row = rows[known == chips.end() ? 0 : known->second];
  const auto first = std::find_if(row.begin(), row.end(), [&](double most) {{ return benchmark_ms <= most; }});
  return first == row.end() ? models.back() : models[static_cast<std::size_t>(first - row.begin())];
}}

// The median milliseconds of `run`, after a few runs that are not timed.
template <typename Run>
double benchmark_ms(Run run, int warmup = 5, int runs = 21) {{
  for (int i = 0; i < warmup; ++i) run();
  std::vector<double> times;
  for (int i = 0; i < runs; ++i) {{
    const auto start = std::chrono::steady_clock::now();
    run();
    times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }}
  std::nth_element(times.begin(), times.begin() + runs / 2, times.end());
  return times[static_cast<std::size_t>(runs / 2)];
}}

}}  // namespace nagsdk::fleet
"""


def kotlin(rule: Selector, budget: str, share: float) -> str:
    """The Kotlin object of a rule."""
    return _KOTLIN.format(
        asked=f"{budget} for {share:g} % of the users",
        models=", ".join(map(json.dumps, rule.models)),
        benchmark=json.dumps(rule.models[-1]),
        rows=", ".join(f"doubleArrayOf({', '.join(map(str, row))})" for row in rule.rows),
        chips=", ".join(f"{json.dumps(chip)} to {row}" for chip, row in rule.chips.items()),
    )


def cpp(rule: Selector, budget: str, share: float) -> str:
    """The header of a rule."""
    return _CPP.format(
        asked=f"{budget} for {share:g} % of the users",
        models=", ".join(map(json.dumps, rule.models)),
        benchmark=json.dumps(rule.models[-1]),
        rows=", ".join(f"{{{', '.join(map(str, row))}}}" for row in rule.rows),
        chips=", ".join(f"{{{json.dumps(chip)}, {row}}}" for chip, row in rule.chips.items()),
    )
