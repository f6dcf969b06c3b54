"""Prompts speak of no tool that their persona cannot call, and of none that nobody has."""

import re
from pathlib import Path

import pytest

from bot.agents.persona import load_personas
from tools import TOOL_NAMES

PERSONAS = load_personas(Path(__file__).resolve().parents[2] / "personas", tools=None, models=None)
NAME = re.compile(r"(?<![\w/.-])[a-z]+(?:_[a-z]+)+(?![\w/.:-])")
NO_TOOLS = {"extra_vars", "argument_specs", "delegate_to", "wait_s"}  # words of Ansible, and an argument


@pytest.mark.parametrize("name", sorted(PERSONAS))
def test_a_prompt_names_only_tools_of_its_persona(name: str) -> None:
    persona = next(one for key, one in PERSONAS.items() if key == name)
    named = set(NAME.findall(persona.prompt)) - NO_TOOLS
    assert named, "a prompt that names no tool is not what this test is for"
    assert not named - set(TOOL_NAMES), "no such tool"
    assert not named - set(persona.tools), "another persona's tool"
