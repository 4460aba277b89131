"""The benchmark of Wan's published sizes: on small nets it goes through every kind of row, keeps them, and goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")
ROOT = Path(__file__).parents[1]
MODEL = "wan2.1-t2v-1.3b"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import wan_nets

    return wan_nets


@pytest.mark.filterwarnings("ignore")
def test_rows_come_one_by_one_and_are_kept(
    bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.json"
    asked = ["--dry-run", "--out", str(out)]
    bench.main([*asked, "--max-minutes", "0"])
    assert "rows are left: go on with --resume" in capsys.readouterr().out
    assert not out.exists()

    bench.main(asked)
    told = json.loads(out.read_text())
    rows = told["figures"]["rows"]
    sides = ("ours", "diffusers")
    wanted = {f"{MODEL}: {what}: {side}" for what in ("pass", "decode", "whole") for side in sides}
    assert rows.keys() == wanted | {"large product"}
    for key in wanted:
        assert bench.median(rows[key]) > 0
        assert min(rows[key]["peaks"].values() if "whole" in key else [rows[key]["peak"]]) > 0
    ours = rows[f"{MODEL}: whole: ours"]
    assert ours["at few steps"]["4"].keys() == {"encode", "denoise", "decode"}
    few, more = (sum(ours["at few steps"][n].values()) for n in ("2", "4"))
    assert ours["seconds"] == pytest.approx(more + (ours["steps"] - 4) * max(more - few, 0.0) / 2)
    passes = [rows[f"{MODEL}: pass: {side}"]["TFLOP"] for side in sides]
    assert passes[0] == passes[1] > 0
    shown = capsys.readouterr().out
    assert "times diffusers" in shown
    assert "of the data sheet" in shown

    monkeypatch.setattr(bench, "one_pass", None)  # what is there is not made again
    rows.pop("large product")
    out.write_text(json.dumps(told))
    bench.main([*asked, "--resume"])
    assert "large product" in json.loads(out.read_text())["figures"]["rows"]
    out.write_text(out.read_text().replace(torch.__version__, "0.1"))
    with pytest.raises(SystemExit, match="leave --resume out"):
        bench.main([*asked, "--resume"])


def test_operations_of_a_pass_are_those_of_its_layers_and_its_attention(bench: Any) -> None:
    from filmwright.weights.wan import WAN_SIZES

    config, shape = WAN_SIZES[MODEL], (21, 60, 104)
    tokens, words = 21 * 30 * 52, 512
    attention = 4 * config.layers * config.dim * tokens * (tokens + words)
    a_layer = 6 * config.dim**2 + 2 * config.dim * config.ffn  # what acts on each token; words have the rest
    found = bench.flops(config, shape)
    assert found == pytest.approx(attention + 2 * config.layers * a_layer * tokens, rel=0.02)


def test_a_card_has_the_data_sheet_of_its_own_kind(bench: Any) -> None:
    def of(name: str) -> float | None:
        return next((rate for part, rate in bench.SHEETS if part in name), None)

    assert of("NVIDIA H100 80GB HBM3") == of("NVIDIA H200") == 989e12
    assert of("NVIDIA H100 PCIe") == 756e12
    assert of("NVIDIA GeForce") is None
