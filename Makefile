# Two commands are enough: `make book` builds the site, `make test` proves it. `make help` lists the rest.

PYTHON ?= python3
BIN := .venv/bin
# A newer list of packages, or a newer package definition, makes the environment again.
LOCK := requirements.txt constraints.txt pyproject.toml
# Several processes of one thread each: side by side, more threads would slow each other down tenfold.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 4 --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help book test check lab student grade slides pdf zip links bench speed tidy constraints clean

help: ## list these commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.venv/.reader: $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name one with make PYTHON=python3.12 ...")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -r requirements.txt -c constraints.txt
	@touch $@

.venv/.dev: .venv/.reader requirements-dev.txt
	$(BIN)/python -m pip install -r requirements-dev.txt -c constraints.txt
	@touch $@

.venv/.bench: .venv/.dev requirements-bench.txt
	$(BIN)/python -m pip install -r requirements-bench.txt -c constraints.txt
	@touch $@

book: .venv/.reader ## execute every chapter and build the site into _build/html
	$(BIN)/python tools/build.py

test: .venv/.dev book ## lint, types, then every test, the built pages included
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST)

check: .venv/.dev ## the quick loop: lint, types, unit tests (no book, no browser)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -m "not site and not slow"

lab: .venv/.reader ## open the chapters in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=book

student: .venv/.reader ## the chapters without their answers, in _build/student
	$(BIN)/python tools/student.py

grade: .venv/.dev ## grade a folder of submissions: make grade SUBMISSIONS=folder
	$(BIN)/python tools/grade.py $(SUBMISSIONS)

slides: .venv/.dev book ## reveal.js decks of four chapters, in _build/slides
	$(BIN)/python tools/slides.py

pdf: .venv/.dev book ## the whole book as _build/vae-book.pdf, tested
	$(BIN)/python tools/pdf.py
	$(BIN)/pytest -q tests/test_pdf.py

zip: .venv/.reader book ## the site to take along, as _build/vae-book-site.zip
	$(BIN)/python tools/release.py

links: .venv/.dev book ## ask other hosts whether the pages' links to them still work
	$(BIN)/python tools/links.py

bench: .venv/.bench ## time our loop against others: one epoch, and the way to a given ELBO (15 minutes)
	TQDM_DISABLE=1 $(BIN)/python tools/bench.py

speed: .venv/.dev book ## weigh and time every page of the site
	$(BIN)/python tools/speed.py

tidy: .venv/.dev ## strip outputs, name new cells, format code
	$(BIN)/python tools/notebooks.py tidy
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: .venv/.dev ## pin again what the requirements pull in
	$(BIN)/python tools/constraints.py

clean: ## remove what was built (keeps .venv, and _build/student and _build/grading, which hold people's work)
	@if [ -d _build ]; then find _build -mindepth 1 -maxdepth 1 ! -name student ! -name grading -exec rm -rf {} +; fi
