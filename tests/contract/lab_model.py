"""A small crew around the lab's model server: real SDKs, canned tool results, for the contract tests."""

import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import openai

from deploy.lab.model.scenario import load
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
            assert "== `" in arguments["check"] or "contains(" in arguments["check"]
        return "ok", f"Criterion {arguments['criterion']}: {arguments['outcome']}."


async def running_lab(name: str) -> AsyncIterator[Running]:
    lab = Lab(load(SCENARIOS / f"{name}.yaml"))
    async with serving(lab) as url, aiohttp.ClientSession() as http:
        running = Running(lab, url, http)
        yield running
        await running.close()


def context(what: str = "x") -> str:
    return f"# Mission 7\n## Request (verbatim)\n{REQUEST}\n## Criteria\nnone yet\n## Recent thread\n{what}\n## Your task\n{REQUEST}"
