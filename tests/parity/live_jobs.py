"""Jobs other than fits, over HTTP, against the same functions of autoreject on the same epochs."""

import copy

import autoreject
import mne
import numpy as np
from autoreject.utils import clean_by_interp, interpolate_bads


def post(api, kind, dataset, parameters, **more):
    return api.run({"type": kind, "dataset": dataset, "parameters": parameters, **more})


def cleaned_of(api, job):
    return api.get(f"/v1/jobs/{job['id']}/result/cleaned.npy").array()


def error_of(got, want):
    if got.shape != want.shape:
        return np.inf
    span = np.maximum(np.ptp(want, axis=(0, 2), keepdims=True), 1e-30) if want.size else 1.0
    return float((np.abs(got - want) / span).max()) if want.size else 0.0


def compare_thresholds(api, dataset, epochs, seed, report, name):
    for augment in (True, False):
        theirs = autoreject.compute_thresholds(
            epochs.copy(), method="random_search", random_state=seed, augment=augment, verbose=False)  # fmt: skip
        _, ours = post(api, "thresholds", dataset, {
            "thresh_method": "random_search", "random_state": seed, "augment": augment})  # fmt: skip
        same = set(theirs) == set(ours["thresholds"])
        worst = max(abs(ours["thresholds"][key] / value - 1.0) if value else abs(ours["thresholds"][key])
                    for key, value in theirs.items()) if same else np.inf  # fmt: skip
        report(f"{name} thresholds, augment={augment}", worst < 1e-8, f"largest relative difference {worst:.1e}")


def compare_edited_log(api, dataset, epochs, fitted, model, precision, report, name):
    """A person keeps one bad epoch, drops a good one, and repairs one more sensor."""
    log = fitted.get_reject_log(epochs)
    log.bad_epochs[:2] = [False, True]
    considered = np.flatnonzero(~np.isnan(log.labels[0]))
    log.labels[0, considered] = 0
    log.labels[0, considered[0]] = log.labels[3, considered[1]] = 2
    want = fitted.transform(epochs, reject_log=log).get_data(copy=True)
    labels = np.where(np.isnan(log.labels), -1, log.labels).astype(int)
    job, result = post(api, "apply", dataset, {"reject_log": {
        "labels": labels.tolist(), "bad_epochs": np.flatnonzero(log.bad_epochs).tolist()}}, model=model)  # fmt: skip
    error = error_of(cleaned_of(api, job), want)
    report(f"{name} edited reject log", error < precision and result["labels"] == labels.tolist(),
           f"cleaned differs by {error:.1e} of a channel's range")  # fmt: skip


def compare_interpolation(api, dataset, epochs, picks, precision, report, name):
    """One channel everywhere, another one in two epochs."""
    names = [epochs.ch_names[pick] for pick in picks]
    want = epochs.get_data(copy=True)
    for some, bads in ((slice(None), [names[0]]), ([1, 3], [names[0], names[2]])):
        part = epochs.copy()[some]
        part.info["bads"] = bads
        interpolate_bads(part, picks=picks, mode="fast")
        want[some] = part.get_data(copy=True)
    job, result = post(api, "interpolate", dataset, {}, channels={names[0]: "all", names[2]: [1, 3]})
    error = error_of(cleaned_of(api, job), want)
    counts = {names[0]: len(epochs), names[2]: 2}
    report(f"{name} interpolation", error < precision and result["interpolated"] == counts,
           f"differs by {error:.1e} of a channel's range")  # fmt: skip


def compare_each(api, dataset, epochs, picks, precision, report, name):
    """Every channel from all others: of all types, of one, and of a few channels, one of which is bad."""
    kinds = np.array(epochs.get_channel_types())
    few = [epochs.ch_names[pick] for pick in picks if kinds[pick] == kinds[picks[0]]][1::2]
    few += [bad for bad in epochs.info["bads"] if kinds[epochs.ch_names.index(bad)] == kinds[picks[0]]]
    few.sort(key=epochs.ch_names.index)  # in another order autoreject mixes up the places of electrodes
    for chosen in (None, [str(kinds[picks[0]])], few):
        want = clean_by_interp(epochs.copy(), picks=chosen, verbose=False).get_data(copy=True)
        parameters = {} if chosen is None else {"picks": chosen}
        job, result = post(api, "interpolate", dataset, parameters, channels="each")
        error = error_of(cleaned_of(api, job), want)
        report(f"{name} clean_by_interp, picks={chosen and len(chosen)}", error < precision,
               f"{len(result['interpolated'])} channels, differs by {error:.1e} of a channel's range")  # fmt: skip


def compare_origin(api, dataset, epochs, picks, precision, report, name):
    """MNE-Python's own interpolation of EEG, around an origin that it is told."""
    origin = (0.001, 0.012, 0.038)
    bads = [epochs.ch_names[picks[0]], epochs.ch_names[picks[2]]]
    bads += [bad for bad in epochs.info["bads"] if epochs.get_channel_types([bad]) == ["eeg"]]
    repaired = epochs.copy()
    repaired.info["bads"] = bads
    want = repaired.interpolate_bads(origin=origin).get_data(copy=True)
    job, _ = post(api, "interpolate", dataset, {"origin": origin}, channels={bad: "all" for bad in bads})
    error = error_of(cleaned_of(api, job), want)
    report(f"{name} interpolate_bads(origin=...)", error < precision, f"differs by {error:.1e} of a channel's range")


