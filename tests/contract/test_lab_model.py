"""The lab's model server against the real SDKs: the demo missions, the providers' errors, faults, and what it counts."""

import asyncio
import base64
import json
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import anthropic
import openai
import pytest

from deploy.lab.model.ledger import forms_of
from deploy.lab.model.scenario import ScenarioError, load
from deploy.lab.model.server import Lab, serving

SCENARIOS = Path(__file__).parents[2] / "deploy" / "lab" / "model" / "scenarios"
REQUEST = "@Architect three VMs for control planes, spread over both nodes, with fixed addresses"
WHOLE = (
    "@Architect I have two mini-PCs with Proxmox VE 9. Build a highly available Kubernetes cluster on them with an "
    "ingress controller and a hello-world app that I can reach from my LAN."
)
TOOLS = {
    "plan": ["criteria", "steps"],
    "hand_off": ["to", "task"],
    "ask_human": ["question", "options", "default"],
    "record_verdict": ["revision", "checks"],
    "record_evidence": ["criterion", "outcome", "words"],
    "proxmox_read": ["what"],
    "workspace_list": [],
    "workspace_write": ["path", "content"],
    "terraform_validate": ["directory"],
    "terraform_plan": ["directory"],
    "terraform_show": ["plan"],
    "terraform_apply": ["plan", "words"],
    "terraform_state": ["directory"],
    "scan": [],
}
VMS = "vmid name node status\n121 cp1 pve1 running\n122 cp2 pve2 running\n123 cp3 pve1 running"
ADDRESSES = "121 cp1 192.168.178.21\n122 cp2 192.168.178.22\n123 cp3 192.168.178.23"


class Running:
    """A lab in this process, and how to reach it."""

    def __init__(self, lab: Lab, url: str, http: aiohttp.ClientSession) -> None:
        self.lab = lab
        self.url = url
        self.http = http
        self.openai = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=lab.api_key, max_retries=0, timeout=5)
        self.anthropic = anthropic.AsyncAnthropic(base_url=url, api_key=lab.api_key, max_retries=0, timeout=5)

    async def post(self, path: str, body: object) -> dict[str, Any]:
        async with self.http.post(self.url + path, json=body) as answer:
            return await answer.json()

    async def report(self) -> dict[str, Any]:
        async with self.http.get(self.url + "/lab/report") as answer:
            return await answer.json()

    async def close(self) -> None:
        await self.openai.close()
        await self.anthropic.close()


async def _running(name: str) -> AsyncIterator[Running]:
    lab = Lab(load(SCENARIOS / f"{name}.yaml"))
    async with serving(lab) as url, aiohttp.ClientSession() as http:
        running = Running(lab, url, http)
        yield running
        await running.close()


@pytest.fixture
async def lab() -> AsyncIterator[Running]:
    async for running in _running("three-vms"):
        yield running


@pytest.fixture
async def whole() -> AsyncIterator[Running]:
    async for running in _running("whole-cluster"):
        yield running


@pytest.fixture
async def asking() -> AsyncIterator[Running]:
    async for running in _running("three-vms-question"):
        yield running


