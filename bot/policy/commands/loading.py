"""A classifier from policies/commands: read, checked, and proved by its own examples."""

import hashlib
from pathlib import Path

from bot.policy.commands.catalogue import Catalogue, read_catalogue
from bot.policy.commands.classify import Classifier
from bot.policy.commands.examples import verify_examples

KEPT = 4
HERE = Path(__file__).parent
PROOF = "catalogue-proved"  # in the data folder
_kept: dict[str, Classifier] = {}


def load_classifier(folder: Path, proof: Path | None = None) -> Classifier:
    """The classifier of `folder` (policies/commands). Raises PolicyError with file, entry and mend.

    Proving a catalogue takes more than a second, so the last few are kept by the bytes of their files, and the file
    `proof` remembers between starts which bytes, of the catalogue and of the code that reads it, were proved last.
    """
    version = _digest(sorted(folder.glob("*.yaml")))
    if version not in _kept:
        catalogue = read_catalogue(folder)
        classifier = Classifier(catalogue)
        _prove(catalogue, classifier, version, proof)
        while len(_kept) >= KEPT:
            _kept.pop(next(iter(_kept)))
        _kept[version] = classifier
    return _kept[version]


def _prove(catalogue: Catalogue, classifier: Classifier, version: str, proof: Path | None) -> None:
    words = f"{version} {_digest(sorted(HERE.glob('*.py')))}\n"
    try:
        if proof is not None and proof.read_text() == words:
            return
    except (OSError, UnicodeDecodeError):
        pass  # not proved yet, or nobody can say
    verify_examples(catalogue, classifier)
    if proof is not None:
        _remember(proof, words)


def _remember(proof: Path, words: str) -> None:
    """Best effort: without it the next start proves again."""
    try:
        proof.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        proof.write_text(words)
    except OSError:
        return


def _digest(files: list[Path]) -> str:
    whole = hashlib.sha256()
    for path in files:
        whole.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()
