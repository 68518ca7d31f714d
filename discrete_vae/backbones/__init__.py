"""Networks from an observation to the latents' parameters, and from a sample to an observation's."""
