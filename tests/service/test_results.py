"""Results over HTTP against autoreject's own answers, and what surrounds them."""

import numpy as np
import pytest
from api import check_problem, npy_bytes
from samples import Case, description, eeg_cases, noise

CASES = eeg_cases()
BY_NAME = pytest.mark.parametrize("folder", CASES, ids=[folder.name for folder in CASES])


@pytest.fixture(scope="module")
def uploaded(daemon):
    """(case, dataset) of a folder, uploaded once."""
    known = {}

    def get(folder):
        if folder not in known:
            case = Case(folder)
            known[folder] = case, daemon.api.upload(case.description(), case.data)
        return known[folder]

    return get


def loss_array(result):
    grid = result["loss"]["eeg"]
    return np.array([[[np.inf if x is None else x for x in folds] for folds in row] for row in grid])


def check_arrays(api, job, result, case, kept):
    """labels.npy agrees with the JSON; cleaned.npy holds the kept epochs in the dataset's dtype."""
    response = api.get(f"/v1/jobs/{job['id']}/result/labels.npy")
    assert response.headers["Content-Type"] == "application/x-npy"
    labels = response.array()
    assert labels.dtype == np.int8
    np.testing.assert_array_equal(labels, np.array(result["labels"]))
    cleaned = api.get(f"/v1/jobs/{job['id']}/result/cleaned.npy").array()
    assert cleaned.dtype == case.data.dtype
    assert cleaned.shape == (len(kept), *case.data.shape[1:])
    return cleaned


def check_cleaned(cleaned, case):
    want = case.array("cleaned")
    cleaned = cleaned[: len(want)]
    if want.size == 0:
        return
    span = np.ptp(case.data.astype(np.float64), axis=(0, 2))[None, :, None]
    precision = 1e-8 if case.data.dtype == np.float64 else 1e-6
    limit = np.maximum(precision * span, 1e-18)
    assert (np.abs(cleaned - want) <= limit).all()
    untouched = [i for i in range(case.data.shape[1]) if i not in case.expected["picks"]]
    kept = case.expected["autoreject"]["cleaned"]["kept_epochs"][: len(want)]
    np.testing.assert_array_equal(cleaned[:, untouched], case.data[kept][:, untouched])


@BY_NAME
def test_with_autorejects_thresholds(api, uploaded, folder):
    """Everything after the thresholds is deterministic, so it equals autoreject's exactly."""
    case, dataset = uploaded(folder)
    job, result = api.fit(dataset, thresholds=case.thresholds(), **case.parameters())
    expected = case.expected["autoreject"]
    loss, want = loss_array(result), case.array("loss")
    np.testing.assert_array_equal(np.isinf(loss), np.isinf(want))
    np.testing.assert_allclose(loss, want, rtol=1e-9)
    assert result["consensus"] == pytest.approx(expected["consensus_"], abs=1e-15)
    assert result["n_interpolate"] == expected["n_interpolate_"]
    np.testing.assert_array_equal(np.array(result["labels"]), case.array("labels"))
    assert result["bad_epochs"] == np.flatnonzero(case.array("bad_epochs")).tolist()
    assert result["thresholds"] == case.thresholds()
    kept = expected["cleaned"]["kept_epochs"]
    check_cleaned(check_arrays(api, job, result, case, kept), case)


@BY_NAME
def test_whole_fit(api, uploaded, folder):
    """With the search: thresholds that are candidates, at most 1 % above autoreject's loss."""
    case, dataset = uploaded(folder)
    job, result = api.fit(dataset, **case.parameters())
    names = case.expected["pick_names"]
    assert list(result["thresholds"]) == names
    mine = np.array([result["thresholds"][name] for name in names])
    theirs = case.array("thresholds_bayes")
    same = np.isclose(mine, theirs, rtol=1e-9, atol=1e-18)
    assert same.mean() >= 0.95 or (~same).sum() <= 1, f"{same.sum()} of {len(same)} thresholds are equal"
    candidates, losses = case.array("threshold_candidates"), case.array("threshold_losses")
    for i in np.flatnonzero(~same):
        at = np.nanargmin(np.abs(candidates[i] - mine[i]))
        reference = losses[i][np.nanargmin(np.abs(candidates[i] - theirs[i]))]
        assert mine[i] == pytest.approx(candidates[i][at], rel=1e-9)
        assert losses[i][at] <= 1.01 * reference
    if same.all():
        np.testing.assert_array_equal(np.array(result["labels"]), case.array("labels"))
        assert result["bad_epochs"] == np.flatnonzero(case.array("bad_epochs")).tolist()
    kept = [e for e in range(len(case.data)) if e not in result["bad_epochs"]]
    check_arrays(api, job, result, case, kept)


@BY_NAME
def test_exact_search_is_never_worse(api, uploaded, folder):
    case, dataset = uploaded(folder)
    _, result = api.fit(dataset, thresh_method="exact", **case.parameters())
    least = np.nanmin(case.array("threshold_losses"), axis=1)
    for name, loss in zip(case.expected["pick_names"], least):
        assert result["threshold_losses"][name] == pytest.approx(loss, rel=1e-9, abs=1e-18), name


