"""Made-up movie titles: shared beginnings, series, remakes, years; the same ones for a seed."""

from __future__ import annotations

import random


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ADJECTIVES = _words(
    "Last First Lost Dark Black White Red Blue Golden Silent Secret Hidden Broken Wild Long "
    "Little Great Good Bad Big Perfect American Young Old New Dead Living Deep Cold Hot "
    "Sweet Bitter Crimson Midnight Distant Strange Beautiful Final Fatal Forbidden Innocent "
    "Lonely Mad Naked Quiet Royal Savage Second Simple Sleeping Burning Invisible Eternal "
    "Empty Private Crazy"
)
_NOUNS = _words(
    "Man Woman Night Day House City River Road Love Life Death Heart Dream World King Queen "
    "Girl Boy Child Soldier Stranger Shadow Star Moon Sun Sea Island Mountain Garden Street "
    "Train Ship Game War Peace Dance Song Letter Book Door Window Wall Bridge Tower Castle "
    "Forest Desert Storm Rain Snow Fire Ice Blood Bone Wolf Lion Tiger Horse Dog Cat Bird "
    "Snake Spider Ghost Angel Devil Witch Murder Crime Trial Witness Stranger Hunter Killer "
    "Lover Wife Husband Daughter Son Father Mother Brother Sister Doctor Teacher Detective "
    "Spy Thief Outlaw Kingdom"
)
_NAMES = _words(
    "Anna Maria John Jack Henry Alice Emma Charlie Frank Harry Jane Johnny Kate Louis Max "
    "Nora Oscar Paul Peter Rosa Sam Sarah Tom Victor William Eva Lola Marie Pierre Ivan Olga "
    "Hans"
)
_STARTS = _words(
    "Ba Be Bri Ca Cor Da Del El Fa Gar Ha Hol Ka Kel La Lor Ma Mor Na Or Pa Ral Sa Ta Va"
)
_ENDS = _words(
    "bert dale den der field ford ham ki lan ley lin ling low mann mont nov ri son ton van"
)
_PLACES = _words("Paris Tokyo Rome Texas Berlin Havana Brooklyn Casablanca Vegas Moscow Venice")
_PARTS = ("II", "III", "IV", "V", "VI")

FIRST_YEAR, LAST_YEAR = 1915, 2015


def movie_titles(count: int, seed: int) -> list[str]:
    """`count` titles such as `Last Train, The (Koralan da Morley) (1957)`; a few occur twice."""
    rng = random.Random(seed)
    titles: list[str] = []
    while len(titles) < count:
        name, year = _name(rng), rng.randint(FIRST_YEAR, LAST_YEAR)
        other = f" ({_foreign(rng)})" if rng.random() < 0.3 else ""
        titles.append(f"{name}{other} ({year})")
        while rng.random() < 0.06:  # sequels and remakes
            year = min(LAST_YEAR, year + rng.randint(0, 12))
            kind = rng.random()
            if kind < 0.3:
                titles.append(f"{name} ({year})")
            elif kind < 0.6:
                titles.append(f"{name} {rng.choice(_PARTS)} ({year})")
            else:
                titles.append(f"{name}: {_phrase(rng)} ({year})")
    rng.shuffle(titles)
    return titles[:count]


def _name(rng: random.Random) -> str:
    name = _phrase(rng)
    if rng.random() > 0.25 or name.startswith("The "):
        return name
    # As MovieLens writes it, the article stands behind.
    return f"{name}, {rng.choice(('The', 'The', 'The', 'A'))}"


def _phrase(rng: random.Random) -> str:
    noun, adjective = rng.choice(_NOUNS), rng.choice(_ADJECTIVES)
    person = rng.choice((rng.choice(_NAMES), _family(rng)))
    phrases = (
        f"{adjective} {noun}",
        f"{noun} of {rng.choice(_NOUNS)}s",
        f"{noun} of the {adjective} {rng.choice(_NOUNS)}",
        f"{noun} in {rng.choice((*_PLACES, _family(rng)))}",
        f"{person}'s {noun}",
        f"{person} and the {noun}",
        f"{rng.choice(_NAMES)} {_family(rng)}",
        f"{_family(rng)}",
        f"{noun}s and {rng.choice(_NOUNS)}s",
        f"{adjective} {noun} of {_family(rng)}",
        f"{_family(rng)} and the {adjective} {noun}",
        f"The {adjective} {noun} of {rng.choice(_NAMES)} {_family(rng)}",
        f"{_family(rng)}: The {noun} of {rng.choice(_PLACES)}",
    )
    return rng.choice(phrases)


def _foreign(rng: random.Random) -> str:
    link = rng.choice((" ", " da ", " no ", " di ", " och ", " ni "))
    words = link.join(_family(rng) for _ in range(rng.randint(2, 3)))
    return words.capitalize()


def _family(rng: random.Random) -> str:
    # By Zipf's law: a few names are everywhere, most occur once or twice.
    return _FAMILIES[int(len(_FAMILIES) ** rng.random()) - 1]


def _families(count: int) -> list[str]:
    rng = random.Random(0)
    names: dict[str, None] = {}
    while len(names) < count:
        middle = "".join(
            rng.choice("aeiou") + rng.choice("lmnrst") for _ in range(rng.choice((0, 1, 1, 2)))
        )
        names[rng.choice(_STARTS) + middle + rng.choice(_ENDS)] = None
    return list(names)


_FAMILIES = _families(20_000)
