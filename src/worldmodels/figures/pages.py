"""HTML pages that need no other file: a report shows these in place, where it only offers Markdown and films to save."""

import base64
import html

import markdown

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 14px/1.5 system-ui, sans-serif; color: #1b1f24; margin: 1.5rem auto; padding: 0 1rem; max-width: 62rem; }}
h1 {{ font-size: 1.5rem; }}
table {{ border-collapse: collapse; margin: 1rem 0 1.5rem; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 0.3rem 0.5rem; border-bottom: 1px solid #d8dee4; text-align: right; }}
th:first-child, td:first-child {{ text-align: left; }}
td {{ white-space: nowrap; }}
thead th {{ border-bottom: 2px solid #1b1f24; }}
video {{ width: 100%; max-width: {width}px; }}
</style>
</head>
<body>
{body}
</body>
</html>
"""


def table_page(title: str, text: str) -> str:
    """A page that shows a table written in Markdown, with its notes."""
    # HTML inside the Markdown would be passed on as it is; there is none in a table of numbers.
    body = markdown.markdown(html.escape(text, quote=False), extensions=["tables"])
    return PAGE.format(title=html.escape(title), body=body, width=0)


def film_page(title: str, film: bytes, width: int) -> str:
    """A page that plays a film, an MP4 carried inside it, at most `width` pixels wide."""
    source = f"data:video/mp4;base64,{base64.b64encode(film).decode()}"
    body = f'<h1>{html.escape(title)}</h1>\n<video src="{source}" controls autoplay loop muted playsinline></video>'
    return PAGE.format(title=html.escape(title), body=body, width=width)
