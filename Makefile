# make demo    set up, then build a real engine from a real model and run it
# make test    set up, then run the tests that need no GPU; of long sweeps a part
# make help    the other targets
PYTHON ?= python3
VENV ?= .venv
# Development builds compile the plugin library for one architecture: that of the GPU here, or 90 without one.
GPU_ARCH := $(shell nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d .)
CUDA_ARCH ?= $(or $(GPU_ARCH),90)
# Full TensorRT needs a GPU to build engines, TensorRT-RTX does not.
BACKEND ?= $(if $(shell command -v nvidia-smi 2>/dev/null),tensorrt,rtx)

# 1: install exactly what LOCK pins, each file checked by its hash, as CI does.
LOCKED ?=
LOCK := requirements/ci.txt
LOCK_TOOL := uv==0.13.9
SBOM_TOOL := cyclonedx-bom>=7
FUZZ_SECONDS ?= 3600
FUZZ_SEED ?= $(shell date +%s)
FUZZ_RUNS ?= 1000000

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Without a GPU no plugin runs: demo and tests are ready minutes earlier without their library.
WITHOUT_LIBRARY := $(VENV)/.installed-without-library
QUICKLY_INSTALLED := $(if $(or $(GPU_ARCH),$(LOCKED),$(wildcard $(INSTALLED))),$(INSTALLED),$(WITHOUT_LIBRARY))
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
ONE_ARCH := --config-settings cmake.define.TRTCONV_CUDA_ARCHITECTURES=$(CUDA_ARCH)
# Many tests wait for other processes: one more worker than processors.
WORKERS ?= $(shell expr $$(nproc) + 1)
RUN_TESTS = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m 'not gpu' $(PYTEST_ARGS)
CPP := $(shell find plugins_cuda -name '*.h' -o -name '*.cuh' -o -name '*.cu' -o -name '*.cpp')
EXAMPLES_CPP := $(wildcard examples/cpp/*.h examples/cpp/*.cpp)
PYTHON_CODE := trtconv models tests build_backend plugins_cuda examples

# The tests start Python hundreds of times, which without bytecode compiles trtconv anew each time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo kill test test-all test-gpu accuracy bench lint format golden fuzz fuzz-host lock sbom offline reproducible clean

help:
	@echo 'make demo      set everything up, build a real engine from a real model, and run it'
	@echo 'make test      set up and run the tests that need no GPU, of long sweeps a fixed part; 5 minutes on 2 cores'
	@echo 'make test-all  compile the plugin library and run all of them, as CI does'
	@echo 'make test-gpu  the tests that need a GPU and full TensorRT'
	@echo 'make bench     time the kernels on the GPU here; BENCH_ARGS="--filter GLOB --no-native" and so on'
	@echo 'make accuracy  of the tests those that compare: models and the kernels arithmetic, with a GPU engines too'
	@echo 'make kill      kill 200 builds and 200 rewrites at random moments; KILLS=N, SEED=N'
	@echo 'make lint      ruff, mypy --strict, clang-format; make format mends what can be mended'
	@echo 'make golden    write the expected graphs of tests/cases and inspections of tests/data anew; read the diff'
	@echo 'make fuzz      mutated files through every path for FUZZ_SECONDS=$(FUZZ_SECONDS) from FUZZ_SEED=$(FUZZ_SEED) on'
	@echo 'make fuzz-host the plugins host code under sanitizers, FUZZ_RUNS=$(FUZZ_RUNS) hostile plugins'
	@echo 'make lock      pin and hash what CI installs; make sbom lists what $(VENV) holds, as CycloneDX'
	@echo 'make offline   what a machine without a network needs, in dist/offline; build and install from that alone'
	@echo 'make reproducible  compile the library in two folders and compare the bytes'
	@echo 'make clean     remove $(VENV), build folders and generated models'
	@echo 'Variables: PYTHON=$(PYTHON) VENV=$(VENV) CUDA_ARCH=$(CUDA_ARCH) BACKEND=$(BACKEND); LOCKED=1 installs what $(LOCK) pins'

demo: $(QUICKLY_INSTALLED)
	$(BIN)/python -m models.demo

test: $(QUICKLY_INSTALLED)
	$(RUN_TESTS)

test-all: export TRTCONV_TESTS := all
test-all: $(INSTALLED)
	$(RUN_TESTS)

test-gpu: $(INSTALLED)
	$(BIN)/python -m pytest -m gpu $(PYTEST_ARGS)

bench: $(INSTALLED)
	$(BIN)/trtconv bench --ops $(BENCH_ARGS)

# Part of `make test` and `make test-gpu`; tests that need a GPU skip where there is none.
accuracy: $(QUICKLY_INSTALLED)
	$(BIN)/python -m pytest tests/comparison/test_compare_models.py tests/plugins/test_host_every_case.py \
		tests/gpu/test_compare.py tests/gpu/test_engine_accuracy.py $(PYTEST_ARGS)

kill: $(QUICKLY_INSTALLED)
	TRTCONV_KILLS=$(or $(KILLS),200) TRTCONV_KILL_SEED=$(or $(SEED),1) $(BIN)/python -m pytest -s tests/cli/test_kills.py

lint: $(INSTALLED)
	$(BIN)/ruff check $(PYTHON_CODE)
	$(BIN)/ruff format --check $(PYTHON_CODE)
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(CPP) $(EXAMPLES_CPP)

format: $(INSTALLED)
	$(BIN)/ruff check --fix $(PYTHON_CODE)
	$(BIN)/ruff format $(PYTHON_CODE)
	$(BIN)/clang-format -i $(CPP) $(EXAMPLES_CPP)

golden: $(QUICKLY_INSTALLED)
	$(BIN)/python -m tests.support.golden
	$(BIN)/python -m tests.support.inspection_cases

fuzz: $(QUICKLY_INSTALLED)
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED) --counts build/fuzz/counts.json

fuzz-host: $(QUICKLY_INSTALLED)
	$(BIN)/python -m tests.plugins.sanitized_host $(FUZZ_RUNS) $(FUZZ_SEED)

# The index's own address must not be in the file, which is why uv is told so.
lock:
	$(PYTHON) -m venv build/lock-tool && build/lock-tool/bin/pip install --quiet '$(LOCK_TOOL)'
	build/lock-tool/bin/uv pip compile pyproject.toml requirements/build.in --extra rtx --extra test --extra lint \
		--universal --python-version 3.10 --generate-hashes --no-emit-index-url --no-annotate --upgrade \
		--custom-compile-command 'make lock' --output-file $(LOCK)

sbom: $(INSTALLED)
	$(PYTHON) -m venv build/sbom-tool && build/sbom-tool/bin/pip install --quiet '$(SBOM_TOOL)'
	@mkdir -p dist
	build/sbom-tool/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --output-reproducible \
		--output-file dist/trtconv.cdx.json

offline: $(INSTALLED)
	$(BIN)/python -m tests.support.offline_install $(if $(filter file,$(origin CUDA_ARCH)),$(GPU_ARCH),$(CUDA_ARCH))

reproducible: $(INSTALLED)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m tests.support.reproducible_build $(CUDA_ARCH)

define MAKE_ENVIRONMENT
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo 'error: trtconv needs Python 3.10 or later; run: make PYTHON=python3.12 $(MAKECMDGOALS)' >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo 'error: no virtual environment; on Debian run: apt-get install python3-venv' >&2; exit 2; }
endef

$(WITHOUT_LIBRARY): pyproject.toml $(wildcard build_backend/*.py)
	$(MAKE_ENVIRONMENT)
	$(PIP_INSTALL) --config-settings wheel.cmake=false -e '.[$(BACKEND),test]'
	@touch $@

$(INSTALLED): pyproject.toml $(if $(LOCKED),$(LOCK)) CMakeLists.txt $(CPP) $(wildcard build_backend/*.py plugins_cuda/cmake/* plugins_cuda/CMakeLists.txt)
	$(MAKE_ENVIRONMENT)
ifneq ($(LOCKED),)
	$(PIP_INSTALL) --require-hashes -r $(LOCK)
	PATH="$(abspath $(BIN)):$$PATH" $(PIP_INSTALL) --no-deps --no-build-isolation $(ONE_ARCH) -e .
else
	$(PIP_INSTALL) $(ONE_ARCH) -e '.[$(BACKEND),test,lint]'
endif
	@touch $@

clean:
	rm -rf $(VENV) build dist models/build trtconv/lib
