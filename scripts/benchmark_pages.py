"""Write the tables of docs/performance.md and docs/training_well.md that are of the last runs of the benchmarks.

    python scripts/benchmark_pages.py

Each table stands between `<!-- NAME -->` and `<!-- /NAME -->`, and is that of benchmarks/results/NAME.json.
"""

import json
import math
import statistics
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import groupby
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parent.parent
RESULTS, DOCS = HOME / "benchmarks" / "results", HOME / "docs"
Found = Mapping[str, Any]
Lines = Iterator[str]


def cpu_training(found: Found) -> Lines:
    """Yield the table of training on a CPU."""
    yield f"{machine(found)}; medians of {found['rounds']} rounds:"
    yield from head("", "parameters", "maps/s", "FOCUS over it")
    for one in found["rows"]:
        ratios = [f"{ratio:.2f} ({precision})" for precision, ratio in one["focus_over_it"].items()]
        own = one["name"].startswith("FOCUS")
        rate = f"{one['maps_per_second']:.0f}"
        yield row(one["name"], f"{one['parameters']:,}", rate, "" if own else ", ".join(ratios))


def background_training(found: Found) -> Lines:
    """Yield the table of a whole training beside a bare loop."""
    yield f"{machine(found)}; medians of {found['turns']} turns of {found['seconds']:g} s:"
    yield from head("", "maps/s", "FOCUS over it")
    for name, rate in found["maps_per_second"].items():
        ratio = (
            ""
            if name.startswith("focus")
            else f"{found['ratio']:.2f} (mean {found['mean_ratio']:.3f} ± {found['ratio_error']:.3f})"
        )
        yield row(name, f"{rate:.0f}", ratio)


def sampling(found: Found) -> Lines:
    """Yield the table of sampling on a CPU."""
    size = f"{found['maps']} maps of {found['map_size']} x {found['map_size']} with {found['calls']} NFE"
    yield f"{size}; {machine(found)}; medians of {found['rounds']}:"
    until = f"seconds until P(k) of log is within {WITHIN:.0%}"
    yield from head("", "maps/s", "CPU s a map", "FOCUS is", "by CPU time", until)
    titles = {
        "loops": "the same network, float32, in the loop of",
        "precision": f"the same network, FOCUS in {found['focus_precision']}, in the loop of",
        "programs": "each with its own network:",
    }
    reached = seconds_to_spectrum(json.loads((RESULTS / "time_to_spectrum.json").read_text(encoding="utf-8")))
    for key, title in titles.items():
        for name, one in found[key].items():
            words = f"{title} {name.removesuffix(': loop').replace('FOCUS float32', 'FOCUS in float32')}"
            ratios = (f"{one[ratio]:.2f} times as fast" for ratio in ("ratio", "cpu_ratio"))
            shown = ("", "") if one["ratio"] == 1 else tuple(ratios)
            seconds = reached.get(name, "") if key == "programs" else ""
            yield row(words, f"{one['maps_per_s']:.1f}", f"{one['cpu_s_per_map']:.2f}", *shown, seconds)


WITHIN = 0.1


def seconds_to_spectrum(found: Found) -> dict[str, str]:
    """Return for each program the least seconds of training and drawing until P(k) of log is within WITHIN.

    All three bands and every seed that was trained count; FOCUS is its template `small_flow`.
    """
    rows: dict[str, dict[float, list[tuple[float, float]]]] = {}
    for one in found["rows"]:
        name = "FOCUS" if one["program"] == "FOCUS small_flow" else one["program"]
        worst = max(abs(one["scores"][f"log_power.{scale}_scales"][0]) for scale in ("large", "middle", "small"))
        rows.setdefault(name, {}).setdefault(one["seconds"], []).append((worst, one["draw_s"]))
    words = {}
    for name, budgets in rows.items():
        good = (
            seconds + max(drew for _, drew in seeds)
            for seconds, seeds in budgets.items()
            if max(worst for worst, _ in seeds) <= WITHIN
        )
        least = min(good, default=None)
        words[name] = f"not after {max(budgets):.0f}" if least is None else f"{least:.0f}"
    return words


