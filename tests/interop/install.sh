#!/usr/bin/env bash
# Installs the Java KCL that the test target `interop` runs beside our worker, into target/servers/kcl
# only: the wheel `kclpy-ext` from PyPI holds its jars. What is there already is left alone.
# Needs python3, and java (17 or later) to run it.
set -euo pipefail

KCLPY_EXT=3.1.3.post4

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
kcl="${CARGO_TARGET_DIR:-target}/servers/kcl"

for tool in java python3; do
    command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit 1; }
done

# The marker is written last, so a cut-short installation is done again.
if [[ "$(cat "$kcl/.installed" 2>/dev/null)" == "$KCLPY_EXT" ]]; then
    echo "kclpy-ext $KCLPY_EXT: already there"
    exit
fi
echo "kclpy-ext $KCLPY_EXT: installing from PyPI"
rm -rf "${kcl:?}"
mkdir -p "$kcl"
# Only the jars are wanted: none of the packages that its Python part needs.
python3 -m venv "$kcl/venv"
"$kcl/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-deps --only-binary :all: --target "$kcl/package" "kclpy-ext==$KCLPY_EXT"
rm -rf "$kcl/venv"
echo "$KCLPY_EXT" >"$kcl/.installed"
echo "installed in $kcl"
