"""From the bytes of a spec file to text and back, as go-yaml v2 reads bytes (goyaml.v2/readerc.go)."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from talos_gpu.cdi.errors import SpecFault, SpecInvalid

READER = "sigs.k8s.io/yaml goyaml.v2/readerc.go"


@dataclass(frozen=True, slots=True)
class SpecText:
    """A file's text with the encoding to write it back in; a byte order mark stays in the text."""

    text: str
    encoding: str

    def encoded(self, text: str) -> bytes:
        """Another text (this one, patched) in the encoding of the file."""
        return text.encode(self.encoding)


def decode(data: bytes) -> SpecText:
    """The text of a spec file: UTF-8, or UTF-16 where a byte order mark says so. Raises SpecInvalid."""
    encoding = "utf-8"
    if data.startswith(codecs.BOM_UTF16_LE):
        encoding = "utf-16-le"
    elif data.startswith(codecs.BOM_UTF16_BE):
        encoding = "utf-16-be"
    try:
        return SpecText(data.decode(encoding), encoding)
    except UnicodeDecodeError as error:
        good = data[: error.start].decode(encoding, errors="ignore")
        line, column = good.count("\n") + 1, len(good) - (good.rfind("\n") + 1) + 1
        message = f"byte {error.start} is no {encoding.upper()}: {error.reason}"
        raise SpecInvalid([SpecFault(line, column, "", "encoding", message, READER)]) from None