class Agent:
    """One persona's exchange, kept in the wire's own messages."""

    def __init__(self, running: Running, wire: str, persona: str, context: str) -> None:
        self.running = running
        self.wire = wire
        self.persona = persona
        self.system = f"# You are {persona.title()}\nDo your work."
        self.messages: list[dict[str, Any]] = [{"role": "user", "content": context}]

    def hear(self, text: str) -> None:
        self.messages.append({"role": "user", "content": f"## Your task\n{text}"})

    async def ask(self) -> tuple[str, list[tuple[str, str, dict[str, Any]]]]:
        """(text, [(id, tool, arguments)]), the answer appended to the messages."""
        return await (self._ask_openai() if self.wire == "openai" else self._ask_anthropic())

    async def _ask_openai(self) -> tuple[str, list[tuple[str, str, dict[str, Any]]]]:
        tools: Any = [
            {"type": "function", "function": {"name": name, "parameters": {"type": "object", "required": required}}}
            for name, required in TOOLS.items()
        ]
        messages: Any = [{"role": "system", "content": self.system}, *self.messages]
        reply = await self.running.openai.chat.completions.create(model="m", messages=messages, tools=tools)
        message = reply.choices[0].message
        raw: list[Any] = list(message.tool_calls or [])
        calls = [(str(c.id), str(c.function.name), dict(json.loads(c.function.arguments))) for c in raw]
        said: dict[str, Any] = {"role": "assistant", "content": message.content}
        if raw:
            said["tool_calls"] = [call.model_dump() for call in raw]
        self.messages.append(said)
        return message.content or "", calls

    async def _ask_anthropic(self) -> tuple[str, list[tuple[str, str, dict[str, Any]]]]:
        tools: Any = [
            {"name": name, "input_schema": {"type": "object", "required": required}} for name, required in TOOLS.items()
        ]
        messages: Any = self.messages
        reply = await self.running.anthropic.messages.create(
            model="m", max_tokens=1000, system=self.system, messages=messages, tools=tools
        )
        text = "".join(block.text for block in reply.content if block.type == "text")
        calls = [(b.id, b.name, dict(b.input)) for b in reply.content if b.type == "tool_use"]
        self.messages.append({"role": "assistant", "content": [block.model_dump() for block in reply.content]})
        return text, calls

    def give(self, results: list[tuple[str, str]]) -> None:
        if self.wire == "openai":
            self.messages += [{"role": "tool", "tool_call_id": call, "content": text} for call, text in results]
        else:
            blocks = [{"type": "tool_result", "tool_use_id": call, "content": text} for call, text in results]
            self.messages.append({"role": "user", "content": blocks})


