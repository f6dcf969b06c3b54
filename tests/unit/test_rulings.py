"""What people write to accept a finding or waive a criterion."""

import pytest

from bot.rulings import Words, read_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("accept CKV_1 nobody reaches it", Words("accept", "CKV_1", "", "nobody reaches it")),
        ("Accept 0a1b2c3d4e5f of 7: only in the lab", Words("accept", "0a1b2c3d4e5f", "7", "only in the lab")),
        ("waive 2, seen by eye", Words("waive", "2", "", "seen by eye")),
        ("waive #2 of #7\nnot here", Words("waive", "#2", "7", "not here")),
        ("waive 2", Words("waive", "2", "", "")),
    ],
)
def test_rulings_are_read(text: str, words: Words) -> None:
    assert read_words(text) == words


@pytest.mark.parametrize("text", ["", "7", "verify 7", "acceptance 3", "waive", "please waive 2 x"])
def test_other_words_are_no_ruling(text: str) -> None:
    assert read_words(text) is None
