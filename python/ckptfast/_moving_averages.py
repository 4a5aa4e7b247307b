"""Which tensor holds the moving average of a variable: the one rule, for all who read them.

`tf.train.ExponentialMovingAverage` keeps the average of `NAME` in a shadow variable called
`NAME/ExponentialMovingAverage`, of a partitioned variable under its full name. With
`zero_debias=True` it keeps variables of its own below that name.
"""

from __future__ import annotations

from collections.abc import Container, Iterable

SUFFIX = "/ExponentialMovingAverage"
"""What the name of a shadow variable has after the name of its variable."""


def key_of(keys: Container[str], name: str) -> str:
    """The key to read for the variable `name`: its shadow's if `keys` has it, else its own.

    Of variables that were not averaged (a step counter, say) there is no shadow.
    """
    shadow = name + SUFFIX
    return shadow if shadow in keys else name


def plain_names(keys: Iterable[str]) -> dict[str, str]:
    """Every variable among `keys` by its plain name, with the key to read for it.

    Shadow variables are left out, and so is what lies below their names. A variable whose shadow
    alone was saved is there all the same.
    """
    every = dict.fromkeys(keys)
    variables: dict[str, str] = {}
    for key in every:
        name, found, _ = key.partition(SUFFIX)
        if not found or not name or not _is_shadow(every, key, name):
            variables.setdefault(key, key_of(every, key))
        elif key == name + SUFFIX:
            variables[name] = key
    return variables


def _is_shadow(keys: Container[str], key: str, name: str) -> bool:
    """Whether `key` is the shadow of `name`, or belongs to that shadow."""
    shadow = name + SUFFIX
    return key == shadow or (key.startswith(shadow + "/") and shadow in keys)
