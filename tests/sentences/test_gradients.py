"""The documentation's sentences on gradients, held to the committed results."""

from __future__ import annotations

from tests.readme import SAID, results_of

GAUSS_NEWTON = "gauss-newton-local-expectation", "target-propagation, Gauss-Newton"


def test_what_is_said_of_gradients() -> None:
    """Cosines of one draw at the defaults after 20 epochs, and which biases can be seen."""
    results = results_of("gradients")
    last = results[results["epoch"] == 20].drop_duplicates(["row", "metric"])  # the defaults come first
    values = last.pivot(index="row", columns="metric", values="value")
    cosine = values["cosine"]
    ordered = [name for name in cosine.sort_values(ascending=False).index if name not in GAUSS_NEWTON]
    best = ["unordered-set", "sum-and-sample", "local-expectation", "carms", "rloo", "rodeo"]
    assert ordered[:8] == [*best, "disarm-tree", "disarm-stick-breaking"]
    assert set(ordered[8:12]) == {"relax", "rebar, coupled", "rebar", "arsm"}
    told = (
        f"`unordered-set` with four different states ({cosine['unordered-set']:.2f}), `sum-and-sample` with three "
        f"states and a draw ({cosine['sum-and-sample']:.2f}) and `local-expectation` "
        f"({cosine['local-expectation']:.2f}), which takes N (K - 1) more "
        f"evaluations; after it come, apart from Gauss-Newton (below), CARMS ({cosine['carms']:.2f}) and leave-one-out "
        f"({cosine['rloo']:.2f}) with four samples each, RODEO ({cosine['rodeo']:.2f}), DisARM by a tree "
        f"({cosine['disarm-tree']:.2f}) and by stick-breaking ({cosine['disarm-stick-breaking']:.2f}) with two, "
        f"RELAX ({cosine['relax']:.2f}), "
        f"REBAR ({cosine['rebar']:.2f}; coupled {cosine['rebar, coupled']:.2f}) and ARSM ({cosine['arsm']:.2f})"
    )
    assert told in SAID
    ours, targets = GAUSS_NEWTON
    first = results[results["epoch"] == 1].drop_duplicates(["row", "metric"]).query("metric == 'cosine'")
    after = first.set_index("row")["value"]
    assert (
        f"has {cosine[ours]:.2f}, as target propagation with its geometry has ({cosine[targets]:.2f}); its bias is "
        f"{values['bias'][ours]:.2f} of the norm, and one draw has a standard deviation of "
        f"{values['variance'][ours] ** 0.5:.1f} times it. After 1 epoch its cosine is {after[ours]:.2f}, that of local "
        f"expectation {after['local-expectation']:.2f} and that of ReinMax {after['reinmax']:.2f}."
    ) in SAID
    second = values.loc[["reinmax", "zgr", "minimum-variance", "target-propagation, mirror"]]
    assert (second["bias"] < 2 * (second["variance"] / 1000) ** 0.5).all()
    assert {f"{value:.1f}" for value in second["variance"] ** 0.5} == {"4.5"}
    assert values["bias"]["straight-through"] > 1
    start = results[(results["epoch"] == 0) & (results["row"] == "straight-through") & (results["metric"] == "cosine")]
    assert f"(cosine of one draw {start['value'].iloc[0]:.2f})" in SAID
