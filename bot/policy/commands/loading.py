"""A classifier from policies/commands: read, checked, and proved by its own examples."""

import hashlib
from functools import lru_cache
from pathlib import Path

from bot.policy.commands.catalogue import read_catalogue
from bot.policy.commands.classify import Classifier
from bot.policy.commands.examples import verify_examples


def load_classifier(folder: Path) -> Classifier:
    """The classifier of `folder` (policies/commands). Raises PolicyError with file, entry and mend.

    Read again only when a file changed: the folder's bytes are the key.
    """
    whole = hashlib.sha256()
    for path in sorted(folder.glob("*.yaml")):
        whole.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return _loaded(folder, whole.hexdigest())


@lru_cache(maxsize=4)
def _loaded(folder: Path, version: str) -> Classifier:
    del version  # part of the key only
    catalogue = read_catalogue(folder)
    classifier = Classifier(catalogue)
    verify_examples(catalogue, classifier)
    return classifier
