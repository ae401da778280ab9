# Two commands for a new machine: `make demo` and `make test`. They create their environments first.
PYTHON ?= python3
DATA ?= digits
VENV := .venv
LOCK := requirements/lock.txt

.PHONY: demo test test-long test-jax test-torch test-hub test-oldest test-newest test-nightly lint lock
.PHONY: environments benchmark benchmark-tfmot clean

demo: $(VENV)/ready-demo
	$(VENV)/bin/python examples/first_light.py --data $(DATA)

# A worker runs whole files, so that fixtures are created once. Not reordered: slow files come early.
PARALLEL := --numprocesses auto --dist loadfile --no-loadscope-reorder

TESTS := test test-long test-jax test-torch test-hub test-oldest test-newest test-nightly

# The tests use the wheel, as users do: PYTHONSAFEPATH hides the sources of this folder.
$(TESTS): export PYTHONSAFEPATH := 1

# There is one worker per core, with one thread each.
$(TESTS): export OMP_NUM_THREADS ?= 1
$(TESTS): export TF_NUM_INTRAOP_THREADS ?= 1
$(TESTS): export TF_NUM_INTEROP_THREADS ?= 1
# Most of the time on JAX is compilation: all workers and later runs share a cache.
test-jax: export XLA_FLAGS ?= --xla_backend_optimization_level=0
test-jax: export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/$(VENV)-jax/cache
test-jax: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0
test-jax: export JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES ?= -1

test: $(VENV)/ready lint
	$(VENV)/bin/python -m pytest $(PARALLEL)

# Five times as many random models, and more examples of each penalty.
test-long: export KERASREG_LONG := 1
test-long: test

# JAX and torch, without TensorFlow: all files except those for which one backend is enough.
# All tests: `make test-jax ONE_BACKEND=`.
ONE_BACKEND := $(shell sed '/^\#/d' tests/one_backend.txt)
# On JAX, this test shows the same as on torch (float32), but needs many compilations.
test-jax: ONE_BACKEND += tests/shrinking/test_mutants.py

test-jax test-torch: test-%: $(VENV)-%/ready
	KERAS_BACKEND=$* $(VENV)-$*/bin/python -m pytest $(PARALLEL) \
		--deselect tests/pruning/test_together.py::test_architectures $(addprefix --ignore=,$(ONE_BACKEND))

# Backbones of keras-hub, which is a separate package.
test-hub: $(VENV)/ready-hub
	$(VENV)/bin/python -m pytest --numprocesses auto tests/shrinking/test_hub.py

# The oldest versions that are supported.
test-oldest: $(VENV)-oldest/ready
	$(VENV)-oldest/bin/python -m pytest tests/callbacks/test_proximal_gradient.py \
		tests/proximal/test_training.py

# The newest versions of all packages, and the nightly version of Keras.
test-nightly: $(VENV)-nightly/keras
test-newest test-nightly: test-%: $(VENV)-%/ready
	$(VENV)-$*/bin/python -m pytest $(PARALLEL)

lint: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

benchmark: $(VENV)/ready
	for script in $(filter-out benchmarks/peer_%,$(wildcard benchmarks/*.py)); do \
		$(VENV)/bin/python $$script; done

# A comparison with tensorflow-model-optimization. A part of it: `make benchmark-tfmot ONLY=--speed`.
benchmark-tfmot: $(VENV)-tfmot/ready
	$(VENV)-tfmot/bin/python benchmarks/peer_tfmot.py $(ONLY)

# Updates the versions that are tested. CUDA packages are left out, because torch pins its own.
COMPILE := $(VENV)-build/bin/uv pip compile pyproject.toml --quiet --upgrade --universal \
	--python-version 3.11 --no-annotate --no-header
lock: $(VENV)-build/ready
	$(VENV)-build/bin/pip $(INSTALL) --upgrade uv
	$(COMPILE) --all-extras --fork-strategy fewest --constraint requirements/hold.txt \
		--output-file $(LOCK)
	sed -i.all -E '/^(cuda|nvidia|triton)/d' $(LOCK) && rm $(LOCK).all
	$(COMPILE) --extra tensorflow --extra test --resolution lowest-direct \
		--output-file requirements/oldest.txt

.DELETE_ON_ERROR:

# $(LOCK) has the versions of all environments except those of the oldest and newest versions.
# Modules are compiled when they are imported, because most never are.
QUIET := --quiet --disable-pip-version-check
INSTALL := install $(QUIET) --no-compile
# `$(call environment,extras,versions)` in the folder of the target: the wheel with these extras.
define environment
@echo "Making the environment $(@D), a minute or two ..."
$(PYTHON) -m venv $(@D)
$(@D)/bin/pip $(INSTALL) "$$(ls dist/*.whl)[$(strip $(1))]" $(2)
$(@D)/bin/pip $(INSTALL) --force-reinstall --no-deps dist/*.whl
touch $@
endef

# All environments of the tests, for `make --jobs 2 environments`.
environments: $(VENV)/ready $(VENV)-jax/ready $(VENV)-torch/ready $(VENV)-oldest/ready

dist/ready: export PIP_CONSTRAINT := $(LOCK)
dist/ready: export PIP_BUILD_CONSTRAINT := $(LOCK)
dist/ready: pyproject.toml $(shell find kerasreg -name '*.py') | $(VENV)-build/ready
	rm -rf dist
	$(VENV)-build/bin/pip wheel $(QUIET) --no-deps --wheel-dir dist .
	touch $@

$(VENV)-build/ready:
	$(PYTHON) -m venv $(@D)
	touch $@

$(VENV)/ready-demo: dist/ready $(LOCK)
	$(call environment,demo,--constraint $(LOCK))

$(VENV)/ready: $(VENV)/ready-demo
	$(VENV)/bin/pip $(INSTALL) "$$(ls dist/*.whl)[dev]" --constraint $(LOCK)
	touch $@

$(VENV)/ready-hub: $(VENV)/ready
	$(VENV)/bin/pip $(INSTALL) "$$(ls dist/*.whl)[hub]" --constraint $(LOCK)
	touch $@

$(VENV)-jax/ready $(VENV)-torch/ready: $(VENV)-%/ready: dist/ready $(LOCK)
	$(call environment,test$(comma)$*,--constraint $(LOCK))

$(VENV)-oldest/ready: dist/ready requirements/oldest.txt
	$(call environment,test$(comma)tensorflow,--constraint requirements/oldest.txt)

# Created every time, because there may be newer versions. The nightly Keras is a package with another
# name that is installed in the same folder.
.PHONY: $(VENV)-newest/ready $(VENV)-nightly/ready
$(VENV)-newest/ready $(VENV)-nightly/ready: dist/ready
	$(call environment,plots$(comma)test$(comma)tensorflow,--upgrade --upgrade-strategy eager)

$(VENV)-nightly/keras: $(VENV)-nightly/ready
	$(@D)/bin/pip uninstall --quiet --yes keras
	$(@D)/bin/pip $(INSTALL) --force-reinstall --no-deps --pre keras-nightly

$(VENV)-tfmot/ready: dist/ready
	$(call environment,demo,keras==3.15.1 'tensorflow==2.21.*' 'tf-keras==2.21.*' \
		tensorflow-model-optimization==0.8.1)

comma := ,

clean:
	rm -rf $(VENV) $(VENV)-* dist build demo logs
