"""Another distribution that installs a package of our name."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution

RIVAL = "napari-sam"


def rival_warning() -> str | None:
    """Say what to do about the distribution ``napari-sam``, if it is installed.

    It is no longer maintained and writes its files into the same folder as ours, so
    that one overwrites the other.

    Returns
    -------
    str or None
        None if it is not there.
    """
    try:
        version = distribution(RIVAL).version
    except PackageNotFoundError:
        return None
    return (
        f"The package {RIVAL} {version} is installed too and uses the same folder as "
        f"napari-sam-clip: run 'pip uninstall {RIVAL}' and then "
        "'pip install --force-reinstall --no-deps napari-sam-clip'."
    )
