# make book   the book as HTML, strictly built, in _build/html
# make test   lint, unit tests, doctests, then every chapter run and its outputs compared
# Both set everything up by themselves, in .venv, with Python 3.11, 3.12 or 3.13 and nothing else.

PYTHON ?=
BIN := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: help book test lint unit chapters browser shots draw notebooks bench serve lock clean

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

test: lint unit chapters

# make lint       style and common mistakes, in seconds
lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# make unit       doctests and the tests of the library, quick ones first
unit: .venv/ready
	$(BIN)/python -m pytest -q --doctest-modules lenet5lib
	$(BIN)/python -m pytest -q --durations=5 --ignore=tests/browser tests

# make chapters   run every chapter and compare its outputs
chapters: .venv/ready
	$(BIN)/python -m pytest -q --nbval book/

# make browser    the built book in Chromium: the page to draw on, every page light and dark, axe
browser: book
	@CHROMIUM=$$(sh tools/chromium.sh) && export CHROMIUM && $(BIN)/python -m pytest -q --durations=5 tests/browser

# make shots      a picture of every page, light and dark, at a desk's width and a phone's, in _build/shots
shots: book
	@CHROMIUM=$$(sh tools/chromium.sh) && export CHROMIUM && $(BIN)/python tests/browser/shots.py _build/shots

# make draw       what the drawing page loads, and the cover's drawings, anew; WEIGHTS=FILE takes another run's weights
draw: .venv/ready
	$(BIN)/python tools/cover.py
	$(BIN)/python tools/draw.py $(WEIGHTS)

# make notebooks  run every chapter anew and store its outputs, on the real MNIST
notebooks: .venv/ready
	$(BIN)/python tools/notebooks.py

# make bench      measure training side by side with plain Keras and others, on an idle machine
bench: .venv/ready
	$(BIN)/python benchmarks/run.py

# make serve      the built book at http://localhost:8000
serve: book
	$(BIN)/python -m http.server --directory _build/html 8000

# make lock       requirements.txt anew from requirements.in
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --quiet \
		requirements.in --output-file requirements.txt
	@echo "# Made by \`make lock\` from requirements.in: every version, every hash, for Python 3.11 to 3.13. Do not edit." \
		| cat - requirements.txt > requirements.txt.new && mv requirements.txt.new requirements.txt

# make clean      remove what was built, the environment included
clean:
	rm -rf .venv _build .pytest_cache .ruff_cache .hypothesis
