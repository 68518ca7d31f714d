"""The command ``discrete-vae`` and the parts that other commands share."""
