#!/usr/bin/env bash
# Generate protos/gen (or the folder in $1) from protos/turnpike.
set -euo pipefail
cd "$(dirname "$0")/../.."
out="${1:-protos/gen}"
bin=.venv/bin
export PATH="$PWD/$bin:$PATH"

rm -rf "$out/turnpike"
mkdir -p "$out"
# Not mapfile: the bash of macOS is version 3.2. The paths hold no spaces, because buf makes them package names.
files=($(cd protos && find turnpike -name '*.proto' | sort))
services=($(cd protos && find turnpike -name '*_service.proto' | sort))
include=(-Iprotos)
"$bin/python" -m grpc_tools.protoc "${include[@]}" --python_out="$out" --mypy_out="quiet:$out" "${files[@]}"
"$bin/python" -m grpc_tools.protoc "${include[@]}" --grpc_python_out="$out" --mypy_grpc_out="quiet,only_async:$out" "${services[@]}"
find "$out/turnpike" -type d -path '*/v1' -exec touch {}/py.typed \;
