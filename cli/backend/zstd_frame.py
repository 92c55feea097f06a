"""Whether a file that zstd compressed is whole: its frame is walked (RFC 8878, 3.1.1), and nothing is unpacked.

Python has zstd from 3.14 on. The blocks' sizes are enough to see whether a state was cut off.
"""

from __future__ import annotations

MAGIC = b"\x28\xb5\x2f\xfd"
_DICTIONARY = (0, 1, 2, 4)  # bytes of its number
_CONTENT = (0, 2, 4, 8)  # bytes of the content's size
_HEADER = 3  # of a block
_RLE, _RESERVED = 1, 3  # kinds of blocks
_CHECKSUM = 4


def is_whole(data: bytes) -> bool:
    """Whether there is one frame, from its first byte to its last."""
    if not data.startswith(MAGIC) or len(data) <= len(MAGIC):
        return False
    descriptor = data[len(MAGIC)]
    single, content = descriptor >> 5 & 1, descriptor >> 6
    position = len(MAGIC) + 1 + (1 - single) + _DICTIONARY[descriptor & 3]
    position += 1 if single and content == 0 else _CONTENT[content]
    is_last = False
    while not is_last:
        header = int.from_bytes(data[position : position + _HEADER], "little")
        kind, size = header >> 1 & 3, header >> 3
        if position + _HEADER > len(data) or kind == _RESERVED:
            return False
        is_last = bool(header & 1)
        position += _HEADER + (1 if kind == _RLE else size)
    return position + _CHECKSUM * (descriptor >> 2 & 1) == len(data)
