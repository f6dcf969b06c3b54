"""The demo missions on the lab's model server, played over both SDKs; its counts; its scenario files; its process."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest

from deploy.lab.model.scenario import ScenarioError, load
from tests.contract.lab_model import REQUEST, WHOLE, Agent, Crew, Running, running_lab


@pytest.fixture
async def lab() -> AsyncIterator[Running]:
    async for running in running_lab("three-vms"):
        yield running


@pytest.fixture
async def whole() -> AsyncIterator[Running]:
    async for running in running_lab("whole-cluster"):
        yield running


@pytest.fixture
async def asking() -> AsyncIterator[Running]:
    async for running in running_lab("three-vms-question"):
        yield running


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_the_demo_mission_runs_from_request_to_evidence(lab: Running, wire: str) -> None:
    crew = Crew(lab, wire, REQUEST)
    await crew.run()
    quotes = [criterion["quote"] for criterion in crew.planned["criteria"]]
    assert quotes == ["three VMs for control planes", "spread over both nodes", "with fixed addresses"]
    assert 'cp2 = { node = "pve2", vm_id = 122, ipv4 = "192.168.178.22", cores = 2, memory_mb = 4096' in crew.files[0]
    assert crew.evidence == {1: "passed", 2: "passed", 3: "passed"}
    assert len(crew.applied) == 1
    assert crew.verdicts[0]["revision"] == crew.applied[0]
    assert len(crew.verdicts[0]["checks"]) == 2
    report = await lab.report()
    assert report["unexpected"] == []
    assert report["overlapping_turns"] == 0
    assert report["turns"] == 5  # Architect, Builder, Sentinel, Builder, QA
    assert report["calls"] == sum(line["calls"] for line in report["by_persona"].values())
    assert set(report["by_persona"]) == {"architect", "builder", "sentinel", "qa"}


@pytest.mark.parametrize(
    ("reason", "memory"),
    [
        ("4 GiB is too much, use 2 GiB", 2048),
        ("please take 3GB each", 3072),
        ("only 1.5 GiB", 1536),
        ("2 GiB is enough", 2048),
        ("too much memory, 4 GiB is for databases; 3 GiB will do", 3072),
        ("too big for these boxes", 2048),
    ],
)
async def test_a_denial_with_a_reason_makes_builder_change_course(lab: Running, reason: str, memory: int) -> None:
    crew = Crew(lab, "openai", REQUEST, [reason])
    await crew.run()
    assert "memory_mb = 4096" in crew.files[0]
    assert f"memory_mb = {memory}," in crew.files[1]
    assert crew.applied[0] != crew.applied[1]
    assert [verdict["revision"] for verdict in crew.verdicts] == crew.applied  # reviewed again, asked again
    assert crew.evidence == {1: "passed", 2: "passed", 3: "passed"}
    assert (await lab.report())["unexpected"] == []


async def test_a_second_denial_without_a_size_ends_in_words(lab: Running) -> None:
    crew = Crew(lab, "openai", REQUEST, ["no", "no"])
    await crew.run()
    assert len(crew.applied) == 2
    assert crew.evidence == {}
    assert "Denied again" in crew.said[-1][1]


async def test_a_question_midway_is_answered_in_speech(lab: Running) -> None:
    crew = Crew(lab, "openai", REQUEST)
    crew.planned = {"criteria": [], "steps": [{"title": "Three VMs"}]}
    await crew.run("architect", "where does cp2 run?")
    await crew.run("builder", "why 4 GiB?")
    assert [who for who, _ in crew.said] == ["architect", "builder"]
    assert "cp2 on pve2" in crew.said[0][1]
    assert crew.files == []


async def test_the_variant_with_a_question_plans_by_its_answer(asking: Running) -> None:
    crew = Crew(asking, "anthropic", REQUEST)
    await crew.run()
    assert crew.asked[0]["options"] == ["Yes, 4 GiB", "No, 2 GiB"]
    assert "memory_mb = 2048" in crew.files[0]
    assert crew.evidence == {1: "passed", 2: "passed", 3: "passed"}


async def test_the_whole_cluster_ends_with_the_rest_unverifiable(whole: Running) -> None:
    crew = Crew(whole, "openai", WHOLE)
    await crew.run()
    assert crew.evidence == {1: "passed", **dict.fromkeys(range(2, 7), "unverifiable")}
    assert all(c["quote"] in WHOLE for c in crew.planned["criteria"])
    assert (await whole.report())["unexpected"] == []


async def test_evidence_is_found_machine_by_machine_too(lab: Running) -> None:
    crew = Crew(lab, "openai", REQUEST)
    crew.one_by_one = True
    await crew.run()
    assert crew.evidence == {1: "passed", 2: "passed", 3: "passed"}
    assert (await lab.report())["unexpected"] == []


async def test_an_unforeseen_request_is_answered_politely_and_counted(lab: Running) -> None:
    agent = Agent(lab, "openai", "gardener", "# Mission 9\n## Your task\nwater the plants")
    text, calls = await agent.ask()
    assert text
    assert calls == []
    report = await lab.report()
    assert report["unexpected"][0]["persona"] == "gardener"
    assert "architect.plans" in report["unused_steps"]


async def test_a_scenarios_mistakes_are_named_at_load(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("personas: {qa: [{rule: a, say: 'x {{plna}} {{b|shout}}', when: {hears: x}}]}")
    with pytest.raises(ScenarioError, match=r"bad\.yaml: personas\.qa\.a\.when\.hears: Extra inputs"):
        load(file)
    file.write_text(
        "personas: {qa: [{rule: a, say: 'x {{plna}} {{heard|shout}}'}, {rule: a, when: {matched: {z: 1}}}]}"
    )
    with pytest.raises(ScenarioError) as caught:
        load(file)
    text = str(caught.value)
    assert "personas.qa.a.say: unknown name 'plna'" in text
    assert "no filter 'shout'" in text
    assert "two rules of this persona have this name" in text
    assert "no answer" in text
    assert "no rule 'z'" in text
    file.write_text("personas: {qa: [{rule: a, say: x, when: {heard: '('}}]}")
    with pytest.raises(ScenarioError, match="not a regular expression"):
        load(file)


async def test_the_process_writes_its_ready_file_and_ends_on_sigterm(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    command = [sys.executable, "-m", "deploy.lab.model", "--scenario", "three-vms", "--ready-file", str(ready)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout
        line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
        facts = json.loads(ready.read_text())
        assert line == f"lab model: {facts['url']}\n"
        assert facts["openai_base"] == facts["url"] + "/v1"
        assert facts["anthropic_base"] == facts["url"]
        assert facts["pid"] == process.pid
        async with openai.AsyncOpenAI(base_url=facts["openai_base"], api_key=facts["api_key"]) as client:
            assert [model.id async for model in client.models.list()]
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
