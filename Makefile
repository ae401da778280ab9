# Two commands for a fresh machine: `make demo` and `make test`. They make their environment first.
PYTHON ?= python3
DATA ?= digits
VENV := .venv
LOCK := requirements/lock.txt

.PHONY: demo test test-long test-jax test-torch test-hub test-oldest test-newest test-nightly lint lock
.PHONY: environments benchmark benchmark-tfmot clean

demo: $(VENV)/ready-demo
	$(VENV)/bin/python examples/first_light.py --data $(DATA)

# One worker for a file, so that what its tests share is made once; the longest files are not last.
PARALLEL := --numprocesses auto --dist loadfile --no-loadscope-reorder

TESTS := test test-long test-jax test-torch test-hub test-oldest test-newest test-nightly

# The wheel is what users install, so the wheel is what is tested: the sources here stay unseen.
$(TESTS): export PYTHONSAFEPATH := 1

# There is a worker for each core: with more threads than that, they wait for each other.
$(TESTS): export OMP_NUM_THREADS ?= 1
$(TESTS): export TF_NUM_INTRAOP_THREADS ?= 1
$(TESTS): export TF_NUM_INTEROP_THREADS ?= 1
# Most of the time on JAX is compilation: the workers share theirs, and a second run has it all.
test-jax: export XLA_FLAGS ?= --xla_backend_optimization_level=0
test-jax: export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/$(VENV)-jax/cache
test-jax: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0
test-jax: export JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES ?= -1

test: $(VENV)/ready lint
	$(VENV)/bin/python -m pytest $(PARALLEL)

# Five times as many random models, and more examples of each penalty.
test-long: export KERASREG_LONG := 1
test-long: test

# On the other two backends, where there is no TensorFlow: all but what one backend is enough for.
# All tests: `make test-jax ONE_BACKEND=`.
ONE_BACKEND := $(shell sed '/^\#/d' tests/one_backend.txt)
# The proof that is tested is the same on torch: in float32, with nothing to compile.
test-jax: ONE_BACKEND += tests/shrinking/test_mutants.py

test-jax test-torch: test-%: $(VENV)-%/ready
	KERAS_BACKEND=$* $(VENV)-$*/bin/python -m pytest $(PARALLEL) \
		--deselect tests/pruning/test_together.py::test_architectures $(addprefix --ignore=,$(ONE_BACKEND))

# Backbones of keras-hub, which is a package of its own.
test-hub: $(VENV)/ready-hub
	$(VENV)/bin/python -m pytest --numprocesses auto tests/shrinking/test_hub.py

# The oldest versions that are supported.
test-oldest: $(VENV)-oldest/ready
	$(VENV)-oldest/bin/python -m pytest tests/callbacks/test_proximal_gradient.py \
		tests/proximal/test_training.py

# The newest versions of everything, and what the next Keras is going to be.
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

# Beside the toolkit that only tf-keras has. Some of it: `make benchmark-tfmot ONLY=--speed`.
benchmark-tfmot: $(VENV)-tfmot/ready
	$(VENV)-tfmot/bin/python benchmarks/peer_tfmot.py $(ONLY)

# Renews the versions that are tested; CUDA's are left out: torch pins those of its own build.
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

# What the environments have is in $(LOCK), but for those of other versions. Modules are compiled
# when they are imported: most never are.
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

# All of them, for `make --jobs 2 environments`.
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

# Made every time, since there may be newer versions. The nightly Keras is a package of another name
# in the same folder.
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
