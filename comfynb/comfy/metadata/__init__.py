"""Texts that ComfyUI and its extensions hide in the files that they save.

Every reader takes a seekable binary stream, reads headers and texts only (never pixels or samples),
checks every length against the file, and gives ``{key in lower case: text}``.
"""

from comfynb.comfy.metadata.sniff import media_kind, read_texts

__all__ = ["media_kind", "read_texts"]
