"""The rules, in one list, and the run over the repository."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from house import ambient, asynchronous, naming, observability, places, purity, queries, size, suppressions
from house.source import Finding, Source

# `# house: <rule> - <reason>` at the end of a line lets that line break that rule.
_ALLOWED = re.compile(r"#\s*house:\s*(?P<rule>[a-z-]+)\s+-\s+\S{2,}")


@dataclass(frozen=True)
class Rule:
    """A named check with the reason why it exists."""

    name: str
    why: str
    check: Callable[[Source], Iterator[Finding]]


RULES = (
    Rule("module-length", "a module of more than 400 lines does more than one thing", size.long_modules),
    Rule("unfinished", "unfinished work belongs in the tracker, not in the tree", size.unfinished),
    Rule("module-name", "a module is named after the noun that it defines", naming.module_names),
    Rule("class-name", "a port is named for the capability, an adapter adds the technology", naming.class_names),
    Rule("tests-package", "tests are no packages: equal file names would clash", naming.tests_packages),
    Rule("suppression", "a silenced check says which one and why", suppressions.unexplained),
    Rule("unbounded-queue", "every queue is bounded and every stage can say no", asynchronous.unbounded_queues),
    Rule("unowned-task", "only the supervisor and task groups create tasks", asynchronous.unowned_tasks),
    Rule("patching", "doubles implement the port; nothing is patched", asynchronous.patching),
    Rule("built-sql", "SQL takes parameters; built text is how injections happen", queries.built_sql),
    Rule("environment", "only settings.py meets the environment", ambient.environment),
    Rule("clock", "domain and use cases take a Clock and a random source", ambient.clock_and_chance),
    Rule("pure-domain", "domain is pure: no I/O, clock, logger, generated type", purity.domain_imports),
    Rule("pure-library", "contracts and dialects do no I/O", purity.library_imports),
    Rule("log-event", "log events are noun.verb_past with fields", observability.log_events),
    Rule("metric-name", "metrics are service.noun.measure", observability.metric_names),
    Rule("place", "the tree holds no address of a package index and no path of a machine", places.hosts_and_paths),
    Rule("path-hook", "a .pth file runs code in every interpreter", places.path_hooks),
)


def violations(source: Source, rules: Iterable[Rule] = RULES) -> list[str]:
    """Check one file. Each violation is `path:line: [rule] message (why)`."""
    lines = source.text.splitlines()
    found: list[str] = []
    for rule in rules:
        for finding in rule.check(source):
            line = lines[finding.line - 1] if 0 < finding.line <= len(lines) else ""
            allowed = _ALLOWED.search(line)
            if allowed is None or allowed["rule"] != rule.name:
                found.append(f"{source.path}:{finding.line}: [{rule.name}] {finding.message} ({rule.why})")
    return found