def scaling(found: Found) -> Lines:
    """Yield the table of ranks on a CPU."""
    yield f"{machine(found['machine'])}, a thread each; what is done in a second over that of one rank:"
    ranks = sorted({one["ranks"] for one in found["measured"]})
    yield from head("", *(f"{count} ranks" for count in ranks if count > 1))
    gains = {(one["work"], one["ranks"]): one for one in found["measured"]}
    for work in dict.fromkeys(one["work"] for one in found["measured"]):
        cells = (gains[work, count] for count in ranks if count > 1)
        yield row(work, *(f"{one['gain']:.2f} (efficiency {one['efficiency']:.2f})" for one in cells))


def check(found: Found) -> Lines:
    """Yield the table of `focus check`."""
    yield f"{machine(found)}; answers over the truth of trainings (medians of as many rounds):"
    yield from head(
        "case", "first words, s", "answer, s", "CPU s", "time of an epoch", "peak memory", "rounds", "measured"
    )
    for name, one in found["cases"].items():
        ratios = (one[key].get("ratio") for key in ("seconds_per_epoch", "peak_memory"))
        times = (f"{one[key]:.1f}" for key in ("first_words_s", "answer_s", "answer_cpu_s"))
        cells = ("" if ratio is None else f"{ratio:.2f}" for ratio in ratios)
        yield row(name, *times, *cells, one["rounds"], one["measured"].partition(";")[0])


def memory(found: Found) -> Lines:
    """Yield the table of activations with and without checkpointing."""
    side = found["side"]
    yield f"Maps of {side} x {side}; GB a map:"
    kinds = ("kept", "most", "kept, checkpointing", "most, checkpointing")
    yield from head("network", "precision", *kinds, "more FLOP")
    for plain, again in zip(found["rows"][::2], found["rows"][1::2], strict=True):
        sizes = (f"{one[key] / 1e9:.2f}" for one in (plain, again) for key in ("kept_bytes", "peak_bytes"))
        yield row(plain["network"], plain["precision"], *sizes, f"{again['flop'] / plain['flop'] - 1:.0%}")


def streaming(found: Found) -> Lines:
    """Yield the table of maps that do not fit into memory."""
    size = f"{found['maps']:,} maps of {found['map_size']} x {found['map_size']}"
    yield f"{size}; {machine(found)}:"
    yield from head("", "", "beside it")
    rate, ratio = found["steps_per_s"], found["streamed_to_resident"]["wall"]
    yield row(
        "steps a second, through a memory map",
        f"{rate['streamed']:.2f}",
        f"{ratio:.3f} of {rate['resident']:.2f} in memory",
    )
    few, *_, many = found["rss_anon_mib"].items()
    cells = f"{many[1]['reading']:.0f} MiB", f"{few[1]['reading']:.0f} MiB with {int(few[0]):,} maps"
    yield row("memory beside the page cache", *cells)
    for name, one in found["chunked"].items():
        rate = f"{one['windows']:,.0f}"
        yield row(f"{name}: maps a second by windows of chunks", rate, f"{one['map by map']:.0f} map by map")


def startup(found: Found) -> Lines:
    """Yield the table of starting commands."""
    yield f"{machine(found)}; medians of {found['rounds']}:"
    yield from head("", "s", "times `import typer`", "CPU s")
    for name, seconds in found["median_s"].items():
        cpu = found["median_cpu_s"][name]
        yield row(f"`{name}`", f"{seconds:.3f}", f"{found['ratio'][name]:.2f}", f"{cpu:.3f}")


