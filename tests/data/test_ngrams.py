"""N-grams by hand, models of them by their statistics, and the scores of strings."""

import math

import pytest
import torch
from torch.nn import functional as F

from discrete_vae.data import DataConfig, load, ngrams
from discrete_vae.data.expressions import EXPRESSIONS
from discrete_vae.data.language import Language
from discrete_vae.data.molecules import MOLECULES
from discrete_vae.data.ngrams import NGram, distribution, jensen_shannon, lengths
from discrete_vae.errors import InputError

A, B, PAD = 0, 1, 2
STRINGS = torch.tensor([[A, B, PAD], [B, PAD, PAD], [A, A, B]])
LANGUAGES = {"expressions": EXPRESSIONS, "molecules": MOLECULES}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def roomy(language: Language, count: int) -> torch.Tensor:
    """Strings of ``language`` with so much room behind them that no model's string is too long."""
    return F.pad(language.encode(language.draw(count, generator())), (0, 112), value=len(language.symbols) - 1)


def test_a_string_has_one_mark_of_its_end() -> None:
    assert lengths(STRINGS, 3).tolist() == [2, 1, 3]
    assert distribution(STRINGS, 3, 1).tolist() == pytest.approx([1 / 3] * 3)
    # ab, b$; b$; aa, ab, b$
    pairs = torch.zeros(3, 3)
    pairs[A, A], pairs[A, B], pairs[B, PAD] = 1 / 6, 2 / 6, 3 / 6
    assert distribution(STRINGS, 3, 2).tolist() == pytest.approx(pairs.flatten().tolist())
    # ab$; none; aab, ab$
    triples = torch.zeros(3, 3, 3)
    triples[A, B, PAD], triples[A, A, B] = 2 / 3, 1 / 3
    assert distribution(STRINGS, 3, 3).tolist() == pytest.approx(triples.flatten().tolist())
    # aab$
    assert distribution(STRINGS, 3, 4).nonzero().tolist() == [[int("0012", 3)]]
    assert not distribution(STRINGS, 3, 5).any()


def test_more_padding_changes_nothing() -> None:
    for order in (1, 2, 3, 4):
        assert distribution(F.pad(STRINGS, (0, 5), value=PAD), 3, order).equal(distribution(STRINGS, 3, order))


def test_padding_between_symbols_is_a_symbol() -> None:
    strings = torch.tensor([[PAD, A, PAD, B, PAD]])
    assert lengths(strings, 3).tolist() == [4]
    # _a, a_, _b, b$
    expected = [int(code, 3) for code in ("20", "02", "21", "12")]
    assert distribution(strings, 3, 2)[expected].tolist() == [0.25] * 4


def test_an_empty_string_is_the_mark_of_its_end() -> None:
    empty = torch.full((2, 3), PAD)
    assert distribution(empty, 3, 1).tolist() == [0, 0, 1]
    assert not distribution(empty, 3, 2).any()
    assert jensen_shannon(distribution(empty, 3, 2), distribution(STRINGS, 3, 2)) == math.log(2)


def test_jensen_shannon_by_hand() -> None:
    one, two = torch.tensor([1.0, 0, 0]).double(), torch.tensor([0.5, 0.5, 0]).double()
    # The middle is (3/4, 1/4): KL log(4/3) of the one, log(2/3) / 2 + log(2) / 2 = log(4/3) / 2 of the other.
    assert jensen_shannon(one, two) == pytest.approx(0.75 * math.log(4 / 3), abs=1e-15)


def test_jensen_shannon_is_symmetric_and_bounded() -> None:
    draws = torch.rand(20, 2, 50, generator=generator(), dtype=torch.float64).pow(8)
    for first, second in draws / draws.sum(-1, keepdim=True):
        found = jensen_shannon(first, second)
        assert 0 < found < math.log(2)
        assert found == pytest.approx(jensen_shannon(second, first), abs=1e-15)
        assert jensen_shannon(first, first) == pytest.approx(0, abs=1e-15)
        apart = F.pad(first, (0, 50)), F.pad(second, (50, 0))
        assert jensen_shannon(*apart) == pytest.approx(math.log(2), abs=1e-15)


