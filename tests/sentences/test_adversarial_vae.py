"""The documentation's sentences on a critic in place of the KL, held to the committed results."""

from __future__ import annotations

from tests.readme import SAID, apart, results_of, told


def test_sentences_on_a_critic_in_place_of_the_kl() -> None:
    results = results_of("adversarial-vae")

    def change(metric: str, digits: int = 0) -> list[str]:
        names = ("Gumbel-Softmax", "ST-Gumbel-Softmax")
        return [told(apart(results, f"{name}, critic", f"{name}, KL", "test", metric), digits) for name in names]

    entropies = [text.removeprefix("-") for text in change("code_entropy", 2)]
    assert f"as close to the prior as the KL does ({entropies[0]} and {entropies[1]} nats farther)" in SAID
    means = {
        metric: [text.partition(" ")[0].removeprefix("-") for text in change(metric)]
        for metric in ("reconstruction_hard", "elbo", "log_likelihood")
    }
    assert "Reconstructions gain {} and {} nats".format(*means["reconstruction_hard"]) in SAID
    assert (
        "are {} and {} nats behind on the ELBO, {} and {} on the bound".format(*means["elbo"], *means["log_likelihood"])
        in SAID
    )
