"""Text to token ids and back, by a tokenizer file as models are published with (tokenizer.json)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jacquard.proto.lib.errors import UserError
from jacquard.runtime.cli import options


class Text:
    """A tokenizer file."""

    def __init__(self, path: str) -> None:
        """Raises UserError: no such file, or none that the library `tokenizers` reads."""
        from tokenizers import Tokenizer  # takes a while; most commands need none

        options.check_file(path, "tokenizer")
        try:
            self._tokenizer = Tokenizer.from_file(path)
        except Exception as error:  # the library raises no other class
            raise UserError(
                f"--tokenizer {path}: must be a tokenizer file (tokenizer.json), got one with "
                f"{str(error).splitlines()[0]}; take the one that the model came with"
            ) from error

    def ids(self, text: str) -> list[int]:
        """Token ids, those included that the tokenizer puts around a text."""
        return list(self._tokenizer.encode(text).ids)

    def text(self, ids: Sequence[int]) -> str:
        """The whole text of ids; of one that the file does not have, nothing."""
        return str(self._tokenizer.decode(list(ids)))

    def stream(self, prompt: Sequence[int]) -> Callable[[int], str]:
        """A function that gives what each id behind `prompt` adds to the text.

        "" while the bytes of a character are not complete.
        """
        from tokenizers.decoders import DecodeStream

        stream = DecodeStream(skip_special_tokens=True)

        def added(token: int) -> str:
            return stream.step(self._tokenizer, token) or ""

        for token in prompt:
            added(token)
        return added
