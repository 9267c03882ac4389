"""Named like a module of the standard library on purpose: the mount must keep the two apart."""

ANSWER = 42