def compare_ransac(api, dataset, epochs, kind, precision, report, name):
    picks = [int(p) for p in mne.pick_types(epochs.info, **({"eeg": True} if kind == "eeg" else {"meg": kind}))]
    params = {"n_resample": 20, "min_channels": 0.4, "min_corr": 0.3, "unbroken_time": 0.6}
    theirs = autoreject.Ransac(picks=picks, n_jobs=1, verbose=False, **params).fit(epochs)
    # Ransac.transform() asks MNE-Python, which wants a digitized head; repaired as AutoReject does.
    repaired = epochs.copy()
    repaired.info["bads"] = list(theirs.bad_chs_)
    want = interpolate_bads(repaired, picks=picks, mode="fast").get_data(copy=True)
    job, result = post(api, "ransac", dataset, params | {"picks": [epochs.ch_names[p] for p in picks]})
    ours = api.get(f"/v1/jobs/{job['id']}/result/correlations.npy").array()
    worst = np.abs(np.nan_to_num(ours, nan=9.0) - np.nan_to_num(theirs.corr_, nan=9.0)).max()
    same = sorted(result["bad_channels"]) == sorted(theirs.bad_chs_)
    error = error_of(cleaned_of(api, job), want)
    report(f"{name} RANSAC {kind}", same and worst < 1e-8 and error < max(precision, 1e-6),
           f"{len(theirs.bad_chs_)} bad channels, correlations differ by {worst:.1e}, cleaned by {error:.1e}")  # fmt: skip


def compare_global(api, dataset, epochs, report, name):
    for decim in (1, 2):
        theirs = autoreject.get_rejection_threshold(epochs.copy(), decim=decim, random_state=1, verbose=False)
        _, ours = post(api, "global_thresholds", dataset, {"decim": decim, "random_state": 1})
        # Which candidates its Gaussian process visits is rounding noise: then ours may be another
        # one, whose loss the tests on golden data compare.
        equal = sum(np.isclose(ours["reject"][kind], value, rtol=1e-9) for kind, value in theirs.items())
        report(f"{name} global thresholds, decim={decim}",
               set(theirs) == set(ours["reject"]) and equal >= len(theirs) - 1,
               f"{equal} of {len(theirs)} types equal")  # fmt: skip
    train, test, params = autoreject.validation_curve(epochs.copy(), cv=4, return_param_range=True)
    _, ours = post(api, "validation_curve", dataset, {"cv": 4})
    got = [np.array([[-np.inf if x is None else x for x in row] for row in ours[key]])
           for key in ("train_scores", "test_scores")]  # fmt: skip
    good = np.allclose(ours["param_range"], params, rtol=1e-12)
    good &= all(np.allclose(a, b, rtol=1e-9, atol=0) for a, b in zip(got, (train, test)))
    report(f"{name} validation curve", good, f"{params.size} thresholds x 4 folds")


def compare_files(api, folder, epochs, fitted, given, precision, report, name):
    """MNE-Python saves, the file is posted and fitted, and the cleaned file is opened by MNE-Python."""
    path = folder / "live-epo.fif"
    epochs.save(path, fmt="double", overwrite=True)
    body = {"body": path.read_bytes(), "headers": {"Content-Type": "application/octet-stream"}}
    dataset = api.request("POST", "/v1/datasets", **body).json()
    read = mne.read_epochs(path, proj=False)  # places in the file are of single precision
    fitted = copy.deepcopy(fitted).fit(read)
    thresholds = {key: float(value) for key, value in fitted.threshes_.items()}
    job, result = api.fit(dataset, thresholds=thresholds, **given)
    clean, log = fitted.transform(read, return_log=True)
    (folder / "cleaned-epo.fif").write_bytes(api.get(f"/v1/jobs/{job['id']}/result/cleaned-epo.fif").body)
    ours = mne.read_epochs(folder / "cleaned-epo.fif", proj=False)
    labels = np.where(np.isnan(log.labels), -1, log.labels).astype(int)
    error = error_of(ours.get_data(copy=True), clean.get_data(copy=True))
    same = (
        result["labels"] == labels.tolist() and ours.ch_names == clean.ch_names
        and ours.info["bads"] == clean.info["bads"] and np.array_equal(ours.events, clean.events)
        and ours.event_id == clean.event_id and np.array_equal(ours.selection, clean.selection)
        and ours.drop_log == clean.drop_log and len(ours.info["projs"]) == len(clean.info["projs"])
    )  # fmt: skip
    report(f"{name} FIF to FIF", same and error < precision, f"cleaned differs by {error:.1e} of a channel's range")


def compare(api, dataset, epochs, fitted, model, seed, precision, report, name):
    picks = [int(pick) for pick in fitted.picks_]
    compare_thresholds(api, dataset, epochs, seed, report, name)
    compare_edited_log(api, dataset, epochs, fitted, model, precision, report, name)
    kinds = np.array(epochs.get_channel_types())[picks]
    for kind in dict.fromkeys(kinds):
        compare_ransac(api, dataset, epochs, str(kind), precision, report, name)
    compare_global(api, dataset, epochs, report, name)
    compare_interpolation(
        api, dataset, epochs, [p for p, kind in zip(picks, kinds) if (kind == "eeg") == (kinds[0] == "eeg")],
        precision, report, name)  # fmt: skip
    compare_each(api, dataset, epochs, picks, precision, report, name)
    eeg = [pick for pick, kind in zip(picks, kinds) if kind == "eeg"]
    if len(eeg) > 3:
        compare_origin(api, dataset, epochs, eeg, precision, report, name)
