"""Tables and figures, one command each: ``python -m reports NAME --preset quick --out DIR``.

A report is one file with a ``REPORT`` at its end, and one row of ``REPORTS`` in ``__main__.py``.
"""
