"""Settings that name features of a data set, checked before anything is trained."""

from __future__ import annotations

from pydantic import BaseModel

from benchmark.errors import UserError, unknown
from benchmark.schema import FeatureSchema

_NAMING = ("features", "fields", "recent_fields")
"""What such settings are called, in whatever section they stand."""
_OF_ITEMS = "of_items"
"""Marks, in a field's `json_schema_extra`, one that takes features of items alone."""


def check_features(settings: BaseModel, section: str, schema: FeatureSchema) -> None:
    """Refuses settings that name a feature which the data set does not have.

    Args:
        settings: Of a method or an encoder.
        section: What the user calls them.
        schema: The features there are.

    Raises:
        UserError: They name another; it says which setting does.
    """
    for name, field in type(settings).model_fields.items():
        if name not in _NAMING:
            continue
        marks = field.json_schema_extra
        of_items = isinstance(marks, dict) and bool(marks.get(_OF_ITEMS))
        valid = [own.name for own in schema if own.of_item or not of_items]
        for feature in getattr(settings, name) or ():
            if feature not in valid:
                kind = "item feature" if of_items else "feature"
                raise UserError(f"{section}.{name}: {unknown(kind, feature, valid)}")
