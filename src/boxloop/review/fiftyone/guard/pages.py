"""The pages that people see who may not enter, or not yet: they load nothing, and run nothing."""

from __future__ import annotations

import html

LOGIN_PATH = "/boxloop-login"

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>boxloop review</title>
{head}<style>
body {{ font: 16px/1.5 sans-serif; max-width: 34em; margin: 15vh auto; padding: 0 1em; }}
input, button {{ font: inherit; padding: .4em .6em; }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


def refusal(reason: str) -> bytes:
    """Return the page that says why, and which way is open."""
    body = (
        f"<p>{html.escape(reason)}</p>\n<p>Open the address that <code>boxloop review</code>"
        " printed in the terminal: it holds the key to this session.</p>"
    )
    return _page("Not open to everybody", body)


def entry(path: str) -> bytes:
    """Return the page that goes on to a path by itself.

    A redirect would not do for who came by a link of another site: browsers count it as that
    site's request still, and leave the cookie out.
    """
    target = html.escape(path, quote=True)
    return _page(
        "One moment ...",
        f'<p><a href="{target}">Open the review</a></p>',
        head=f'<meta http-equiv="refresh" content="0; url={target}">\n',
    )


def login(problem: str = "") -> bytes:
    """Return the page that asks for the password of the session."""
    body = (
        f'<p>{html.escape(problem)}</p>\n<form method="post" action="{LOGIN_PATH}">\n'
        '<label>Password <input type="password" name="password" autofocus required'
        ' autocomplete="current-password"></label>\n<button>Open</button>\n</form>\n'
        "<p>It is the password that was chosen where <code>boxloop review --host</code> was"
        " typed. The connection is not encrypted.</p>"
    )
    return _page("Review with boxloop", body)


def _page(title: str, body: str, head: str = "") -> bytes:
    return _PAGE.format(title=title, body=body, head=head).encode()