class Crew:
    """Plays the program around the model: contexts, hand-offs and canned tool results."""

    def __init__(self, running: Running, wire: str, request: str, denials: list[str] | None = None) -> None:
        self.running = running
        self.wire = wire
        self.request = request
        self.denials = denials or []
        self.planned: dict[str, Any] = {}
        self.evidence: dict[int, str] = {}
        self.files: list[str] = []
        self.verdicts: list[dict[str, Any]] = []
        self.applied: list[str] = []
        self.said: list[tuple[str, str]] = []
        self.talk: list[str] = []
        self.asked: list[dict[str, Any]] = []
        self.count = 0
        self.one_by_one = False  # addresses are told per machine only

    def context(self) -> str:
        criteria = [
            f"{n} [open] {c['text']} — “{c['quote']}”" for n, c in enumerate(self.planned.get("criteria", []), 1)
        ]
        lines = [
            "# Mission 7",
            "## Request (verbatim)",
            self.request,
            "## Criteria",
            *(criteria or ["none yet: Architect calls plan"]),
        ]
        if self.planned:
            lines += ["## Plan", *(f"{n} {s['title']}" for n, s in enumerate(self.planned["steps"], 1))]
        return "\n".join([*lines, "## Recent thread", *self.talk])

    async def run(self, persona: str = "architect", task: str = "") -> None:
        to, heard = persona, task or self.request
        for _ in range(20):
            gave = await self._turn(to, heard)
            if gave is None:
                return
            to, heard = gave
        raise AssertionError("the crew hands off in circles")

    async def _turn(self, persona: str, heard: str) -> tuple[str, str] | None:
        agent = Agent(self.running, self.wire, persona, self.context())
        agent.hear(heard)
        for _ in range(20):
            text, calls = await agent.ask()
            if text:
                self.said.append((persona, text))
            if not calls:
                return None
            gave: tuple[str, str] | None = None
            results: list[tuple[str, str]] = []
            for call, tool, arguments in calls:
                self.count += 1
                status, words = self._result(tool, arguments)
                results.append((call, f"[result 7-1-{self.count}-0] {tool} {status}\n{words}"))
                if tool == "hand_off":
                    gave = (arguments["to"], f"From {persona}: {arguments['task']}")
                    self.talk.append(f"{persona}: → {arguments['to']}: {arguments['task']}")
                if tool == "ask_human":
                    gave = (persona, f"Answer to “{arguments['question']}”: No, 2 GiB (U0ANA00001)")
                    self.talk.append("ana: No, 2 GiB")
            if gave is not None and not any(tool == "ask_human" for _, tool, _ in calls):
                return gave
            agent.give(results)
            if gave is not None:
                agent.hear(gave[1])
                agent.messages[0]["content"] = self.context()
        raise AssertionError(f"{persona} does not come to an end")

    def _result(self, tool: str, arguments: dict[str, Any]) -> tuple[str, str]:
        results: dict[str, Callable[[dict[str, Any]], tuple[str, str]]] = {
            "plan": self._plan,
            "terraform_apply": self._apply,
            "record_evidence": self._record_evidence,
            "record_verdict": self._record_verdict,
            "workspace_write": self._write,
        }
        if tool in results:
            return results[tool](arguments)
        match tool:
            case "terraform_plan":
                return (
                    "ok",
                    f"<untrusted>\nPlan {self._plan_id()}: 3 to create, 0 to change, 0 to destroy\n</untrusted>",
                )
            case "proxmox_read":
                return (
                    "ok",
                    f"<untrusted>\n{ADDRESSES if arguments['what'] == 'agent_addresses' else VMS}\n</untrusted>",
                )
            case "ask_human":
                self.asked.append(arguments)
                return "ok", "Asked."
            case _:
                return "ok", "fine"

    def _proxmox(self, arguments: dict[str, Any]) -> tuple[str, str]:
        if arguments["what"] != "agent_addresses":
            return "ok", f"<untrusted>\n{VMS}\n</untrusted>"
        lines = [line for line in ADDRESSES.splitlines() if line.startswith(str(arguments.get("vmid", "")))]
        if self.one_by_one and "vmid" not in arguments:
            return "refused", "agent_addresses needs node and vmid"
        return "ok", "\n".join(lines)

    def _plan_id(self) -> str:
        return f"{len(self.files):08x}".replace("0", "9")[:8] + "ab12"

    def _plan(self, arguments: dict[str, Any]) -> tuple[str, str]:
        self.planned = arguments
        return "ok", f"Plan recorded: criteria 1..{len(arguments['criteria'])}; steps 1..{len(arguments['steps'])}."

    def _write(self, arguments: dict[str, Any]) -> tuple[str, str]:
        self.files.append(arguments["content"])
        return "ok", f"Wrote {arguments['path']} ({len(arguments['content'])} bytes), commit 3f2a91c"

    def _record_verdict(self, arguments: dict[str, Any]) -> tuple[str, str]:
        self.verdicts.append(arguments)
        return "ok", f"Verdict on plan {arguments['revision'][:12]}: pass. 0 findings, 0 blocking."

    def _apply(self, arguments: dict[str, Any]) -> tuple[str, str]:
        self.applied.append(arguments["plan"])
        if self.denials:
            reason = self.denials.pop(0)
            return "denied", f"Denied by a human: “{reason}”. Do what the reason asks; never the same again."
        return "ok", "Applied: 3 created, 0 changed, 0 destroyed in 41 s."

    def _record_evidence(self, arguments: dict[str, Any]) -> tuple[str, str]:
        self.evidence[arguments["criterion"]] = arguments["outcome"]
        if arguments["outcome"] == "passed":
            assert re.fullmatch(r"7-1-\d+-0", arguments["result"])
        return "ok", f"Criterion {arguments['criterion']}: {arguments['outcome']}."


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


def _context(what: str = "x") -> str:
    return f"# Mission 7\n## Request (verbatim)\n{REQUEST}\n## Criteria\nnone yet\n## Recent thread\n{what}\n## Your task\n{REQUEST}"


