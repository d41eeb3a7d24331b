"""`python -m house [ROOT]`: check the repository; exit 1 when a rule is broken."""

from __future__ import annotations

import sys
from pathlib import Path

from house.registry import RULES, violations
from house.source import iter_sources


def main() -> int:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    sources = list(iter_sources(root))
    found = [text for source in sources for text in violations(source)]
    for text in found:
        print(text)
    print(f"house: {len(sources)} files, {len(RULES)} rules, {len(found)} violations")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
