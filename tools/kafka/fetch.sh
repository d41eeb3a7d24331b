#!/usr/bin/env bash
# Bring Kafka's jars into .kafka/jars, by Maven and the pinned versions of pom.xml, each with the checksum in jars.sha256.
# `fetch.sh lock` writes jars.sha256 anew. When the folder is right already, nothing is asked of anybody.
set -euo pipefail
cd "$(dirname "$0")/../.."
source=tools/kafka
jars=.kafka/jars
sum=(sha256sum)
command -v sha256sum >/dev/null || sum=(shasum -a 256)

fail() {
    printf 'kafka: %s\n' "$*" >&2
    exit 1
}

# The folder holds these files, byte for byte, and no other.
right() { # right FOLDER
    [ -d "$1" ] || return 1
    [ "$(find "$1" -type f | wc -l)" -eq "$(wc -l <"$source/jars.sha256")" ] || return 1
    (cd "$1" && "${sum[@]}" --check --status --strict) <"$source/jars.sha256"
}

command -v java >/dev/null || fail "Java 17 or newer is needed and not installed; without it use the embedded broker (make run)"
version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
[ "${version:-0}" -ge 17 ] || fail "Java 17 or newer is needed; \`java\` is version ${version:-unknown}"

if [ "${1:-}" != lock ] && right "$jars"; then exit 0; fi
command -v mvn >/dev/null || fail "Maven (mvn) is needed to fetch Kafka's jars and not installed"

mkdir -p .kafka
new=$(mktemp -d .kafka/jars.XXXXXX)
trap 'rm -rf "$new"' EXIT
mvn --batch-mode --quiet --file "$source/pom.xml" dependency:copy-dependencies \
    -DoutputDirectory="$PWD/$new" -DincludeScope=runtime || fail "Maven could not fetch the jars of $source/pom.xml"
if [ "${1:-}" = lock ]; then (cd "$new" && "${sum[@]}" -- *.jar) >"$source/jars.sha256"; fi
right "$new" || fail "what Maven fetched is not what $source/jars.sha256 names; nothing of it is used"
chmod 755 "$new"
rm -rf "$jars"
mv "$new" "$jars"
