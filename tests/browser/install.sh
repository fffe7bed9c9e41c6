#!/usr/bin/env bash
# Installs the browser that looks at the live page: Chromium from Debian, with a font that it can draw
# letters with. What is there already is left alone. Needs apt-get and root, or a browser that
# SHARDWRIGHT_BROWSER names.
set -euo pipefail

if [[ -n "${SHARDWRIGHT_BROWSER:-}" ]]; then
    echo "browser: $SHARDWRIGHT_BROWSER"
    exit 0
fi
for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then
        echo "browser: $(command -v "$name"): already there"
        exit 0
    fi
done
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core
echo "browser: $(command -v chromium)"