async def test_usage_follows_the_request_and_a_repeated_prefix_is_cached(lab: Running) -> None:
    long = "The estate has two nodes. " * 400
    tools: Any = [{"type": "function", "function": {"name": "proxmox_read", "parameters": {"type": "object"}}}]
    messages: Any = [
        {"role": "system", "content": f"# You are Architect\n{long}"},
        {"role": "user", "content": _context()},
    ]
    first = (await lab.openai.chat.completions.create(model="m", messages=messages, tools=tools)).usage
    second = (await lab.openai.chat.completions.create(model="m", messages=messages, tools=tools)).usage
    assert first
    assert second
    assert first.prompt_tokens >= len(long) // 4
    assert first.prompt_tokens_details
    assert second.prompt_tokens_details
    assert first.prompt_tokens_details.cached_tokens == 0
    cached = second.prompt_tokens_details.cached_tokens or 0
    assert second.prompt_tokens - 200 < cached <= second.prompt_tokens
    system: Any = [{"type": "text", "text": f"# You are Architect\n{long}", "cache_control": {"type": "ephemeral"}}]
    user: Any = [{"role": "user", "content": _context("one")}]
    other: Any = [{"role": "user", "content": _context("two")}]
    cold = await lab.anthropic.messages.create(model="m", max_tokens=9, system=system, messages=user)
    warm = await lab.anthropic.messages.create(model="m", max_tokens=9, system=system, messages=other)
    assert cold.usage.cache_read_input_tokens == 0
    assert (warm.usage.cache_read_input_tokens or 0) > len(long) // 4 - 50
    assert warm.usage.input_tokens < 200


BAD_OPENAI: list[tuple[list[dict[str, Any]], str]] = [
    ([], "Missing required parameter: 'messages'"),
    ([{"role": "wizard", "content": "x"}], "Invalid value: 'wizard'"),
    ([{"role": "tool", "tool_call_id": "c", "content": "x"}], "must be a response to a preceeding message"),
    (
        [
            {"role": "user", "content": "x"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "t", "arguments": "{}"}}],
            },
            {"role": "user", "content": "y"},
        ],
        "did not have response messages: c",
    ),
    (
        [
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c" * 41, "type": "function", "function": {"name": "t", "arguments": "{}"}}],
            }
        ],
        "maximum length 40",
    ),
]


@pytest.mark.parametrize(("messages", "words"), BAD_OPENAI)
async def test_openai_refuses_what_the_real_one_refuses(lab: Running, messages: Any, words: str) -> None:
    with pytest.raises(openai.BadRequestError, match=re.escape(words)) as caught:
        await lab.openai.chat.completions.create(model="m", messages=messages)
    assert caught.value.type == "invalid_request_error"
    assert (await lab.report())["refused"][0]["status"] == 400


USE: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "t", "input": {}}
BAD_ANTHROPIC: list[tuple[list[dict[str, Any]], str]] = [
    ([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}], "must end with a user message"),
    ([{"role": "user", "content": ""}], "non-empty"),
    (
        [{"role": "user", "content": "x"}, {"role": "assistant", "content": [USE]}, {"role": "user", "content": "y"}],
        "without `tool_result` blocks immediately after: toolu_1",
    ),
    (
        [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_9", "content": "z"}]}],
        "unexpected `tool_use_id`",
    ),
    (
        [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [USE | {"id": "7.3.1.0"}]},
            {"role": "user", "content": "y"},
        ],
        "String should match pattern",
    ),
]


@pytest.mark.parametrize(("messages", "words"), BAD_ANTHROPIC)
async def test_anthropic_refuses_what_the_real_one_refuses(lab: Running, messages: Any, words: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=re.escape(words)):
        await lab.anthropic.messages.create(model="m", max_tokens=10, messages=messages)


