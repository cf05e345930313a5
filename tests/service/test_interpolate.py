"""The `interpolate` job over HTTP: channels that are named, each channel from all the others, and
another centre of the electrodes' sphere."""

import mne
import numpy as np
import pytest
from api import check_problem
from autoreject.utils import clean_by_interp
from samples import description, noise
from test_files import epochs_of, post_file, saved

mne.set_log_level("ERROR")


@pytest.fixture(scope="module")
def epochs():
    return epochs_of(noise(7, 9, 40))


@pytest.fixture(scope="module")
def dataset(daemon, epochs, tmp_path_factory):
    answer = post_file(daemon.api, saved(epochs, tmp_path_factory.mktemp("files"), fmt="double"))
    assert answer.status == 201, answer
    return answer.json()


def interpolated(api, dataset, channels, **parameters):
    """The samples, and how many epochs of which channel were replaced."""
    request = {"type": "interpolate", "dataset": dataset["id"], "channels": channels, "parameters": parameters}
    job, result = api.run(request)
    return api.get(f"/v1/jobs/{job['id']}/result/cleaned.npy").array(), result


def check_close(got, want):
    """Places in a file are of single precision, which is what the tolerance leaves room for."""
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5 * np.ptp(want))


class TestEach:
    @pytest.mark.parametrize("picks", [None, ["eeg"], ["Fp1", "Fp2", "C4", "P3", "O1"], ["Fp1", "F3", "C4", "P4"]])
    def test_as_clean_by_interp(self, api, epochs, dataset, picks):
        """F3 is marked bad: no source, and not replaced, unless it is picked by name."""
        got, result = interpolated(api, dataset, "each", **({} if picks is None else {"picks": picks}))
        copy = epochs.copy()
        check_close(got, clean_by_interp(copy, picks=picks, verbose=False).get_data(copy=True))
        good = [name for name in epochs.ch_names if name != "F3"]
        names = good if picks in (None, ["eeg"]) else picks
        assert result["interpolated"] == {name: 7 for name in names}
        rest = [i for i, name in enumerate(epochs.ch_names) if name not in names]
        np.testing.assert_array_equal(got[:, rest], epochs.get_data(copy=True)[:, rest])

    def test_in_the_parameters(self, api, dataset):
        beside, result = interpolated(api, dataset, "each")
        job, inside = api.run({"type": "interpolate", "dataset": dataset["id"], "parameters": {"channels": "each"}})
        assert inside["interpolated"] == result["interpolated"] and inside["origin"] == [0, 0, 0]
        assert job["parameters"] == {"channels": "each"}
        np.testing.assert_array_equal(api.get(f"/v1/jobs/{job['id']}/result/cleaned.npy").array(), beside)

    def test_order_of_picks(self, api, dataset):
        picks = ["Fp1", "Fp2", "C4", "P3", "O1"]
        got, _ = interpolated(api, dataset, "each", picks=picks[::-1])
        np.testing.assert_array_equal(got, interpolated(api, dataset, "each", picks=picks)[0])

    def test_float32(self, api):
        data = noise(6, 8, 30, dtype="float32")
        single = api.upload(description(6, 8, 30, dtype="float32"), data)
        double = api.upload(description(6, 8, 30), data.astype("float64"))
        got, _ = interpolated(api, single, "each")
        want, _ = interpolated(api, double, "each")
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6 * np.ptp(want))

    def test_other_types_stay(self, api):
        made = description(6, 8, 30)
        made["channels"][0]["type"], made["channels"][5]["type"] = "eog", "ecog"
        data = noise(6, 8, 30)
        got, result = interpolated(api, api.upload(made, data), "each")
        np.testing.assert_array_equal(got[:, [0, 5]], data[:, [0, 5]])
        assert set(result["interpolated"]) == {made["channels"][i]["name"] for i in (1, 2, 3, 4, 6, 7)}
        assert not np.isclose(got[:, 1:5], data[:, 1:5]).any(axis=2).all(axis=1).any()


@pytest.mark.parametrize("origin", [(0.0, 0.0, 0.04), (0.002, -0.01, 0.03)])
def test_origin_as_interpolate_bads(api, epochs, dataset, origin):
    copy = epochs.copy()
    copy.info["bads"] = ["F3", "C4", "O1"]
    want = copy.interpolate_bads(origin=origin).get_data(copy=True)
    channels = {"F3": "all", "C4": "all", "O1": "all"}
    got, result = interpolated(api, dataset, channels, origin=list(origin))
    assert result["origin"] == list(origin)
    check_close(got, want)
    elsewhere, _ = interpolated(api, dataset, channels)
    assert np.abs(elsewhere - want).max() > 1e-3 * np.ptp(want)


REFUSED = {
    "a word": ("all", {}, "parameters.channels", "each"),
    "a list": (["Fp1"], {}, "parameters.channels", "object"),
    "no channel of the type": ("each", {"picks": ["mag"]}, "parameters.picks[0]", "mag"),
    "an unknown pick": ("each", {"picks": ["Nose"]}, "parameters.picks[0]", "Nose"),
    "one pick": ("each", {"picks": ["Fp1"]}, None, ("interpolate", "from")),
    "picks of named channels": ({"Fp1": "all"}, {"picks": ["eeg"]}, "parameters.picks", "each"),
    "a fitted origin": ("each", {"origin": "auto"}, "parameters.origin", "array"),
    "millimetres": ("each", {"origin": [0, 0, 40]}, "parameters.origin[2]", "40"),
    "two numbers": ("each", {"origin": [0, 0]}, "parameters.origin", "2"),
    "leave_one_out": ("each", {"leave_one_out": True}, "parameters.leave_one_out", "picks"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(api, dataset, name):
    channels, parameters, field, words = REFUSED[name]
    before = api.listed("jobs")
    response = api.post("/v1/jobs", {"type": "interpolate", "dataset": dataset["id"], "channels": channels,
                                     "parameters": parameters})  # fmt: skip
    problem = response.json()["type"].removeprefix("/problems/")
    check_problem(response, 422, problem, field, words)
    assert api.listed("jobs") == before


def test_an_electrode_at_the_origin(api):
    made = description(4, 6, 10)
    dataset = api.upload(made, noise(4, 6, 10))
    response = api.post("/v1/jobs", {"type": "interpolate", "dataset": dataset["id"], "channels": "each",
                                     "parameters": {"origin": made["channels"][3]["position"]}})  # fmt: skip
    check_problem(response, 422, "unsuitable-dataset", "channels[3].position", "sphere")
