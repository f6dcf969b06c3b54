"""python -m deploy.lab.model --scenario FILE --port 0 --ready-file FILE."""

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from deploy.lab.lifetime import end_with_parent, wait_for_end, write_ready_file
from deploy.lab.listening import add_argument
from deploy.lab.model.scenario import ScenarioError, load
from deploy.lab.model.server import Lab, serving

SCENARIOS = Path(__file__).parent / "scenarios"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.lab.model", description=__doc__)
    parser.add_argument("--scenario", default="three-vms", help="a file, or a name in deploy/lab/model/scenarios")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ready-file", type=Path)
    parser.add_argument("--data", type=Path, help="taken because every lab server is; nothing is kept")
    parser.add_argument("--latency-ms", type=int, default=0, help="how long every answer takes")
    parser.add_argument("--log-level", default="warning", choices=["debug", "info", "warning", "error"])
    parser.add_argument("--check", action="store_true", help="only check the scenario file")
    add_argument(parser)
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=options.log_level.upper(), format="lab model: %(message)s")
    named = SCENARIOS / f"{options.scenario}.yaml"
    try:
        scenario = load(named if named.exists() else Path(options.scenario))
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 2
    if options.check:
        return 0
    end_with_parent()
    lab = Lab(scenario, latency_s=options.latency_ms / 1000)
    asyncio.run(_run(lab, options.port, options.ready_file, options.also_in))
    return 0


async def _run(lab: Lab, port: int, ready_file: Path | None, also_in: int | None) -> None:
    async with serving(lab, port, also_in) as url:
        if ready_file is not None:
            facts = {"openai_base": f"{url}/v1", "anthropic_base": url, "api_key": lab.api_key}
            write_ready_file(ready_file, {"url": url, "pid": os.getpid(), **facts})
        print(f"lab model: {url}", flush=True)
        await wait_for_end()


if __name__ == "__main__":
    sys.exit(main())
