"""Random architectures of a generator and its critic, each under both constraints, by the Inception score."""

from reports.architectures.settings import PRESETS, study

STUDY = study(PRESETS["paper"])
