#!/usr/bin/env bash
# Downloads adbkit into FOLDER, for the tests of the Android backend: its bridge asks for keys as a phone does. Needs
# npm.
#     tests/plugins/android/fetch_adbkit.sh FOLDER        then: NAGSDK_ADBKIT=FOLDER pytest tests/plugins/android
set -euo pipefail
mkdir -p "$1"
npm install --silent --no-audit --no-fund --ignore-scripts --fetch-timeout=15000 --fetch-retries=1 --prefix "$1" @devicefarmer/adbkit@3.3.9
