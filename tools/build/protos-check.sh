#!/usr/bin/env bash
# Check the protobuf contracts: lint, format, generated code in step with its sources, nothing broken since main.
set -euo pipefail
cd "$(dirname "$0")/../.."
bin=.venv/bin
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"$bin/buf" lint
"$bin/buf" format -d --exit-code

tools/build/protos.sh "$scratch/gen"
if ! diff -r -x __pycache__ protos/gen "$scratch/gen"; then
    echo "protos/gen is not what protos/turnpike says: run 'make protos' and commit the result" >&2
    exit 1
fi

# What others may already rely on: main as the server has it, else main here; where that is this very commit, the one before.
released=$(git rev-parse --verify --quiet origin/main || git rev-parse --verify --quiet main || true)
if [ "$released" = "$(git rev-parse --verify --quiet HEAD || true)" ] && git diff --quiet HEAD -- protos buf.yaml; then
    released=$(git rev-parse --verify --quiet HEAD~1 || true)
fi
if [ -z "$released" ] || ! git cat-file -e "$released:buf.yaml" 2>/dev/null; then
    echo "buf breaking: no earlier contracts to compare with"
    exit 0
fi
mkdir "$scratch/released"
git archive "$released" buf.yaml protos | tar -x -C "$scratch/released"
"$bin/buf" breaking --against "$scratch/released"
