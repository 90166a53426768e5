"""How pydantic models are taken apart and put together again.

By the four parts in which a model keeps its state, as its own ``__getstate__`` names
them: the fields, which of them were given, the extras, the private attributes. No
validator runs when one is read, so a model comes back as it was stored even where it
would not validate, and unset fields stay unset.
"""

from __future__ import annotations

import sys
from typing import Any

from aiocache_pe.codecs.base import NotExact
from aiocache_pe.codecs.classes.shapes import get_stored_name, join_parts, split_parts


def is_model(cls: type) -> bool:
    """Whether it is a pydantic model; pydantic is not loaded to find out."""
    # Through its main module, as asking the package for it may load it lazily.
    base = getattr(sys.modules.get("pydantic.main"), "BaseModel", None)
    return base is not None and issubclass(cls, base)


class ModelShape:
    """Models of pydantic 2.

    Args:
        cls: the class.

    Raises:
        TypeError: the class has a ``__getstate__`` of its own, or is abstract.
    """

    def __init__(self, cls: Any) -> None:
        for name in ("__getstate__", "__setstate__"):
            if getattr(cls, name).__module__.partition(".")[0] != "pydantic":
                raise TypeError(f"{get_stored_name(cls)} has its own {name}")
        cls.__new__(cls)
        self.cls = cls

    def decompose(self, value: Any) -> Any:
        """The fields, and beside them what differs from a model just validated."""
        state = value.__getstate__()
        names = self._names()
        rest = dict(state.pop("__dict__"))
        try:
            fields = {name: rest.pop(name) for name in names}
        except KeyError as error:
            raise NotExact(f"a {get_stored_name(self.cls)} has no {error.args[0]}") from None
        given = state.pop("__pydantic_fields_set__")
        more: dict[str, Any] = {}
        if given != fields.keys():
            more["fields_set"] = sorted(given)
        for part in ("extra", "private"):
            if (found := state.pop(f"__pydantic_{part}__", None)) is not None:
                more[part] = found
        if rest:
            more["attributes"] = rest
        if state:
            raise NotExact(f"a {get_stored_name(self.cls)} has the parts {sorted(state)}")
        return join_parts(fields, more)

    def build(self, state: Any) -> Any:
        """An instance with just these parts; nothing is validated."""
        fields, rest = split_parts(self.cls, state, frozenset(self._names()))
        value = self.cls.__new__(self.cls)
        value.__setstate__(
            {
                "__dict__": {**fields, **rest.get("attributes", {})},
                "__pydantic_fields_set__": set(rest.get("fields_set", fields)),
                "__pydantic_extra__": rest.get("extra"),
                "__pydantic_private__": rest.get("private"),
            }
        )
        return value

    def _names(self) -> Any:
        # Asked each time: a model with forward references is completed later.
        return self.cls.model_fields.keys()