@BY_NAME
def test_random_search(api, uploaded, folder):
    case, dataset = uploaded(folder)
    _, result = api.fit(dataset, thresh_method="random_search", **case.parameters())
    mine = [result["thresholds"][name] for name in case.expected["pick_names"]]
    np.testing.assert_allclose(mine, case.array("thresholds_random"), rtol=1e-9)


def warnings_of(api, uploaded, name):
    case, dataset = uploaded(next(folder for folder in CASES if folder.name == name))
    _, result = api.fit(dataset, **case.parameters())
    return {warning["code"]: warning["message"] for warning in result["warnings"]}


def test_warning_of_a_flat_channel(api, uploaded):
    warnings = warnings_of(api, uploaded, "flat_and_ties")
    assert "F7" in warnings["flat-channel"]


def test_warning_when_all_epochs_are_bad(api, uploaded):
    assert "10" in warnings_of(api, uploaded, "all_bad")["all-epochs-bad"]


def test_no_warning_when_nothing_is_odd(api, uploaded):
    assert warnings_of(api, uploaded, "eeg_float64") == {}


def test_provenance(api):
    dataset = api.upload(description(), noise())
    job, result = api.fit(dataset, cv=3, random_state=7)
    provenance = result["provenance"]
    assert provenance["dataset_sha256"] == dataset["sha256"]
    assert provenance["parameters"]["cv"] == 3 and provenance["version"] and provenance["backend"]
    assert result["random_state"] == 7 and result["device"]
    assert result["timings"]["queued"] >= 0 and result["timings"]["running"] > 0
    assert result["n_interpolate_grid"] == {"eeg": [1, 4, 5]}
    np.testing.assert_array_equal(result["consensus_grid"]["eeg"], np.linspace(0, 1, 11))
    assert np.array(result["loss"]["eeg"], dtype=float).shape == (11, 3, 3)


def test_defaults_are_autorejects(api):
    data = noise(20)
    dataset = api.upload(description(20), data)
    _, plain = api.run({"type": "fit", "dataset": dataset["id"]})
    _, spelled = api.fit(dataset, cv=10, n_interpolate=[1, 4, 5], consensus=np.linspace(0, 1, 11).tolist(),
                         thresh_method="bayesian_optimization", random_state=42, precision="float64")  # fmt: skip
    for key in ("thresholds", "loss", "labels", "consensus", "n_interpolate", "bad_epochs"):
        assert plain[key] == spelled[key], key


def test_picks(api):
    """Channels that are not picked are not considered; names include channels marked bad."""
    made = description()
    made["channels"][1]["bad"] = True
    dataset = api.upload(made, noise())
    _, by_type = api.fit(dataset, cv=3, picks=["eeg"])
    assert list(by_type["thresholds"]) == ["E0", "E2", "E3", "E4", "E5"]
    assert {row[1] for row in by_type["labels"]} == {-1}
    _, by_name = api.fit(dataset, cv=3, picks=["E4", "E1", "E0", "E2"])
    assert list(by_name["thresholds"]) == ["E0", "E1", "E2", "E4"]
    assert {row[3] for row in by_name["labels"]} == {-1} and -1 not in {row[1] for row in by_name["labels"]}


class TestApply:
    @pytest.fixture(scope="class")
    def fitted(self, daemon):
        dataset = daemon.api.upload(description(20), noise(20, seed=1))
        _, result = daemon.api.fit(dataset)
        return dataset, result

    def test_to_its_own_dataset(self, api, fitted):
        dataset, fit = fitted
        job, result = api.run({"type": "apply", "dataset": dataset["id"], "model": fit["model"]})
        for key in ("labels", "bad_epochs", "thresholds", "consensus", "n_interpolate", "model"):
            assert result[key] == fit[key], key
        assert "loss" not in result and job["model"] == fit["model"]

    def test_to_another_dataset(self, api, fitted):
        """Channels are found by name, in whatever order, between others."""
        _, fit = fitted
        names = ["E3", "extra", "E0", "E5", "E1", "E4", "E2"]
        known = {c["name"]: c for c in description()["channels"]}
        channels = [known.get(name, {"name": name, "type": "misc"}) for name in names]
        data = noise(9, 7, seed=2)
        other = api.upload(description(9, channels=channels), data)
        job, result = api.run({"type": "apply", "dataset": other["id"], "model": fit["model"]})
        labels = np.array(result["labels"])
        assert (labels[:, 1] == -1).all()
        thresholds = np.array([fit["thresholds"].get(name, np.inf) for name in names])
        over = np.ptp(data, axis=-1) > thresholds
        np.testing.assert_array_equal(labels > 0, over)
        bad = over.sum(axis=1) >= fit["consensus"]["eeg"] * 6
        assert result["bad_epochs"] == np.flatnonzero(bad).tolist()
        assert ((labels == 2).sum(axis=1) <= fit["n_interpolate"]["eeg"]).all()
        cleaned = api.get(f"/v1/jobs/{job['id']}/result/cleaned.npy").array()
        np.testing.assert_array_equal(cleaned[labels[~bad] != 2], data[~bad][labels[~bad] != 2])

    def test_after_its_dataset_is_gone(self, api):
        dataset = api.upload(description(), noise(seed=8))
        _, fit = api.fit(dataset, cv=3)
        assert api.delete(f"/v1/datasets/{dataset['id']}").status == 204
        other = api.upload(description(), noise(seed=9))
        _, result = api.run({"type": "apply", "dataset": other["id"], "model": fit["model"]})
        assert result["thresholds"] == fit["thresholds"]