def dashboard(found: Found) -> Lines:
    """Yield the table of the dashboard."""
    yield "Wall time in a terminal; the load is at each measurement:"
    yield from head("", "s", "goal", "MB", "load")
    for name, one in found.items():
        if isinstance(one, Mapping) and "seconds" in one:
            memory = f"{one['megabytes']:.0f}" if "megabytes" in one else ""
            words = f"{name} (LEET: {one['leet_seconds']:.2f})" if "leet_seconds" in one else name
            yield row(words, f"{one['seconds']:.2f}", f"{one['bar']:g}", memory, f"{one['load']:.1f}")


def simulation(found: Found) -> Lines:
    """Yield the table of universes a minute."""
    yield f"Cells of {found['cell_mpc_h']:g} Mpc/h:"
    yield from head("cells", "program", "universes a minute", "CPU s", "memory, MiB", "FOCUS is", "measured on")
    for grid, one in found["grids"].items():
        programs, where = one["programs"], f"{one['cores_used']} of {machine(one)}"
        ours = programs["FOCUS"]["wall"]
        for name, of in programs.items():
            ratio, place = ("", where) if name == "FOCUS" else (f"{of['wall'] / ours:.2f} times as fast", "")
            numbers = (f"{of['universes_per_minute']:.3g}", f"{of['cpu']:.3g}", f"{of['memory_mib']:.0f}")
            yield row(f"{grid}³", name, *numbers, ratio, place)


def growth(found: Found) -> Lines:
    """Yield the table of how cost grows."""
    yield f"{machine(found)}; in brackets what is held:"
    yield from head("cost", "grows with", "seconds", "exponent", "share of the limit")
    for one in found["tables"]:
        points, limit = one["points"], one["points"][-1]["limit"]
        sizes = ", ".join(f"{point['size']:,}" for point in points)
        seconds = ", ".join(f"{point['seconds']:.3g}" for point in points)
        share = "" if limit is None else f"{limit / points[-1]['seconds']:.0%}"
        words = f"{one['cost']} ({one['held']})", f"{one['size']}: {sizes}"
        yield row(*words, seconds, f"{one['exponent']:.2f}", share)


SCORES = {
    "P(k), large scales": "power_spectrum.large_scales",
    "middle": "power_spectrum.middle_scales",
    "small": "power_spectrum.small_scales",
    "P(k) of log, small": "log_power.small_scales",
    "PDF W1": "pdf.w1",
    "mean": "slab_mean.bias",
    "response": "response.slope_middle_scales",
}


def time_to_spectrum(found: Found) -> Lines:
    """Yield the table of programs by seconds of training."""
    order = list(dict.fromkeys(one["program"] for one in found["rows"]))
    rows = sorted(
        found["rows"],
        key=lambda one: (not one["program"].startswith("FOCUS"), order.index(one["program"]), one["seconds"]),
    )
    yield f"{found['cores']} cores; median over seeds, each in brackets:"
    yield from head("", "seconds", *SCORES, "rms of ten", "not told at 99 %", "CPU, date")
    for (program, seconds), group in groupby(rows, key=lambda one: (one["program"], one["seconds"])):
        seeds = list(group)
        cells = (values([known(one["deviations"][name]) for one in seeds]) for name in SCORES.values())
        rms = [math.sqrt(statistics.fmean(known(d) ** 2 for d in one["deviations"].values())) for one in seeds]
        hidden = f"{sum(chance(one['scores']) > 0.01 for one in seeds)} of {len(seeds)}"
        where = f"{seeds[0]['cpu']}, {day(seeds[0]['date'])}"
        yield row(program.removeprefix("FOCUS "), f"{seconds:.0f}", *cells, values(rms), hidden, where)


FAMILY = ("power_spectrum.", "log_power.", "pdf.", "slab_mean.", "bispectrum.")
"""Statistics whose scores are judged together."""


def chance(scores: Found) -> float:
    """Return the probability that a perfect model has a score of FAMILY as unlikely, at most (Bonferroni)."""
    p_values = [score[3] for name, score in scores.items() if name.startswith(FAMILY) and score[3] is not None]
    return min(1.0, len(p_values) * min(p_values))


