"""What of a plan gives a machine a volume, a device or a file that is not its own: the checks that need its number."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from tools.scan_plan import Planned, resources_of
from tools.scan_report import Found, SeveritiesFile
from tools.terraform_changes import VM_TYPES, inner_list, inner_map
from tools.terraform_volumes import foreign_volumes

FOREIGN_VOLUME: Final = "WATCHBILL_PVE_VOLUME"
HOST_FILE: Final = "WATCHBILL_PVE_HOST_FILE"


def devices_in_plan(planned: Planned, severities: SeveritiesFile) -> Iterator[Found]:
    """A value that comes only with the apply, where the code gives one, counts as foreign."""
    document = cast("Mapping[str, Any]", planned.document)
    before = {
        str(row.get("address")): inner_map(inner_map(row, "change"), "before")
        for row in inner_list(document, "resource_changes")
    }
    for row in resources_of(document.get("planned_values")):
        address = str(row.get("address"))
        if row.get("type") not in VM_TYPES or address not in planned.types:
            continue
        had = {what for _, what in foreign_volumes(before.get(address, {}))}
        for where, what in foreign_volumes(inner_map(row, "values")):
            if what not in had:
                rule = HOST_FILE if where.startswith(("serial_device", "rng")) else FOREIGN_VOLUME
                text = f"{where} names {what!r}, which this machine does not own: another's volume, or the host's"
                yield Found(rule, address, severities.of(rule), text)
