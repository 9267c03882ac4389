"""How names of the schema are written in the generated languages."""

# Those of SystemVerilog's reserved words that could name a field.
_RESERVED = frozenset(
    "and assert assign before begin bind bit break buf byte case cell class clocking const "
    "context continue cover cross default design disable do edge else end enum event export "
    "extends final first_match for force fork forever function global if import initial inout "
    "input inside int interface join large library local logic matches medium module nand new "
    "nor not null or output package packed parameter priority program property protected pure "
    "rand real ref reg release repeat return sequence shortint signed small solve static "
    "string strong struct super supply0 table tagged task this throughout time tri type union "
    "unique unsigned use var vectored virtual void wait weak while wildcard wire with within "
    "xnor xor".split()
)


def camel(snake: str) -> str:
    """scale_mode, PER_LANE -> ScaleMode, PerLane."""
    return "".join(part.capitalize() for part in snake.lower().split("_"))


def sv_member(field: str) -> str:
    """A field in a SystemVerilog structure: its name, with `_` behind a reserved word."""
    return field + "_" if field in _RESERVED else field
