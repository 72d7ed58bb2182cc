"""Fuzz trtconv: `python -m tests.fuzz --seconds 600 --seed 1`; `--only NUMBER` runs one input again.

Files that end in neither success nor a TrtconvError are kept in the output folder, made smaller and named by what went
wrong. The counts of all runs add up in the file of `--counts`, of which `python -m tests.fuzz.page` makes
docs/fuzzing.md.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from dataclasses import replace
from pathlib import Path

from tests.fuzz import replaying, running
from tests.fuzz.counting import counts_of, merged, read_counts, summary, write_counts
from tests.fuzz.minimising import minimise
from tests.fuzz.running import End, Plan, Tally
from tests.fuzz.targets import Target, commands_of, file_of

SAVE_SECONDS = 30


def main() -> int:
    """Run the command line; return 1 where an input ended badly."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--runs", type=int, default=sys.maxsize, help="stop after about this many runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=int, default=0, help="the number of the first input")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="run one input alone")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"), help="folder of the failing files")
    parser.add_argument("--counts", type=Path, help="add the counts to this JSON file")
    parser.add_argument("--worker", action="store_true", help="through the command line and its worker process")
    options = parser.parse_args()
    plan = Plan(options.seed, options.start, options.seconds, options.runs)
    if options.worker:
        plan = replace(plan, targets_for=commands_of, is_cheap=False)
    if options.only is not None:
        plan = replace(plan, start=options.only, max_runs=1, batch=1)
    print(f"seed {plan.seed}, from input {plan.start} on", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    known: dict[tuple[str, str, str], str | None] = {}
    before = read_counts(options.counts) if options.counts else {}
    saved_at = time.monotonic()

    def save() -> None:
        if options.counts:
            write_counts(options.counts, merged(before, counts_of(options.seed, tally, known)))

    def on_batch(number: int) -> None:
        nonlocal saved_at
        for key, (failing, detail) in tally.failures.items():
            if key not in known:
                known[key] = _keep(options.out, plan, failing, key, detail)
        progress = {"next": number, "runs": tally.num_runs, "failures": len(tally.failures)}
        (options.out / "progress.json").write_text(json.dumps(progress))
        if time.monotonic() - saved_at > SAVE_SECONDS:
            save()
            saved_at = time.monotonic()

    tally = Tally()
    try:
        running.run_inputs(plan, tally, on_batch)
    except KeyboardInterrupt:
        print("interrupted")
    print(summary(tally))
    save()
    return 1 if any(known.values()) else 0


def _keep(out: Path, plan: Plan, number: int, key: tuple[str, str, str], detail: str) -> str | None:
    """Keep the file of a bad end, smaller; return what the command line makes of it, None where that is well."""
    kind_name, target_name, what = key
    kind, name, data = file_of(plan.seed, number)
    target = next(each for each in plan.targets_for(kind, plan.seed, number) if each.name == target_name)

    def still_fails(smaller: bytes) -> bool:
        return running.run_one(target, name, smaller)[0] == what

    small = minimise(data, still_fails) if still_fails(data) else data
    complaint = _complaint(target, name, small, (what, detail))
    verdict = "contained" if complaint is None else "failed"
    slug = re.sub(r"[^A-Za-z0-9.]+", "_", f"{target_name} {what}")[:100]
    path = out / f"{verdict}_{plan.seed}_{number}_{slug}{Path(name).suffix}"
    path.write_bytes(small)
    path.with_name(path.name + ".txt").write_text(
        f"{kind_name}, {target_name}: {what}\npython -m tests.fuzz --seed {plan.seed} --only {number}\n\n{detail}\n"
        f"command line: {complaint}\n"
    )
    print(f"{verdict}: {kind_name}, {target_name}: {what} ({path.name}, {len(small)} bytes)", flush=True)
    return complaint


def _complaint(target: Target, name: str, data: bytes, end: End) -> str | None:
    """Return what is wrong with a bad end. What a native library does to its process is for the worker to contain."""
    what, _ = end
    is_contained = " at " not in what or what.startswith("MemoryError")
    if not is_contained or target.command is None:
        return what
    return replaying.replay(target, name, data)


if __name__ == "__main__":
    sys.exit(main())
