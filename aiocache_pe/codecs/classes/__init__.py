"""Conversion of instances of users' classes: dataclasses, models, structs, enums, named tuples."""
