# Two commands for a fresh machine: `make demo` and `make test`. Each makes its own environment.
PYTHON ?= python3
DATA ?= digits
DEMO := .venv-demo
TEST := .venv
OLDEST := .venv-oldest
TFMOT := .venv-tfmot

.PHONY: demo test test-jax test-torch test-hub test-oldest lint benchmark benchmark-tfmot clean

demo: $(DEMO)/ready
	$(DEMO)/bin/python examples/first_light.py --data $(DATA)

# The wheel is what users install, so the wheel is what is tested: the sources here stay unseen.
test test-jax test-torch test-hub test-oldest: export PYTHONSAFEPATH := 1
test: $(TEST)/ready lint
	$(TEST)/bin/python -m pytest --numprocesses auto --dist loadgroup

# What depends on the backend, on the other two. All tests: `make test-jax CONTRACT=tests`.
CONTRACT := tests/regularizers/test_contract.py tests/constraints tests/proximal/test_every_penalty.py \
	tests/proximal/test_every_optimizer.py tests/proximal/test_training_modes.py \
	tests/proximal/test_polish.py tests/callbacks/test_penalty_schedule.py tests/pruning \
	tests/callbacks/test_pruning.py tests/callbacks/test_pruning_resumed.py \
	tests/callbacks/test_prune_until.py tests/shrinking/test_shrink.py \
	--deselect tests/pruning/test_together.py::test_architectures

test-jax test-torch: test-%: $(TEST)/ready-%
	KERAS_BACKEND=$* $(TEST)/bin/python -m pytest --numprocesses auto --dist loadgroup $(CONTRACT)

# Backbones of keras-hub, which is a package of its own.
test-hub: $(TEST)/ready-hub
	$(TEST)/bin/python -m pytest --numprocesses auto tests/shrinking/test_hub.py

# The oldest versions that are supported.
test-oldest: $(OLDEST)/ready
	$(OLDEST)/bin/python -m pytest tests/callbacks/test_proximal_gradient.py tests/proximal/test_training.py

lint: $(TEST)/ready
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .

benchmark: $(TEST)/ready
	for script in $(filter-out benchmarks/peer_%,$(wildcard benchmarks/*.py)); do \
		$(TEST)/bin/python $$script; done

# Beside the toolkit that only tf-keras has. Some of it: `make benchmark-tfmot ONLY=--speed`.
benchmark-tfmot: $(TFMOT)/ready
	$(TFMOT)/bin/python benchmarks/peer_tfmot.py $(ONLY)

SOURCES := pyproject.toml $(shell find kerasreg -name '*.py')

$(DEMO)/ready: $(SOURCES)
	@echo "Making the environment of the demo in $(DEMO), a minute or two (TensorFlow is large) ..."
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/pip install --quiet --disable-pip-version-check '.[plots]' scikit-learn
	touch $@

$(TEST)/ready: $(SOURCES)
	@echo "Making the environment of the tests in $(TEST), a minute or two (TensorFlow is large) ..."
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/pip install --quiet --disable-pip-version-check build
	rm -rf dist
	$(TEST)/bin/python -m build --wheel --outdir dist . > /dev/null
	$(TEST)/bin/pip install --quiet --disable-pip-version-check "$$(ls dist/*.whl)[dev]"
	$(TEST)/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps dist/*.whl
	touch $@

$(TEST)/ready-jax: PACKAGE := jax==0.10.2
$(TEST)/ready-torch: PACKAGE := torch==2.13.0
$(TEST)/ready-hub: PACKAGE := keras-hub==0.32.0
$(TEST)/ready-jax $(TEST)/ready-torch $(TEST)/ready-hub: $(TEST)/ready
	$(TEST)/bin/pip install --quiet --disable-pip-version-check '$(PACKAGE)'
	touch $@

$(OLDEST)/ready: $(TEST)/ready
	@echo "Making the environment of the oldest versions in $(OLDEST) ..."
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/pip install --quiet --disable-pip-version-check dist/*.whl \
		keras==3.10.0 'tensorflow==2.18.*' 'numpy<2.1' hypothesis pytest scikit-learn
	touch $@

$(TFMOT)/ready: $(SOURCES)
	@echo "Making the environment of the TensorFlow toolkit in $(TFMOT) ..."
	$(PYTHON) -m venv $(TFMOT)
	$(TFMOT)/bin/pip install --quiet --disable-pip-version-check . scikit-learn \
		keras==3.15.1 'tensorflow==2.21.*' 'tf-keras==2.21.*' tensorflow-model-optimization==0.8.1
	touch $@

clean:
	rm -rf $(DEMO) $(TEST) $(OLDEST) $(TFMOT) dist build demo logs
