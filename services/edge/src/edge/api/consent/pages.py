"""The pages: HTML without scripts, which ask for nothing from anywhere and may be in no frame."""

from __future__ import annotations

import base64
import hashlib
from typing import Any, Final

from jinja2 import DictLoader, Environment

STYLE: Final = """
:root { color-scheme: light dark; --line: #8c959f; --mark: #0550ae; --paper: #ffffff; --ink: #1f2328; --panel: #f6f8fa }
@media (prefers-color-scheme: dark) { :root { --line: #6e7681; --mark: #79c0ff; --paper: #0d1117; --ink: #e6edf3; --panel: #161b22 } }
body { margin: 4rem auto; max-width: 28rem; padding: 0 1rem; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }
main { border: 1px solid var(--line); border-radius: .5rem; padding: 0 1.5rem 1.5rem }
label { display: block; margin-top: 1rem }
input { box-sizing: border-box; width: 100%; padding: .5rem; font: inherit; border: 1px solid var(--line); border-radius: .3rem; background: var(--paper); color: inherit }
button, .button { display: inline-block; margin: 1.2rem .5rem 0 0; padding: .5rem 1rem; font: inherit; border: 1px solid var(--line); border-radius: .3rem; background: var(--panel); color: inherit; cursor: pointer; text-decoration: none }
button.first { background: var(--mark); color: var(--paper); border-color: var(--mark) }
:focus-visible { outline: 3px solid var(--mark); outline-offset: 2px }
code { overflow-wrap: anywhere; background: var(--panel); padding: .1rem .3rem }
.wrong { border-left: .3rem solid #cf222e; padding-left: .7rem }
"""
_STYLE_DIGEST: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

_FRAME: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{% block title %}{% endblock %} - Turnpike</title>
{% block head %}{% endblock %}<style>{{ style }}</style>
</head>
<body><main>
{% block main %}{% endblock %}
</main></body>
</html>
"""
_SIGN_IN: Final = """\
{% extends "frame" %}
{% block title %}Sign in{% endblock %}
{% block main %}
<h1>Sign in</h1>
{% if host %}<p><strong>{{ host }}</strong> asks for an API key.</p>{% endif %}
{% if problem %}<p class="wrong" role="alert">{{ problem }}</p>{% endif %}
<form method="post" action="/auth/sign-in?{{ query }}">
<label for="email">Email</label><input id="email" name="email" type="email" autocomplete="username" maxlength="254" required value="{{ email }}">
<label for="password">Password</label><input id="password" name="password" type="password" autocomplete="current-password" maxlength="200" required>
<button class="first" type="submit">Sign in</button>
{% if openid %}<a class="button" href="/auth/oidc?{{ query }}">Sign in with OpenID</a>{% endif %}
</form>
{% endblock %}
"""
_CONSENT: Final = """\
{% extends "frame" %}
{% block title %}Allow access{% endblock %}
{% block main %}
<h1>{% if host %}Allow {{ host }}?{% else %}Make a code?{% endif %}</h1>
{% if problem %}<p class="wrong" role="alert">{{ problem }}</p>{% endif %}
<p>{% if host %}<strong>{{ host }}</strong>{% else %}Whoever you give the code to{% endif %} gets an API key{% if label %} called <q>{{ label }}</q>{% endif %}
of the organization <strong>{{ organization }}</strong>.</p>
<p>With it:</p>
<ul>
<li>it may ask models for answers, and {{ organization }} pays for them;</li>
<li>it sees the models and presets that there are, and what this key has used;</li>
<li>it cannot manage keys, members or payments.</li>
{% if expires_at %}<li>It ends on {{ expires_at }}.</li>{% else %}<li>It works until somebody deletes it.</li>{% endif %}
</ul>
<form method="post" action="/auth?{{ query }}">
<input type="hidden" name="csrf_token" value="{{ csrf_token }}">
<label for="limit">The most that it may spend{{ interval }}, in dollars; empty for no limit</label>
<input id="limit" name="limit" inputmode="decimal" maxlength="19" pattern="[0-9]{1,9}(\\.[0-9]{1,9})?" value="{{ limit }}">
<button class="first" type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="deny" formnovalidate>Deny</button>
<p>You are signed in as {{ email }}. <button type="submit" name="decision" value="leave" formnovalidate>Sign in as somebody else</button></p>
</form>
{% endblock %}
"""
_CODE: Final = """\
{% extends "frame" %}
{% block title %}Code{% endblock %}
{% block main %}
<h1>Your code</h1>
<p>Give it to the application that asked for it, within ten minutes. It works once.</p>
<p><code>{{ code }}</code></p>
{% endblock %}
"""
_NOTICE: Final = """\
{% extends "frame" %}
{% block title %}{{ heading }}{% endblock %}
{% block main %}
<h1>{{ heading }}</h1>
<p>{{ text }}</p>
{% endblock %}
"""
_AGAIN: Final = """\
{% extends "frame" %}
{% block title %}One moment{% endblock %}
{% block head %}<meta http-equiv="refresh" content="0;url=/auth?{{ query }}">{% endblock %}
{% block main %}
<h1>One moment</h1>
<p><a href="/auth?{{ query }}">Go on</a></p>
{% endblock %}
"""
_PAGES: Final = Environment(
    autoescape=True,
    trim_blocks=True,
    loader=DictLoader(
        {
            "frame": _FRAME,
            "sign-in": _SIGN_IN,
            "consent": _CONSENT,
            "code": _CODE,
            "notice": _NOTICE,
            "again": _AGAIN,
        }
    ),
)


def page(name: str, **values: Any) -> bytes:
    """Render a page. Everything that others chose is escaped."""
    return _PAGES.get_template(name).render(style=STYLE, **values).encode()


def page_headers(form_targets: str = "") -> dict[str, str]:
    """Headers of a page.

    Args:
        form_targets: where its forms may lead besides here. Browsers hold to that also where the answer to a form leads on.
    """
    targets = f"'self' {form_targets}".strip()
    policy = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; form-action {targets}; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "DENY",
        "X-Content-Type-Options": "nosniff",
        # With no-referrer browsers would hide from us, too, where a form comes from.
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
