"""Whether a demo run left what it promised: a self-contained page, and the same numbers as JSON."""

import json
import re
import sys
from pathlib import Path

report = Path(sys.argv[1])
page = report.read_text(encoding="utf-8")
result = json.loads((report.parent / "result.json").read_text(encoding="utf-8"))

if report.name != "report.html":
    sys.exit(f"the last line of the demo is not the path of a report: {report}")
outside = re.findall(r'(?:src|href)="(?:https?:)?//[^"]+"', page)
if outside:
    sys.exit(f"{report} loads {outside[0]} from outside")
names = [tracker["name"] for tracker in result["trackers"]]
if len(names) != 2:
    sys.exit(f"result.json compares {names}, two trackers were expected")
for tracker in result["trackers"]:
    for score in ("success", "precision", "norm_precision"):
        value = tracker["values"][score]
        if not 0.0 < value < 1.0:
            sys.exit(f"{tracker['name']} has a {score} of {value}")
        if f"{value:.3f}" not in page:
            sys.exit(f"{score} {value:.3f} of {tracker['name']} is in result.json but not on the page")
difference = result["differences"][0]
if not difference["low"] <= difference["mean"] <= difference["high"]:
    sys.exit(f"the interval of the difference does not hold its mean: {difference}")
print(f"demo: {' and '.join(names)}, {len(result['trackers'][0]['sequences'])} sequences, report {len(page) // 1024} kB")
