"""The exceptions a user can meet: each message says what is wrong and what to do."""

from __future__ import annotations


class NapariSamError(Exception):
    """Base of every error this package raises on purpose."""


class ImageError(NapariSamError, ValueError):
    """An array or a file that cannot be read as an image."""


class PromptError(NapariSamError, ValueError):
    """A point, box, mask or phrase that cannot be used on this image."""


class ModelError(NapariSamError, ValueError):
    """A model name or model setting that does not exist or does not fit."""


class CheckpointError(NapariSamError):
    """A weights file that is missing, damaged, unsafe or of another model."""


class DownloadError(CheckpointError):
    """A weights file that could not be fetched."""


class DataError(NapariSamError, ValueError):
    """Labels or a data set that training or evaluation cannot use."""


class ExportError(NapariSamError):
    """A result that could not be written or read back."""
