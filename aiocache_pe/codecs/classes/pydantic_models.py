"""Conversion of pydantic models to their parts and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiocache_pe.codecs.classes.shapes import Shape, join_parts
from aiocache_pe.keys.qualified_names import get_stored_name


class ModelShape(Shape):
    """Shape of a model of pydantic 2.

    It stores the four parts of a model's state, by the names of the model's ``__getstate__``: the
    fields, the set of fields that were given, the extras and the private attributes. Reading runs
    no validator. So a model is restored as it was even if it would not validate, and unset fields
    stay unset.

    Raises:
        TypeError: the class has a ``__getstate__`` of its own, or is abstract.
    """

    def __init__(self, cls: Any) -> None:
        for name in ("__getstate__", "__setstate__"):
            if getattr(cls, name).__module__.partition(".")[0] != "pydantic":
                raise TypeError(f"{get_stored_name(cls)} has its own {name}")
        cls.__new__(cls)
        super().__init__(cls)

    @property
    def names(self) -> Mapping[str, object]:
        """Names of the fields; a model with forward references is completed later."""
        return self.cls.model_fields  # type: ignore[no-any-return]

    def decompose(self, value: Any) -> Any:
        """Return the fields, and all parts that differ from a model that was just validated."""
        state = value.__getstate__()
        attributes = dict(state.pop("__dict__"))
        try:
            fields = {name: attributes.pop(name) for name in self.names}
        except KeyError as error:
            raise self._make_error(f"has no {error.args[0]}") from None

        rest: dict[str, Any] = {}
        fields_set = state.pop("__pydantic_fields_set__")
        if fields_set != fields.keys():
            rest["fields_set"] = sorted(fields_set)
        for part in ("extra", "private"):
            if (content := state.pop(f"__pydantic_{part}__", None)) is not None:
                rest[part] = content
        if attributes:
            rest["attributes"] = attributes
        if state:
            raise self._make_error(f"has the parts {sorted(state)}")
        return join_parts(fields, rest)

    def build(self, state: Any) -> Any:
        """Return an instance with exactly these parts, without validation."""
        fields, rest = self._split(state)
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
