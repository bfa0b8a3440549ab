"""The pairs that are divided: all of them, or those with a label."""

from __future__ import annotations

from cimnet.curation.split.groups import find_groups
from cimnet.data.contents import Contents
from cimnet.data.io.split_lists import list_text
from cimnet.data.pairs import Pair
from cimnet.errors import DataError
from cimnet.utils.numbers import pluralize


def choose_pairs(
    contents: Contents, groups: str | None, labelled: bool
) -> tuple[list[Pair], dict[str, str], tuple[str, ...]]:
    """The pairs to divide by id, the group of each, and notes.

    Groups are found among all pairs: which frames belong together does not depend on which of them have labels.

    Args:
        contents: one split of a data set.
        groups: as in `find_groups`; None: "auto".
        labelled: whether to leave out the pairs that have no label.

    Raises:
        DataError: no pair that is left, a name that cannot stand in a list, and whatever `find_groups` raises.
    """
    dataset = contents.dataset
    pairs = [contents.pairs[name] for name in sorted(contents.pairs)]
    list_text([pair.id for pair in pairs], dataset.index(dataset.root).resolve)  # before the work
    bare = sum(pair.label is None for pair in pairs)
    if labelled and bare == len(pairs):
        raise DataError(f"{dataset.root}: no pair has a label; label some first (`cimnet data label`)")
    group_of, note = find_groups(pairs, groups or "auto", dataset.wanted.bands)
    notes = [note] if note else []
    has = pluralize(bare, "pair has", "pairs have")
    if labelled and bare:
        pairs = [pair for pair in pairs if pair.label is not None]
        notes.append(f"{has} no label and {'is' if bare == 1 else 'are'} in no part")
    elif 0 < bare < len(pairs):
        notes.append(f"{has} no label, and training needs one; --labelled leaves such pairs out")
    return pairs, {pair.id: group_of[pair.id] for pair in pairs}, tuple(notes)
