"""The commands. Imports of the program stand inside them: `--help` answers at once."""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path

ELSEWHERE = {"demo": "deploy.lab", "drill": "deploy.lab.drills", "eval": "deploy.lab.evaluate"}
EXIT_UNUSABLE = 2  # settings, policies or personas do not fit: the operator has to act


def main(arguments: list[str]) -> int:
    """Run one command; the exit code is 0, 1 (failed) or 2 (cannot start, with the mend on stderr)."""
    if arguments[:1] and arguments[0] in ELSEWHERE:  # another program with its own options, in place of this one
        os.execv(sys.executable, [sys.executable, "-m", ELSEWHERE[arguments[0]], *arguments[1:]])  # noqa: S606 # our own
    given = _parser().parse_args(arguments)
    match given.command:
        case "run" | "gateway" | "worker":
            return _serve(given.command, given.ready_file)
        case "check":
            return _check(as_json=given.json)
        case "settings":
            return _settings(write=given.write)
        case "manifest":
            return _manifest(given.app)
        case "audit":
            return _audit(given.what, given.file, given.head, given.public_key)
        case "replay":
            return _replay(given.file, as_json=given.json, explain=given.explain, html=given.html)
        case "policy":
            return _policy(given.what, given.call)
        case "classify":
            return _classify(given.commands, as_lines=given.jsonl)
        case _:
            _parser().print_help()
            return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bot",
        description="Watchbill: four agents in a Slack channel, a human for every dangerous command.",
    )
    commands = parser.add_subparsers(dest="command", metavar="command")
    rows = {
        "run": "gateway and worker in one process",
        "gateway": "Slack only: events in, posts out; any number of these",
        "worker": "the crew's work only; any number of these for one estate's data folder",
    }
    for name, text in rows.items():
        serving = commands.add_parser(name, help=text)
        serving.add_argument("--ready-file", type=Path, help="written when the program takes messages")
    check = commands.add_parser(
        "check", help="doctor: settings, policies, personas, store, Terraform, Slack; each with its mend"
    )
    check.add_argument("--json", action="store_true")
    settings = commands.add_parser("settings", help="every setting with its meaning, as .env.example has it")
    settings.add_argument("--write", action="store_true", help="write .env.example")
    manifest = commands.add_parser("manifest", help="Slack app manifests, ready to paste")
    manifest.add_argument("app", nargs="?", help="one app only")
    audit = commands.add_parser("audit", help="the hash-chained record")
    audit.add_argument(
        "what",
        choices=["export", "verify", "head"],
        help="export: the record as JSON lines; verify: the store's chains, or those of FILE, offline; head: the newest",
    )
    audit.add_argument("file", nargs="?", type=Path, metavar="FILE", help="verify: an exported record")
    audit.add_argument("--head", action="append", default=[], metavar="COUNT:HASH", help="verify FILE: from Slack")
    audit.add_argument("--public-key", type=Path, metavar="PEM", help="verify FILE: whose signature the heads carry")
    replay = commands.add_parser("replay", help="a recorded conversation through the router and the guards")
    replay.add_argument("file", type=Path, help='one {"i", "sender", "think", "content"} per line')
    replay.add_argument("--json", action="store_true")
    replay.add_argument("--explain", action="store_true", help="every turn and every detection")
    replay.add_argument("--html", type=Path, metavar="OUT", help="write a page with a lane for every agent")
    policy = commands.add_parser("policy", help="the operator's own policy tests, and the way to a decision")
    policy.add_argument("what", choices=["test", "explain"])
    policy.add_argument(
        "call", nargs="?", default="", help="for explain, as JSON: persona, tool, class, environment, …"
    )
    classify = commands.add_parser("classify", help="what a shell command can do, and why; runs nothing")
    classify.add_argument("commands", nargs="*", metavar="command", help="each one argument, in quotes")
    classify.add_argument(
        "--jsonl", action="store_true", help='from stdin, one {"command": "…"} a line; one answer a line'
    )
    commands.add_parser("demo", help="a pretend data centre on loopback and this program against it", add_help=False)
    commands.add_parser(
        "drill", help="the lab's model misbehaves; the crew finishes or asks within bounds", add_help=False
    )
    commands.add_parser("eval", help="missions in the lab, n times for each model, as a table", add_help=False)
    return parser


def _serve(command: str, ready_file: Path | None) -> int:
    from bot.app import CannotStartError, serve  # noqa: PLC0415 # start-up time of --help
    from bot.settings import SettingsError, load  # noqa: PLC0415

    try:
        return serve(load(), command, ready_file)
    except (SettingsError, CannotStartError) as error:
        print(error, file=sys.stderr)
        return EXIT_UNUSABLE


def _check(*, as_json: bool) -> int:
    from bot.doctor import examine, render  # noqa: PLC0415
    from bot.log import set_up  # noqa: PLC0415
    from bot.settings import SettingsError, load  # noqa: PLC0415

    try:
        settings = load()
    except SettingsError as error:
        print(error, file=sys.stderr)
        return EXIT_UNUSABLE
    set_up(settings.log_level)  # to stderr: stdout is the rows'
    rows = asyncio.run(examine(settings))
    print(render(rows, as_json=as_json))
    return 1 if any(row.state == "fail" for row in rows) else 0


