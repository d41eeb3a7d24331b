"""The style sheet of the page at `/docs`."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --line: #d0d7de; --dim: #57606a; --mark: #0550ae; --paper: #ffffff; --ink: #1f2328; --panel: #f6f8fa }
@media (prefers-color-scheme: dark) {
  :root { --line: #30363d; --dim: #9da7b1; --mark: #79c0ff; --paper: #0d1117; --ink: #e6edf3; --panel: #161b22 }
}
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 70rem; padding: 1rem; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }
a { color: var(--mark) }
a:focus-visible, summary:focus-visible { outline: 3px solid var(--mark); outline-offset: 2px }
.skip { position: absolute; left: -99rem }
.skip:focus { left: 1rem }
nav ul { columns: 14rem; padding-left: 1.2rem }
h2 { border-bottom: 1px solid var(--line); margin-top: 2.5rem }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .5rem 0; overflow-x: auto }
summary { cursor: pointer; padding: .5rem .8rem; background: var(--panel); overflow-wrap: anywhere }
details > :not(summary) { margin-left: .8rem; margin-right: .8rem }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere }
.method { display: inline-block; min-width: 4.2rem; font: bold .9rem ui-monospace, monospace; color: var(--mark) }
.dim { color: var(--dim) }
table { border-collapse: collapse; margin: .5rem 0 1rem }
th, td { border: 1px solid var(--line); padding: .25rem .6rem; text-align: left; vertical-align: top }
"""