def test_counts_by_hand() -> None:
    unigram = NGram(STRINGS, 3, 1)
    assert unigram.counts.tolist() == [[3, 3, 3]]
    bigram = NGram(STRINGS, 3, 2)
    assert bigram.contexts.tolist() == [A, B, 3]  # 3 is the start
    assert bigram.counts.tolist() == [[1, 2, 0], [0, 0, 3], [2, 1, 0]]
    trigram = NGram(STRINGS, 3, 3)
    assert trigram.contexts.tolist() == [int(code, 4) for code in ("00", "01", "30", "31", "33")]
    assert trigram.counts.tolist() == [[0, 1, 0], [0, 0, 2], [1, 1, 0], [0, 0, 1], [2, 1, 0]]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("name", LANGUAGES)
def test_a_models_strings_have_its_transitions_and_n_grams(name: str, order: int) -> None:
    language = LANGUAGES[name]
    symbols, strings = len(language.symbols), roomy(language, 4_000)
    model = NGram(strings, symbols, order)
    drawn = model.sample(20_000, generator(1))
    again = NGram(drawn, symbols, order)
    row = torch.searchsorted(model.contexts, again.contexts)
    assert model.contexts[row].equal(again.contexts)  # none is new
    chances = model.counts[row] / model.counts[row].sum(1, keepdim=True)
    visits = again.counts.sum(1, keepdim=True)
    assert (again.counts[chances == 0] == 0).all()
    # Each transition's frequency within 5 standard errors, where so many are expected that it is about normal.
    error = (chances * (1 - chances) / visits).sqrt()
    common = (visits * chances >= 25) & (visits * (1 - chances) >= 25)
    assert common.sum() >= symbols
    assert ((again.counts / visits - chances).abs() < 5 * error)[common].all()
    # N-grams of the model's order and below are those it was fitted on. Chance alone makes the divergence, as a
    # chi-squared over 8, about an eighth of the n-grams that occur over the windows; twice that is allowed.
    for lower in range(1, order + 1):
        pair = distribution(drawn, symbols, lower), distribution(strings, symbols, lower)
        windows = (lengths(drawn, symbols) + 2 - lower).clamp(min=0).sum()
        assert jensen_shannon(*pair) < 2 * pair[1].count_nonzero() / (8 * windows)
    assert jensen_shannon(distribution(drawn, symbols, 6), distribution(strings, symbols, 6)) > 1e-2


def test_a_one_gram_models_symbols_are_independent() -> None:
    model = NGram(roomy(EXPRESSIONS, 1_000), 7, 1)
    drawn = model.sample(20_000, generator(1))
    single = distribution(drawn, 7, 1)
    pairs = distribution(drawn, 7, 2).view(7, 7)
    # A pair's first symbol is never the end; whichever it is, the second is any, within 5 standard errors.
    assert not pairs[6].any()
    first = pairs[:6].sum(1, keepdim=True)
    error = (single * (1 - single) / (first * lengths(drawn, 7).sum())).sqrt()
    assert ((pairs[:6] / first - single).abs() < 5 * error).all()


def test_a_model_of_whole_strings_draws_these() -> None:
    strings = MOLECULES.encode(["C1CC1", "C1CC1", "OC=O", "C(F)(F)F"])
    drawn = MOLECULES.decode(NGram(strings, 9, 17).sample(10_000, generator()))
    shares = {string: drawn.count(string) / 10_000 for string in set(drawn)}
    # 5 standard errors of a share.
    assert shares == pytest.approx({"C1CC1": 0.5, "OC=O": 0.25, "C(F)(F)F": 0.25}, abs=0.025)


@pytest.mark.parametrize("order", [1, 4])
def test_a_models_strings_end_in_time(order: int) -> None:
    strings = EXPRESSIONS.encode(EXPRESSIONS.draw(1_000, generator()))
    model = NGram(strings, 7, order)
    drawn = model.sample(3_000, generator(1))
    assert (drawn.shape, drawn.dtype) == ((3_000, 16), torch.uint8)
    assert drawn.equal(model.sample(3_000, generator(1)))
    assert not drawn.equal(model.sample(3_000, generator(2)))
    assert all("_" not in string for string in EXPRESSIONS.decode(drawn))
    assert model.sample(0, generator()).shape == (0, 16)


@pytest.mark.parametrize("name", LANGUAGES)
def test_four_grams_do_not_make_a_language(name: str) -> None:
    data, language = load(DataConfig(name)), LANGUAGES[name]  # type: ignore[arg-type]
    model = NGram(data.train.pixels, len(language.symbols), 4)
    found = language.scores(model.sample(10_000, generator()), data.test.pixels, data.train.pixels)
    real = language.scores(data.validation.pixels, data.test.pixels, data.train.pixels)
    assert real["valid"] == 1
    assert 0.2 < found["valid"] < 0.4
    assert found["unique"] < real["unique"] / 3
    assert max(found[f"js_{order}"] for order in (1, 2, 3, 4)) < 0.01
    assert all(real[f"js_{order}"] < found[f"js_{order}"] for order in (1, 2, 3, 4))


