"""Prints every figure of docs/figures.md that needs no other device and no data, one script after the other.

    python benchmarks/all.py [--data DIR]

The other figures are listed with the command that prints each. With --data, those that need data are printed too; what
DIR must hold, and where it comes from, is told with the command. Takes about three hours on two idle cores;
with data three hours more.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
HERE_ONLY = (
    "startup",
    "export",
    "tflite",
    "repeatability",
    "calibration_cpu",
    "runtimes",
    "finetune_int8",
    "quantised_supernet",
    "int8",
    "int8_accuracy",
    "arms",
    "vela",
    "int8_cost",
    "lab",
    "lab_scale",
    "lab_faults",
    "fleet_size",
    "generator_measured",
    "labels",
    "families",
    "finished",
    "generator_monotone",
    "training",
    "training_memory",
    "training_ranks",
    "depthwise",
    "deploy",
    "percentiles",
    "sessions",
    "sustained",
)
TABLES = "the latency tables: python recipes/tables.py --output DIR"
READINGS = "ncnn_latencies.csv and published latencies of phones, written down by hand (docs/figures.md)"
ACCURACIES = "ofa_mbv3_w1.0_imagenet_top1.csv: the measured subnets of IntelLabs/DyNAS-T (docs/figures.md)"
BENCH = "scikit-learn and pymoo: pip install 'nagsdk[bench]'"
WITH_DATA = {
    "calibration": (TABLES,),
    "calibration --vendors": (TABLES,),
    "calibration --turns": (TABLES,),
    "calibration --foreign": (TABLES,),
    "lab_pool": (TABLES,),
    "readings": (READINGS,),
    "fleet": (READINGS,),
    "accuracy_predictor": (ACCURACIES,),
    "predictors": (ACCURACIES, BENCH),
    "generator": (ACCURACIES, TABLES, BENCH),
    "chosen": (ACCURACIES, BENCH),
    "searches": (ACCURACIES, BENCH),
    "generator_ablation": (ACCURACIES,),
    "generator_paper": (ACCURACIES,),
}
ELSEWHERE = {
    "benchmarks/android.py --serial HOST:PORT": "a phone, or a virtual one that speaks ADB",
    "benchmarks/cuda.py": "a GPU",
    "benchmarks/own_images.py": "scikit-image: pip install scikit-image",
    "recipes/glyphs/check.py predictor --work build/glyphs --bundle bundles/glyphs": "the work folder of a training",
    "benchmarks/training_options.py --fonts /usr/share/fonts --work build/options": "the fonts of glyphs",
    "benchmarks/foreign.py": "torchvision",
    "benchmarks/trained_families.py --work build/glyphs": "the work folder of recipes/glyphs/build.py",
    "benchmarks/trained_generator.py --work build/glyphs --supernet build/vit.safetensors": (
        "a supernet that trained_families.py --supernets build trained, and the extra `bench`"
    ),
    "recipes/glyphs/check.py alone --work build/glyphs --bundle bundles/glyphs": "the work folder of a training",
    "-m pytest tests/project/test_build.py tests/reports/test_page.py tests/training/test_train.py": "the extra `test`",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the data")
    data = parser.parse_args().data
    if data is not None and not data.is_dir():
        parser.error(f"there is no folder {data}")
    commands = [[f"{name}.py"] for name in HERE_ONLY]
    if data is None:
        print("Not printed here, because they need data:")
        for name, needs in WITH_DATA.items():
            script, *options = name.split()
            print(f"  python {' '.join([f'benchmarks/{script}.py', '--data DIR', *options])}")
            print("".join(f"      {need}\n" for need in needs), end="")
    else:
        commands += [[f"{script}.py", "--data", str(data), *options] for script, *options in map(str.split, WITH_DATA)]
    print("Not printed here, because they need something else:")
    for command, need in ELSEWHERE.items():
        print(f"  python {command}\n      {need}")
    failed = []
    for script, *options in commands:
        print(f"\n=== {' '.join([script, *options])}", flush=True)
        if subprocess.run([sys.executable, str(HERE / script), *options], check=False).returncode:
            failed.append(script)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
