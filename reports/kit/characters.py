"""Characters as LaTeX commands of the kernel, which every engine has with the fonts that come with it."""

# ruff: noqa: RUF001 (they look like others)

from __future__ import annotations

import re
import unicodedata


def _pairs(table: str) -> dict[str, str]:
    """Characters and their commands, written in turn."""
    words = table.split()
    return dict(zip(words[::2], words[1::2], strict=True))


_ACCENTS = {
    "\u0300": ("`", "grave"),
    "\u0301": ("'", "acute"),
    "\u0302": ("^", "hat"),
    "\u0303": ("~", "tilde"),
    "\u0304": ("=", "bar"),
    "\u0306": ("u", "breve"),
    "\u0307": (".", "dot"),
    "\u0308": ('"', "ddot"),
    "\u030a": ("r", "mathring"),
    "\u030b": ("H", ""),
    "\u030c": ("v", "check"),
    "\u0323": ("d", ""),
    "\u0327": ("c", ""),
    "\u0328": ("k", ""),
    "\u0331": ("b", ""),
}
"""Combining characters: the accent on a Latin letter, and in a formula."""

_TEXT = _pairs(
    """
    ß ss  æ ae  Æ AE  œ oe  Œ OE  ø o  Ø O  ł l  Ł L  đ dj  Đ DJ  ð dh  Ð DH  þ th  Þ TH  ŋ ng  Ŋ NG  ı i
    ¡ textexclamdown  ¿ textquestiondown  § S  ¶ P  © textcopyright  ® textregistered  ™ texttrademark  ° textdegree
    ª textordfeminine  º textordmasculine  ¢ textcent  £ textsterling  ¥ textyen  € texteuro  ¤ textcurrency
    ¦ textbrokenbar  ¼ textonequarter  ½ textonehalf  ¾ textthreequarters  – textendash  — textemdash
    ‘ textquoteleft  ’ textquoteright  ‚ quotesinglbase  “ textquotedblleft  ” textquotedblright  „ quotedblbase
    ‹ guilsinglleft  › guilsinglright  « guillemotleft  » guillemotright  … textellipsis  † textdagger
    ‡ textdaggerdbl  • textbullet  ‰ textperthousand
    """
)

_LETTERS = _pairs(
    """
    α alpha  β beta  γ gamma  δ delta  ε varepsilon  ζ zeta  η eta  θ theta  ι iota  κ kappa  λ lambda  μ mu  µ mu
    ν nu  ξ xi  ο mathrm{o}  π pi  ρ rho  ς varsigma  σ sigma  τ tau  υ upsilon  φ varphi  χ chi  ψ psi  ω omega
    ϑ vartheta  ϕ phi  ϖ varpi  ϱ varrho  ϵ epsilon  Α mathrm{A}  Β mathrm{B}  Γ Gamma  Δ Delta  Ε mathrm{E}
    Ζ mathrm{Z}  Η mathrm{H}  Θ Theta  Ι mathrm{I}  Κ mathrm{K}  Λ Lambda  Μ mathrm{M}  Ν mathrm{N}  Ξ Xi
    Ο mathrm{O}  Π Pi  Ρ mathrm{P}  Σ Sigma  Τ mathrm{T}  Υ Upsilon  Φ Phi  Χ mathrm{X}  Ψ Psi  Ω Omega
    """
)
"""Greek, which stands in formulas."""

_MATH = _pairs(
    r"""
    ± pm  ∓ mp  × times  ÷ div  · cdot  ∗ ast  ∘ circ  ⊙ odot  ⊕ oplus  ⊗ otimes  ≤ leq  ≥ geq  ≠ neq  ≈ approx
    ≡ equiv  ≪ ll  ≫ gg  ∼ sim  ≃ simeq  ∝ propto  ∞ infty  ∂ partial  ∇ nabla  ∑ sum  ∏ prod  ∫ int  √ surd  ∈ in
    ∉ notin  ∋ ni  ∅ emptyset  ∀ forall  ∃ exists  ∩ cap  ∪ cup  ⊂ subset  ⊃ supset  ⊆ subseteq  ⊇ supseteq  ∧ wedge
    ∨ vee  ¬ neg  ⊥ bot  ⊤ top  ∥ parallel  → rightarrow  ← leftarrow  ↔ leftrightarrow  ↑ uparrow  ↓ downarrow
    ⇒ Rightarrow  ⇐ Leftarrow  ⇔ Leftrightarrow  ↦ mapsto  ⟨ langle  ⟩ rangle  ⌊ lfloor  ⌋ rfloor  ⌈ lceil  ⌉ rceil
    ℓ ell  ℜ Re  ℑ Im  ℵ aleph  ′ prime  ″ prime\prime  ★ star  ♠ spadesuit  ♣ clubsuit  ♥ heartsuit  ♦ diamondsuit
    ♭ flat  ♮ natural  ♯ sharp
    """
)

_ASCII = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "^": r"\textasciicircum{}",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "%": r"\%",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",  # else the argument of the line break or the rule before it
    "]": "{]}",
    "*": "{*}",
}
_OTHER = {"\u00a0": "~", "\u202f": "~", "−": r"\ensuremath{-}", "‐": "-", "\u2011": "-"}

COMMANDS: dict[str, str] = (
    _ASCII
    | {each: rf"\{name}{{}}" for each, name in _TEXT.items()}
    | {each: rf"\ensuremath{{\{name}}}" for each, name in (_LETTERS | _MATH).items()}
    | _OTHER
)
"""The LaTeX source of what does not stand for itself."""

SYMBOLS = {name: each for each, name in reversed((_LETTERS | _MATH).items()) if name.isalpha()} | {
    "le": "≤",
    "ge": "≥",
    "ne": "≠",
    "to": "→",
    "dots": "…",
    "ldots": "…",
    "cdots": "…",
}
"""The character that a command of a formula stands for."""

_RAISED = {"<super>": "textsuperscript", "<sub>": "textsubscript"}
_CLUSTER = re.compile(r".[\u0300-\u036f]*", re.DOTALL)
_LIGATURES = re.compile(r"([-',])(?=\1)")
_SPACES = re.compile(r"(?<= ) ")


def latex(text: str) -> str:
    """LaTeX source that prints the same characters; one that has no command stands as its code point in a box."""
    source = "".join(_cluster(each) for each in _CLUSTER.findall(text))
    return _SPACES.sub("~", _LIGATURES.sub(r"\1{}", source))


def _cluster(text: str) -> str:
    """A character with the combining ones behind it."""
    whole = unicodedata.normalize("NFC", text)
    if len(whole) > 1 or whole not in COMMANDS:
        base, *marks = list(unicodedata.normalize("NFD", text))
        accent, above = _ACCENTS.get(marks[0], ("", "")) if len(marks) == 1 else ("", "")
        if accent and base.isascii() and base.isalpha():
            return rf"\{accent}{{{base}}}"
        if above and base in _LETTERS:
            return rf"\ensuremath{{\{above}{{\{_LETTERS[base]}}}}}"
    return "".join(_single(each) for each in whole)


def _single(character: str) -> str:
    if character in COMMANDS:
        return COMMANDS[character]
    if character.isascii() and character.isprintable():
        return character
    kind, _, plain = unicodedata.decomposition(character).partition(" ")
    if kind in _RAISED and len(plain) == 4 and (inner := chr(int(plain, 16))).isascii():
        return rf"\{_RAISED[kind]}{{{COMMANDS.get(inner, inner)}}}"
    return rf"\fbox{{\tiny U+{ord(character):04X}}}"