class TestWithoutCleanedEpochs:
    """Whoever tries parameters doesn't wait for epochs to be written."""

    def test_the_same_result_and_no_file(self, api):
        dataset = api.upload(description(24), noise(24))
        (with_job, with_them), (job, without) = (api.fit(dataset, cv=3, cleaned=c) for c in (None, False))
        for key in ("thresholds", "loss", "labels", "bad_epochs", "consensus", "n_interpolate"):
            assert without[key] == with_them[key]
        for name in ("cleaned.npy", "cleaned-epo.fif", "cleaned.set"):
            response = api.get(f"{job['result']}/{name}")
            check_problem(response, 404, "not-found", None, (name, "told not to"))
        assert api.get(f"{job['result']}/labels.npy").body == api.get(f"{with_job['result']}/labels.npy").body

    def test_an_apply_makes_them(self, api):
        dataset = api.upload(description(24), noise(24, seed=3))
        fitted, _ = api.fit(dataset, cv=3)
        _, tried = api.fit(dataset, cv=3, cleaned=False)
        request = {"type": "apply", "dataset": dataset["id"], "model": tried["model"]}
        applied, _ = api.run(request)
        want = api.get(f"{fitted['result']}/cleaned.npy").body
        assert api.get(f"{applied['result']}/cleaned.npy").body == want
        bare, result = api.run(request | {"parameters": {"cleaned": False}})
        assert result["labels"] == tried["labels"]
        assert api.get(f"{bare['result']}/cleaned.npy").status == 404

    def test_ransac(self, api):
        dataset = api.upload(description(24), noise(24, seed=4))
        (_, with_them), (job, without) = (
            api.run({"type": "ransac", "dataset": dataset["id"], "parameters": {"cleaned": c}})
            for c in (True, False)
        )
        assert without["bad_channels"] == with_them["bad_channels"]
        assert api.get(f"{job['result']}/cleaned.npy").status == 404
        assert api.get(f"{job['result']}/correlations.npy").status == 200

    def test_others_have_none_to_leave_out(self, api):
        dataset = api.upload(description(), noise())
        for kind in ("thresholds", "global_thresholds", "validation_curve", "interpolate"):
            response = api.post("/v1/jobs", {"type": kind, "dataset": dataset["id"],
                                             "parameters": {"cleaned": False}})  # fmt: skip
            check_problem(response, 422, "invalid-value", "parameters.cleaned", ("unknown field",))

    def test_it_is_estimated_without(self, api):
        shape = {"n_epochs": 400, "n_channels": 64, "n_times": 500}
        by_choice = [api.post("/v1/estimate", {"type": "fit", "shape": shape, "parameters": {"cleaned": c}})
                     .json()["devices"][0]["seconds"] for c in (True, False)]  # fmt: skip
        assert by_choice[1] < by_choice[0]


class TestDeterminism:
    def everything(self, api, dataset, **parameters):
        job, result = api.fit(dataset, **parameters)
        arrays = [api.get(f"/v1/jobs/{job['id']}/result/{name}.npy").body for name in ("labels", "cleaned")]
        keys = ("thresholds", "threshold_losses", "loss", "labels", "bad_epochs", "consensus", "n_interpolate")
        return {key: result[key] for key in keys}, arrays

    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_run_to_run(self, api, dtype):
        shape = (40, 12, 80)
        dataset = api.upload(description(*shape, dtype=dtype), noise(*shape, dtype=dtype))
        first = self.everything(api, dataset)
        for _ in range(2):
            assert self.everything(api, dataset) == first

    def test_way_of_upload_does_not_matter(self, api):
        data = noise(15)
        raw = api.upload(description(15), data)
        inline = api.create(description(15, data=data.tolist()))
        as_npy = api.create(description(15))
        assert api.put(f"/v1/datasets/{as_npy['id']}/samples", npy_bytes(data)).status == 200
        first = self.everything(api, raw)
        assert self.everything(api, inline) == first and self.everything(api, as_npy) == first

    @pytest.mark.parametrize("threads", ["1", "2", "8"])
    def test_number_of_threads(self, own_daemon, threads):
        """The same bytes with any OMP_NUM_THREADS, compared through a digest of this process."""
        import hashlib

        daemon = own_daemon(environment={"OMP_NUM_THREADS": threads})
        shape = (40, 12, 80)
        dataset = daemon.api.upload(description(*shape), noise(*shape))
        made, arrays = self.everything(daemon.api, dataset)
        digest = hashlib.sha256(repr(made).encode() + b"".join(arrays)).hexdigest()
        known = TestDeterminism.__dict__.get("digest")
        if known is None:
            TestDeterminism.digest = digest
        else:
            assert digest == known
