"""Flags that several verbs have, given to a verb as one argument."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, get_type_hints

Verb = Callable[..., None]


def with_flags(
    shared: Mapping[str, tuple[Any, Any]], gathered: Callable[[dict[str, Any], dict[str, Any]], Any]
) -> Callable[[Verb], Verb]:
    """Puts flags in the place of a verb's argument `flags`, which gets them as one value.

    Args:
        shared: annotation and default of each flag, in the order of the help.
        gathered: makes that value of the flags' values and of the verb's other arguments.

    Returns:
        The decorator of a verb.
    """

    def decorate(verb: Verb) -> Verb:
        hints = get_type_hints(verb, include_extras=True)
        parameters = []
        for parameter in inspect.signature(verb).parameters.values():
            if parameter.name != "flags":
                parameters.append(parameter.replace(annotation=hints[parameter.name]))
                continue
            parameters += [
                inspect.Parameter(name, parameter.kind, default=default, annotation=kind)
                for name, (kind, default) in shared.items()
            ]

        signature = inspect.Signature(parameters)

        @wraps(verb)
        def command(*positional: Any, **named: Any) -> None:
            bound = signature.bind(*positional, **named)
            bound.apply_defaults()
            given = dict(bound.arguments)
            values = {name: given.pop(name) for name in shared}
            verb(**given, flags=gathered(values, given))

        # Typer reads the signature; what `wraps` left would lead it back to the verb's own.
        del command.__wrapped__  # pyright: ignore[reportAttributeAccessIssue]
        command.__signature__ = signature  # pyright: ignore[reportAttributeAccessIssue]
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        return command

    return decorate
