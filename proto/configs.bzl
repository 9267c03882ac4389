"""The hardware configurations: one textproto each in proto/arch/."""

CONFIGS = [
    "edge16",
    "edge16w4",
    "mobile32",
    "nano4",
    "rect8x16",
    "server64",
]