async def test_a_wrong_key_gets_the_providers_own_error(lab: Running) -> None:
    user: Any = [{"role": "user", "content": "x"}]
    async with openai.AsyncOpenAI(base_url=f"{lab.url}/v1", api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.chat.completions.create(model="m", messages=user)
        assert caught.value.code == "invalid_api_key"
    async with anthropic.AsyncAnthropic(base_url=lab.url, api_key="wrong", max_retries=0) as other:
        with pytest.raises(anthropic.AuthenticationError):
            await other.messages.create(model="m", max_tokens=9, messages=user)


async def test_both_sdks_list_models(lab: Running) -> None:
    assert [model.id async for model in lab.openai.models.list()]
    assert [model.id async for model in lab.anthropic.models.list()]


async def test_faults_are_errors_of_the_real_kinds_and_run_out(lab: Running) -> None:
    agent = Agent(lab, "openai", "architect", _context())
    await lab.post("/lab/fault", {"kind": "rate_limited", "persona": "Architect", "retry_after_s": 0.25})
    with pytest.raises(openai.RateLimitError) as limited:
        await agent.ask()
    assert limited.value.code == "rate_limit_exceeded"
    assert limited.value.response.headers["retry-after-ms"] == "250"
    assert limited.value.response.headers["retry-after"] == "1"
    assert (await agent.ask())[1]
    other = Agent(lab, "anthropic", "architect", _context())
    await lab.post("/lab/fault", {"kind": "overloaded", "count": 2})
    for _ in range(2):
        with pytest.raises(anthropic.APIStatusError) as overloaded:
            await other.ask()
        assert overloaded.value.status_code == 529
        assert overloaded.value.type == "overloaded_error"
    await lab.post("/lab/fault", {"kind": "server_error"})
    with pytest.raises(anthropic.InternalServerError):
        await other.ask()
    assert (await other.ask())[1]
    assert (await lab.report())["faults"] == {"rate_limited": 1, "overloaded": 2, "server_error": 1}


async def test_a_fault_of_another_persona_passes_and_hang_ends_with_the_client(lab: Running) -> None:
    await lab.post("/lab/fault", {"kind": "hang", "persona": "builder"})
    assert (await Agent(lab, "openai", "architect", _context()).ask())[1]
    builder = Agent(lab, "openai", "builder", _context())
    builder.running.openai = lab.openai.with_options(timeout=0.3)
    with pytest.raises(openai.APITimeoutError):
        await builder.ask()
    assert (await lab.report())["faults"] == {"hang": 1}
    unknown = await lab.post("/lab/fault", {"kind": "earthquake"})
    assert "rate_limited" in unknown["error"]


async def test_overlapping_requests_of_two_personas_are_counted(lab: Running) -> None:
    lab.lab.latency_s = 0.2
    one, two = (Agent(lab, "openai", who, _context()) for who in ("architect", "qa"))
    await asyncio.gather(one.ask(), two.ask())
    assert (await lab.report())["overlapping_turns"] == 1


async def test_rule_22_secrets_are_seen_in_any_form(lab: Running) -> None:
    await lab.post("/lab/canaries", {"secrets": ["hunter2/passphrase+1"], "thoughts": ["a quiet doubt"]})
    forms = [
        "hunter2/passphrase+1",
        quote("hunter2/passphrase+1", safe=""),
        base64.b64encode(b"user:hunter2/passphrase+1").decode(),
        base64.b64encode(b"ab:hunter2/passphrase+1,and more").decode(),
    ]
    for form in [*forms, "nothing", lab.lab.api_key]:
        await Agent(lab, "openai", "architect", _context(form)).ask()
    report = await lab.report()
    assert report["secrets_seen"] == 5
    assert report["thoughts_seen"] == 0
    await Agent(lab, "openai", "architect", _context("a quiet doubt")).ask()
    assert (await lab.report())["thoughts_seen"] == 1
    assert all(len(form) >= 8 for form in forms_of("hunter2/passphrase+1"))


@pytest.mark.parametrize("kind", ["think_tag", "think_line", "step_line"])
async def test_rule_2_planted_thoughts_are_woven_into_every_thought(lab: Running, kind: str) -> None:
    await lab.post("/lab/canaries", {"thoughts": ["canary-7f1e"]})
    user: Any = [{"role": "user", "content": _context()}]
    reply = await lab.anthropic.messages.create(model="m", max_tokens=99, system="# You are Architect", messages=user)
    assert [block.thinking.endswith("canary-7f1e") for block in reply.content if block.type == "thinking"] == [True]
    await lab.post("/lab/fault", {"kind": kind})
    text, _ = await Agent(lab, "openai", "architect", _context()).ask()
    assert "canary-7f1e" in text


async def test_rule_2_a_thought_that_reaches_another_agent_is_counted(lab: Running) -> None:
    await Agent(lab, "openai", "architect", _context()).ask()
    thought = "Two nodes, three machines. I want to see what exists before I plan."
    await Agent(lab, "openai", "architect", _context(thought)).ask()
    assert (await lab.report())["thoughts_seen"] == 0
    await Agent(lab, "openai", "builder", _context(thought)).ask()
    assert (await lab.report())["thoughts_seen"] == 1


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
