"""A classifier from policies/commands: read, checked, and proved by its own examples."""

import hashlib
from pathlib import Path

from bot.policy.commands.catalogue import read_catalogue
from bot.policy.commands.classify import Classifier
from bot.policy.commands.examples import verify_examples

KEPT = 4
_kept: dict[str, Classifier] = {}


def load_classifier(folder: Path) -> Classifier:
    """The classifier of `folder` (policies/commands). Raises PolicyError with file, entry and mend.

    Proving a catalogue takes about a second, so the last few are kept by the bytes of their files.
    """
    whole = hashlib.sha256()
    for path in sorted(folder.glob("*.yaml")):
        whole.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    version = whole.hexdigest()
    if version not in _kept:
        catalogue = read_catalogue(folder)
        classifier = Classifier(catalogue)
        verify_examples(catalogue, classifier)
        while len(_kept) >= KEPT:
            _kept.pop(next(iter(_kept)))
        _kept[version] = classifier
    return _kept[version]
