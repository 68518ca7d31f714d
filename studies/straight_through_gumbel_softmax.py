"""Temperature, its decay, and learning rate of straight-through-gumbel-softmax."""

from studies.gumbel_softmax import study

STUDY = study("straight-through-gumbel-softmax")
