# make book   the book as HTML, strictly built, in _build/html
# make test   lint, unit tests, doctests, then every chapter run and its outputs compared
# Both set everything up by themselves, in .venv, with Python 3.11, 3.12 or 3.13 and nothing else.

PYTHON ?=
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
export TF_CPP_MIN_LOG_LEVEL ?= 3

COLAB_PYTHON ?= python3.13 python3.12 python3.11 python3 python
CHAPTERS ?=
REPOSITORY ?=
TAG ?=

.PHONY: help book test lint format size lab unit chapters browser shots draw rules exercises notebooks colab newest wheel links kills stamp bench serve lock clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

.venv/ready: requirements.txt tools/find_python.sh
	@python=$$(sh tools/find_python.sh "$(PYTHON)") && "$$python" -m venv --clear .venv
	@echo "Installing the locked packages into .venv; this takes a minute or two."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch .venv/ready

book: .venv/ready
	$(BIN)/jupyter-book build . -W -n --keep-going
	@echo "The book: _build/html/book/index.html"

test: lint unit slow chapters

# make lint       style, common mistakes and types, in seconds
lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# make format     format the code as `make lint` asks, and fix what ruff can fix
format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# make size       lines of code, functions, public names and dependencies, each beside its limit
size: .venv/ready
	$(BIN)/python tools/size.py

# make lab        the chapters in JupyterLab
lab: .venv/ready
	$(BIN)/jupyter lab --notebook-dir=book

# make unit       doctests and the quick tests
unit: .venv/ready
	$(BIN)/python -m pytest -q --doctest-modules -m "not slow" --durations=5 --ignore=tests/browser lenet5lib tests

# make slow       the tests that start processes, kill them, build the book or compile much
slow: .venv/ready
	$(BIN)/python -m pytest -q -m slow --durations=5 --ignore=tests/browser tests

# make chapters   run every chapter and compare its outputs
chapters: .venv/ready
	$(BIN)/python -m pytest -q --nbval book/

# make browser    the built book in Chromium: the page to draw on, every page light and dark, axe
browser: book
	@CHROMIUM=$$(sh tools/chromium.sh) && export CHROMIUM && $(BIN)/python -m pytest -q --durations=5 tests/browser

# make shots      a picture of every page, light and dark, at a desk's width and a phone's, in _build/shots
shots: book
	@CHROMIUM=$$(sh tools/chromium.sh) && export CHROMIUM && $(BIN)/python tests/browser/shots.py _build/shots

# make draw       write what the drawing page loads, and the cover's drawings; WEIGHTS=FILE takes a different run's weights
draw: .venv/ready
	$(BIN)/python tools/cover.py
	$(BIN)/python tools/draw.py $(WEIGHTS)

# make rules      the book's own rules, its numbers and its address, without running a chapter
rules: .venv/ready
	$(BIN)/python -m pytest -q tests/test_book.py tests/test_numbers.py tests/test_tools.py tests/test_stamp.py tests/test_workflows.py

# make exercises  every solution passes, every mistake gets a hint
exercises: .venv/ready
	$(BIN)/python -m pytest -q tests/test_exercises.py

# make notebooks  run every chapter on the real MNIST and store its outputs
notebooks: .venv/ready
	$(BIN)/python tools/notebooks.py

# make colab      run every chapter as Colab would, alone, on Colab's versions; or some: make colab CHAPTERS="01 05 14"
#                 Colab has Python 3.13; another is taken if there is none, or named: COLAB_PYTHON=/path/to/python3.13
# make newest     the same on the newest TensorFlow and Keras; with LATEST=--latest on those of today instead of the locked ones
colab newest: .venv/ready
	$(BIN)/python tools/colab_like.py $@ $(CHAPTERS) $(LATEST) \
		--python "$$(sh tools/find_python.sh "$(COLAB_PYTHON)")"

# make wheel      the library as a wheel in dist, tried in an empty environment
wheel: .venv/ready
	$(BIN)/python tools/wheel.py

# make links      ask every address that the book cites
links: .venv/ready
	$(BIN)/jupyter-book build . --builder linkcheck --path-output _build/links
	@! grep broken _build/links/_build/*/output.txt

# make kills      the test that kills a training process, with 50 kills
kills: .venv/ready
	LENET5_KILLS=50 $(BIN)/python -m pytest -q tests/test_faults.py

# make stamp      the public address into the book: make stamp REPOSITORY=https://github.com/OWNER/NAME TAG=v0.1.0
#                 as it was typed: neither make nor the shell reads anything into a tag such as 'v$1'
# What was typed is exported to every recipe, and expanded for it, unless make is told not to.
unexport TAG REPOSITORY
stamp: export STAMP_REPOSITORY := $(value REPOSITORY)
stamp: export STAMP_TAG := $(value TAG)
stamp:
	@"$$(sh tools/find_python.sh "$(PYTHON)")" tools/stamp.py --repository="$$STAMP_REPOSITORY" --tag="$$STAMP_TAG"

# make bench      measure training side by side with plain Keras and others, on an idle machine
bench: .venv/ready
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/speedrun.py --seeds 10
	$(BIN)/python benchmarks/saving.py

# make serve      the built book at http://localhost:8000
serve: book
	$(BIN)/python -m http.server --directory _build/html 8000

# make lock       make requirements.txt from requirements.in, and the lists in tools/colab; newer versions with UPGRADE=--upgrade
lock: requirements.txt.lock tools/colab/colab.txt.lock tools/colab/newest.txt.lock

%.txt.lock: %.in
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet $(UPGRADE) \
		$< --output-file $*.txt
	@echo "# Made by \`make lock\` from $(notdir $<): every version, every hash, for Python 3.11 to 3.13. Do not edit." \
		| cat - $*.txt > $*.txt.new && mv $*.txt.new $*.txt

# make clean      remove what was built, the environment included
clean:
	rm -rf .venv _build .pytest_cache .ruff_cache .mypy_cache .hypothesis