def _settings(*, write: bool) -> int:
    from bot.settings import ROOT, example  # noqa: PLC0415

    if write:
        (ROOT / ".env.example").write_text(example(), encoding="utf-8")
    else:
        print(example(), end="")
    return 0


def _manifest(app: str | None) -> int:
    from bot.app import manifests  # noqa: PLC0415

    for name, text in manifests().items():
        if app in {None, name}:
            print(f"# {name}\n{text}")
    return 0


def _audit(what: str, file: Path | None, heads: list[str], public_key: Path | None) -> int:
    from bot import auditing  # noqa: PLC0415
    from bot.app import CannotStartError  # noqa: PLC0415
    from bot.log import set_up  # noqa: PLC0415
    from bot.settings import SettingsError, load  # noqa: PLC0415

    if what != "verify" and file is not None:
        print(f"audit {what} takes no file", file=sys.stderr)
        return EXIT_UNUSABLE
    if file is None and (heads or public_key):
        print("--head and --public-key are for `audit verify FILE`", file=sys.stderr)
        return EXIT_UNUSABLE
    try:
        if file is not None:
            return auditing.verify_file(file, heads, public_key)
        settings = load()
        set_up(settings.log_level)  # to stderr: stdout is the record's
        commands = {"export": auditing.export_audit, "verify": auditing.verify_audit, "head": auditing.show_head}
        return commands[what](settings)
    except (SettingsError, CannotStartError) as error:
        print(error, file=sys.stderr)
        return EXIT_UNUSABLE


def _replay(file: Path, *, as_json: bool, explain: bool, html: Path | None) -> int:
    from bot.agents.persona import PersonaError, load_personas  # noqa: PLC0415
    from bot.replay.page import page  # noqa: PLC0415
    from bot.replay.recording import read  # noqa: PLC0415
    from bot.replay.replay import replay  # noqa: PLC0415
    from bot.replay.words import explained, summary  # noqa: PLC0415
    from bot.settings import SettingsError, load  # noqa: PLC0415

    try:
        personas = load_personas(load().personas, tools=None, models=None)  # their prompts and bounds are what counts
        outcome = replay(read(file), personas)
        if html is not None:
            html.write_text(page(outcome, file.name), encoding="utf-8")
    except (SettingsError, PersonaError, OSError) as error:
        print(error, file=sys.stderr)
        return EXIT_UNUSABLE
    if as_json:
        print(json.dumps(outcome.contract(), ensure_ascii=False))
    else:
        print(explained(outcome) if explain else summary(outcome))
    return 0


def _policy(what: str, call: str) -> int:
    from bot.policy.cases import run_cases  # noqa: PLC0415 # start-up time of --help
    from bot.policy.explaining import explain, read_call  # noqa: PLC0415
    from bot.policy.loading import read_authoriser  # noqa: PLC0415
    from bot.policy.problems import PolicyError  # noqa: PLC0415
    from bot.settings import SettingsError, load  # noqa: PLC0415

    try:
        settings = load()
        authoriser, environments = read_authoriser(settings.policies, settings.environments)
        if what == "explain":
            print(explain(authoriser, environments, read_call(call)))
            return 0
        outcomes = run_cases(authoriser, environments, settings.policies / "tests")
    except (SettingsError, PolicyError) as error:
        print(error, file=sys.stderr)
        return EXIT_UNUSABLE
    for outcome in outcomes:
        print(
            f"{'FAIL' if outcome.problem else 'ok  '}  {outcome.name}{': ' if outcome.problem else ''}{outcome.problem}"
        )
    failed = sum(bool(outcome.problem) for outcome in outcomes)
    print(f"{len(outcomes)} cases, {failed} failed")
    return 1 if failed or not outcomes else 0


def _classify(given: list[str], *, as_lines: bool) -> int:
    from bot.classification import answer_lines, show  # noqa: PLC0415
    from bot.policy.commands.loading import PROOF, load_classifier  # noqa: PLC0415
    from bot.policy.problems import PolicyError  # noqa: PLC0415
    from bot.settings import SettingsError, load  # noqa: PLC0415

    if as_lines == bool(given):
        print("give commands, each in quotes, or --jsonl and lines on stdin", file=sys.stderr)
        return EXIT_UNUSABLE
    try:
        settings = load()
        proof = settings.data / PROOF if settings.data.is_dir() else None
        classifier = load_classifier(settings.policies / "commands", proof)
    except (SettingsError, PolicyError) as error:
        print(error, file=sys.stderr)
        return EXIT_UNUSABLE
    if as_lines:
        answer_lines(sys.stdin.buffer, sys.stdout.buffer, classifier)
        return 0
    text = "\n\n".join(show(classifier.classify(command)) for command in given)
    sys.stdout.buffer.write(f"{text}\n".encode(errors="backslashreplace"))
    return 0
