"""The commands of ``python -m studies``, one module for what belongs together."""
