"""The tree works anywhere: it names no package index, no image registry and no path of somebody's machine."""

from __future__ import annotations

import re
from collections.abc import Iterator

from house.source import Finding, Source

_HOSTS = re.compile(
    r"\b(?:files\.)?(?:pypi\.org|pythonhosted\.org|npmjs\.org|crates\.io|proxy\.golang\.org|anaconda\.org)\b"
    r"|\b(?:docker\.io|ghcr\.io|quay\.io|gcr\.io|registry\.k8s\.io)\b"
    r"|\b[\w.-]*\b(?:artifactory|jfrog|nexus|devpi)\b[\w-]*\.[a-z]{2,}"
    r"|--(?:extra-)?index[-]url|--find[-]links|--trusted[-]host"
)
_PATHS = re.compile(r"(?<![\w./-])/(?:home|Users|root|work)/[\w.-]+")
# What tells the tools not to write an index address down.
_NEGATIONS = re.compile(r"--no-emit-[a-z-]+")


def hosts_and_paths(source: Source) -> Iterator[Finding]:
    for number, line in enumerate(source.text.splitlines(), start=1):
        line = _NEGATIONS.sub("", line)
        for pattern in (_HOSTS, _PATHS):
            if match := pattern.search(line):
                yield Finding(number, match[0])


def path_hooks(source: Source) -> Iterator[Finding]:
    if source.path.suffix == ".pth":
        yield Finding(1, "a .pth file in the tree")
