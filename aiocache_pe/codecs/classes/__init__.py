"""Values of classes: dataclasses, models and registered types."""
