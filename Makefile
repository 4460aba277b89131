# Filmwright's five commands. Each sets up what it needs, once, in .venv inside this checkout.
#
#   make film PROMPT="..."   a clip from your words: film.mp4 and film.json
#   make test                the tests              make check   format, lint, types, architecture
#   make bench               speed and memory       make clean   throw away what can be made again
#
# On a machine without an NVIDIA GPU the CPU build of torch saves gigabytes of download:
#   make film TORCH_INDEX=https://download.pytorch.org/whl/cpu
# PIP_EXTRA adds options to every pip call, e.g. PIP_EXTRA="--index-url https://my.mirror/simple".

PROMPT ?= a red ball drops onto a wooden floor and bounces, warm sunset light, the camera pushes in
OUT ?= film.mp4
PYTHON ?= python3
TORCH_INDEX ?=
PIP_EXTRA ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install $(PIP_EXTRA)
TORCH := $(shell sed -n 's/^ *"\(torch[^"]*\)",.*/\1/p' pyproject.toml)
export PROMPT

.PHONY: film check test bench clean
.DEFAULT_GOAL := film

film: $(VENV)/.installed
	@$(BIN)/filmwright generate "$$PROMPT" -o "$(OUT)"

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal $(ARGS)

bench: $(VENV)/.installed-dev
	@set -e; for file in $$(ls benchmarks/*.py | grep -v '/_'); do \
		name=$$(basename "$$file" .py); echo "== benchmarks.$$name"; $(BIN)/python -m benchmarks.$$name; \
	done

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp a set of dependencies: made once, and again when pyproject.toml changes.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"error: {sys.executable} is Python {v[0]}.{v[1]}, Filmwright needs 3.11 or newer; name one with PYTHON=python3.12")'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	@if [ -n "$(TORCH_INDEX)" ]; then echo "installing torch from $(TORCH_INDEX)"; \
		$(PIP) --index-url "$(TORCH_INDEX)" "$(TORCH)"; \
	elif ! [ -e /dev/nvidiactl ] && ! $(BIN)/python -c 'import torch' 2>/dev/null; then \
		echo "no NVIDIA GPU here: 'make TORCH_INDEX=https://download.pytorch.org/whl/cpu' would download far less"; fi
	$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) -e '.[dev]'
	@touch $@
