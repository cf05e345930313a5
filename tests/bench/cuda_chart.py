"""The charts of cuda.py: each kernel against its bound, and fits on the GPU and on the processor."""

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "rejectd"  # the same figures make the same file
matplotlib.rcParams["svg.fonttype"] = "none"
matplotlib.rcParams["font.size"] = 9

import matplotlib.pyplot as plt  # noqa: E402

MOST_BARS = 14
BLUE, DARK, GREY, LIGHT = "#4c78a8", "#1b2a41", "#b8b8b8", "#9ecae9"
ORANGE = "#f58518"


def bars_of(kernels):
    """The longest bars, and one for all others."""
    shown, others = kernels[:MOST_BARS], kernels[MOST_BARS:]
    if others:
        rest = {"name": f"{len(others)} others", "milliseconds": sum(row["milliseconds"] for row in others)}
        shown = [*shown, rest]
    return shown


def draw_kernels(axes, fit):
    rows = bars_of(fit["kernels"])
    places = range(len(rows))
    colours = [GREY if row.get("host") else BLUE for row in rows]
    axes.barh(places, [row["milliseconds"] for row in rows], color=colours, height=0.7)
    widest = max(row["milliseconds"] for row in rows)
    for place, row in zip(places, rows):
        label = f"{row['milliseconds']:.2f} ms"
        if "bound_milliseconds" in row:
            axes.barh(place, row["bound_milliseconds"], color=DARK, height=0.28)
            label += f", {row['share_of_the_limit']:.0%}"
        axes.text(max(row["milliseconds"], row.get("bound_milliseconds", 0)) + widest * 0.015, place, label, va="center")
    axes.set_yticks(places, [row["name"] for row in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, widest * 1.35)
    axes.set_xlabel("milliseconds")
    total = sum(row["milliseconds"] for row in fit["kernels"])
    axes.set_title(f"{fit['precision']}: {total:.0f} ms in all", loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def kernels_chart(figures, path):
    fits = [fit for fit in figures["fits"] if fit.get("kernels")]
    most = max((fit["epochs"] for fit in fits), default=0)
    fits = [fit for fit in fits if fit["epochs"] == most]
    if not fits:
        return None
    figure, axes = plt.subplots(1, len(fits), figsize=(5.6 * len(fits), 4.8), squeeze=False, layout="constrained")
    for place, fit in zip(axes[0], fits):
        draw_kernels(place, fit)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in (BLUE, DARK, GREY)]
    names = ["kernel", "what memory and arithmetic allow", "the device waits for the host"]
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    fit = fits[0]
    figure.suptitle(f"A fit of {fit['epochs']} x {fit['channels']} x {fit['times']} resident samples, {figures['card']}")
    return save(figure, path, "kernels")


def draw_fits(axes, fits):
    ways = [("processor", lambda fit: fit.get("cpu_seconds"), GREY),
            ("GPU, from the host", lambda fit: fit["from_host"]["median"], LIGHT),
            ("GPU, resident", lambda fit: fit["resident"]["median"], BLUE),
            ("GPU, again with other parameters", lambda fit: fit["again"]["median"], ORANGE)]  # fmt: skip
    width = 0.2
    for number, (name, seconds_of, colour) in enumerate(ways):
        seconds = [seconds_of(fit) for fit in fits]
        places = [i + (number - 1.5) * width for i in range(len(fits))]
        known = [(place, value) for place, value in zip(places, seconds) if value]
        axes.bar([place for place, _ in known], [value for _, value in known], width * 0.92, color=colour, label=name)
        for place, value in known:
            text = f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.3g} ms"
            axes.text(place, value * 1.08, text, ha="center", va="bottom", fontsize=7, rotation=60)
    axes.set_yscale("log")
    axes.set_xticks(range(len(fits)), [f"{fit['epochs']}" for fit in fits])
    axes.set_xlabel("epochs")
    axes.set_title(fits[0]["precision"], loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def fits_chart(figures, path):
    by_precision = {}
    for fit in sorted(figures["fits"], key=lambda fit: fit["epochs"]):
        by_precision.setdefault(fit["precision"], []).append(fit)
    figure, axes = plt.subplots(1, len(by_precision), figsize=(5 * len(by_precision), 4), sharey=True, squeeze=False,
                                layout="constrained")  # fmt: skip
    for place, fits in zip(axes[0], by_precision.values()):
        draw_fits(place, fits)
    low, high = axes[0][0].get_ylim()
    axes[0][0].set_ylim(low / 1.5, high * 3)  # room for what is written on the bars
    axes[0][0].set_ylabel("seconds of a complete fit")
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)
    shape = "{channels} channels x {times} samples".format(**figures["fits"][0])
    threads = figures.get("machine", {}).get("processors")
    against = f" and {threads} processors" if threads else ""
    figure.suptitle(f"{shape}, {figures['card']}{against}")
    return save(figure, path, "fits")


def save(figure, path, name):
    chart = path.with_name(f"{path.stem}_{name}.svg")
    figure.savefig(chart, metadata={"Date": None})
    plt.close(figure)
    return chart


def draw(figures, path):
    """Writes the charts beside the JSON at `path`; the files that were written."""
    return [chart for chart in (kernels_chart(figures, path), fits_chart(figures, path)) if chart]
