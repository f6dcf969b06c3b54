"""Half of a surrogate pair, which a model may write and no encoding has, hides no secret and stops nothing."""

from bot.policy.redaction import SecretRedactor

SECRET = "correct-horse-battery"


def test_rule_22_half_a_character_stops_no_redaction() -> None:
    redactor = SecretRedactor(SECRET)
    shown = redactor.text(f"\ud800 {SECRET} \udfff password=hunter22hunter22 end")
    assert SECRET not in shown
    assert "hunter22hunter22" not in shown
    assert shown.startswith("\ud800 ")


def test_rule_22_a_secret_with_half_a_character_is_learned() -> None:
    odd = "half-a\ud83d-pair-of-a-secret"
    assert odd not in SecretRedactor(odd).text(f"x {odd} y")