def known(deviation: float | None) -> float:
    """Return a deviation, NaN where it is unknown."""
    return math.nan if deviation is None else deviation


def values(numbers: list[float]) -> str:
    """Return the median, and all where there are several."""
    if not all(map(math.isfinite, numbers)) or max(map(abs, numbers)) > 1e4:
        return "diverged"
    middle = f"{statistics.median(numbers):.1f}"
    return middle if len(numbers) == 1 else f"{middle} ({', '.join(f'{one:.1f}' for one in numbers)})"


def noise_draws(found: Found) -> Lines:
    """Yield the table of networks that are drawn from many noises."""
    yield f"{found['maps']} maps a draw; mean over draws ± their standard deviation:"
    yield from head("", "draws", "told at 99 %", *SCORES)
    for name, group in groupby(found["rows"], key=lambda one: one["name"]):
        draws = list(group)
        told = sum(chance(one["scores"]) <= 0.01 for one in draws)
        columns = ([known(one["scores"][score][0]) for one in draws] for score in SCORES.values())
        cells = (f"{statistics.fmean(one):.3f} ± {statistics.stdev(one):.3f}" for one in columns)
        yield row(name, len(draws), told, *cells)


def demo(found: Found) -> Lines:
    """Yield the table of demos."""
    names = {
        "mean": "slab_mean.bias",
        "P(k), large scales": "power_spectrum.large_scales",
        "middle": "power_spectrum.middle_scales",
        "small": "power_spectrum.small_scales",
        "PDF W1": "pdf.w1",
        "response": "response.slope_middle_scales",
    }
    yield f"{machine(found)}; scores with their errors, and in brackets that of a perfect model:"
    yield from head("seed", "busy programs beside it", "seconds", *names)
    for one in found["rows"]:
        scores = (one["scores"][name] for name in names.values())
        cells = (f"{score['value']:.3f} ± {score['error']:.3f} ({score['null']:.3f})" for score in scores)
        yield row(one["seed"], one["neighbours"], f"{one['seconds']:.0f}", *cells)


TABLES: Mapping[str, Mapping[str, Callable[[Found], Lines]]] = {
    "performance.md": {
        one.__name__: one
        for one in (
            memory,
            cpu_training,
            background_training,
            sampling,
            scaling,
            streaming,
            check,
            startup,
            dashboard,
            simulation,
            growth,
        )
    },
    "training_well.md": {one.__name__: one for one in (time_to_spectrum, noise_draws, demo)},
}
"""For each page its tables; their names are those of the files of results."""


def head(*cells: str) -> Lines:
    """Yield the first lines of a table."""
    yield ""
    yield row(*cells)
    yield "|" + "---|" * len(cells)


def row(*cells: object) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(map(str, cells))} |"


def machine(found: Found) -> str:
    """Return the machine and the date of a result, in words."""
    load = found["load"][0] if isinstance(found["load"], list) else found["load"]
    cpu = f" ({found['cpu']})" if "cpu" in found else ""
    return f"{found['cores']} cores{cpu}, load {load:.1f}, {day(found['date'])}"


def day(date: str) -> str:
    """Return a date in words."""
    when = datetime.fromisoformat(date)
    return f"{when.day} {when:%B %Y}"


def written(page: str, tables: Mapping[str, Callable[[Found], Lines]]) -> str:
    """Return the page with its tables replaced; raises ValueError if it has not each table once."""
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
        before, rest = page.split(begin)
        _, after = rest.split(end)
        found = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        page = before + begin + "\n".join(table(found)) + "\n" + end + after
    return page


def main() -> None:
    """Write the tables of all pages."""
    for name, tables in TABLES.items():
        path = DOCS / name
        path.write_text(written(path.read_text(encoding="utf-8"), tables), encoding="utf-8")


if __name__ == "__main__":
    main()
