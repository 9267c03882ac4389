"""How names of the schema are written in the generated languages."""


def camel(snake: str) -> str:
    """scale_mode, PER_LANE -> ScaleMode, PerLane."""
    return "".join(part.capitalize() for part in snake.lower().split("_"))