def test_scores_by_hand() -> None:
    sample = EXPRESSIONS.encode(["x+y", "x+y", "x+", "(x+y)*x"])
    held_out = EXPRESSIONS.encode(["x*x", "x+y"])
    found = EXPRESSIONS.scores(sample, held_out)
    assert list(found) == ["valid", "unique", "js_1", "js_2", "js_3", "js_4"]
    assert (found["valid"], found["unique"]) == (0.75, 0.5)
    # The sample has x+y$ twice, x+$ never four symbols long, and (x+y, x+y), +y)*, y)*x, )*x$: 7 windows, of which 2
    # are also one of the two held out.
    theirs, ours = torch.tensor([0.5, 0.5] + [0] * 5).double(), torch.tensor([0, 2, 1, 1, 1, 1, 1]).double() / 7
    assert found["js_4"] == pytest.approx(jensen_shannon(theirs, ours), abs=1e-12)
    assert EXPRESSIONS.scores(sample, held_out, training=EXPRESSIONS.encode(["x+y", "x"]))["novel"] == 0.25
    same = EXPRESSIONS.scores(sample, sample)
    assert [same[f"js_{order}"] for order in (1, 2, 3, 4)] == pytest.approx([0] * 4, abs=1e-15)


def test_untrained_generators_have_scores() -> None:
    noise = torch.randint(9, (1_000, 16), generator=generator())
    held_out = MOLECULES.encode(MOLECULES.draw(1_000, generator()))
    found = MOLECULES.scores(noise, held_out)
    assert found["valid"] < 0.01
    assert 0.3 < found["js_4"] <= math.log(2)
    assert MOLECULES.scores(torch.full((5, 16), 8), held_out)["js_2"] == math.log(2)


def test_bad_input_is_told() -> None:
    with pytest.raises(InputError, match="a sample of 0 strings has no scores; give at least 1"):
        EXPRESSIONS.scores(STRINGS[:0], STRINGS)
    with pytest.raises(InputError, match="a model of 0-grams of 3 strings; give at least 1 of each"):
        NGram(STRINGS, 3, 0)
    with pytest.raises(InputError, match="a model of 2-grams of 0 strings"):
        NGram(STRINGS[:0], 3, 2)
    with pytest.raises(InputError, match="an order of 32 is too high for 3 symbols; give a lower one"):
        NGram(STRINGS, 3, 32)
    with pytest.raises(InputError, match="0-grams of 3 symbols are not tabulated; give an order of 1 to a few"):
        distribution(STRINGS, 3, 0)
    with pytest.raises(InputError, match="8-grams of 9 symbols are not tabulated"):
        distribution(STRINGS, 9, 8)


def test_strings_cut_from_running_text_have_no_end_of_their_own() -> None:
    """Where all strings are full, the model's are: its ends are no choice."""
    drawn = torch.randint(0, 3, (400, 6), generator=generator(0), dtype=torch.uint8)
    model = NGram(drawn, 4, 2)
    assert model.full
    sample = model.sample(300, generator(1))
    assert sample.shape == (300, 6)
    assert int(sample.max()) < 3
    assert not NGram(torch.cat([drawn, torch.tensor([[0, 1, 3, 3, 3, 3]], dtype=torch.uint8)]), 4, 2).full


def test_what_nothing_follows_ends_a_string_that_is_drawn_anew() -> None:
    model = NGram(torch.tensor([[0, 1, 2], [1, 0, 1]], dtype=torch.uint8), 4, 2)  # 2 has been seen at an end alone
    found = {tuple(string) for string in model.sample(200, generator(0)).tolist()}
    assert found == {(0, 1, 2), (0, 1, 0), (1, 0, 1)}


def test_counting_part_by_part_makes_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = torch.randint(0, 4, (101, 6), generator=generator(0), dtype=torch.uint8)
    whole = NGram(drawn, 4, 3)
    monkeypatch.setattr(ngrams, "PART", 7)
    parts = NGram(drawn, 4, 3)
    assert parts.contexts.equal(whole.contexts)
    assert parts.counts.equal(whole.counts)
