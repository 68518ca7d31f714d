"""``python -m discrete_vae``: the command ``discrete-vae``."""

from discrete_vae.cli.command import main

main()
