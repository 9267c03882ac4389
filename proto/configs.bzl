"""The hardware configurations: one textproto each in proto/arch/."""

CONFIGS = [
    "edge16",
    "nano4",
]
