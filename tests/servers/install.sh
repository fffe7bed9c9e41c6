#!/usr/bin/env bash
# Installs the servers that the test targets `servers`, `contracts` and `sinks` run against, into
# target/servers/ only: kinesis-local, kinesalite and Azurite from npm, moto and ministack from PyPI, and
# pyarrow, which reads Parquet. What is there already is left alone. PostgreSQL comes from Debian, where root runs this. Needs node, npm and python3; the
# tests of TLS make their certificates with openssl.
set -euo pipefail

KINESIS_LOCAL=0.6.2
KINESALITE=3.3.3
AZURITE=3.37.0
MOTO=5.2.5
MINISTACK=1.5.33
PYARROW=26.0.1

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
servers="${CARGO_TARGET_DIR:-target}/servers"

# The marker is written last, so a cut-short installation is done again.
installed() { [[ "$(cat "$servers/$1/.installed" 2>/dev/null)" == "$2" ]]; }
done_with() { echo "$2" >"$servers/$1/.installed"; }

npm_package() {
    local name=$1 version=$2
    if installed "$name" "$version"; then
        echo "$name $version: already there"
        return
    fi
    echo "$name $version: installing from npm"
    rm -rf "${servers:?}/$name"
    mkdir -p "$servers/$name"
    npm install --prefix "$servers/$name" --no-save --no-audit --no-fund --loglevel=error \
        "$name@$version"
    done_with "$name" "$version"
}

pypi_package() {
    local name=$1 version=$2 package=$3
    if installed "$name" "$version"; then
        echo "$name $version: already there"
        return
    fi
    echo "$name $version: installing from PyPI"
    rm -rf "${servers:?}/$name"
    mkdir -p "$servers"
    python3 -m venv "$servers/$name"
    "$servers/$name/bin/python" -m pip install --quiet --disable-pip-version-check \
        "$package==$version"
    done_with "$name" "$version"
}

for tool in node npm python3 openssl; do
    command -v "$tool" >/dev/null || { echo "$tool is missing" >&2; exit 1; }
done
npm_package kinesis-local "$KINESIS_LOCAL"
npm_package kinesalite "$KINESALITE"
npm_package azurite "$AZURITE"
pypi_package moto "$MOTO" 'moto[server]'
pypi_package ministack "$MINISTACK" ministack
pypi_package pyarrow "$PYARROW" pyarrow
# PostgreSQL is Debian's own package: its programs, without a cluster of its own that would start.
if compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v pg_config >/dev/null; then
    echo "postgresql: already there"
elif [[ "$(id -u)" == 0 ]] && command -v apt-get >/dev/null; then
    echo "postgresql: installing from Debian"
    apt-get update -qq
    # The package would start a server: no cluster is created.
    mkdir -p /etc/postgresql-common
    [[ -e /etc/postgresql-common/createcluster.conf ]] \
        || echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql
else
    echo "postgresql is missing, and only root can install it: apt-get install postgresql" >&2
fi
echo "installed in $servers"
