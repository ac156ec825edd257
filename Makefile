# Two commands on a machine with Python 3.11 and make:  `make run`  and  `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint install generate notebooks clean

run: install
	$(BIN)/phiz train --data digits --network lenet-digits --optimizer momentum --backend opencl --out runs/digits

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# mypy does not follow the import hook of an editable install, so it reads the rooms under their package name.
lint: install
	$(BIN)/ruff check .
	mkdir -p build/typing/phiz
	for room in derive codegen generated runtime cli benchmarks; do ln -sfn "$(CURDIR)/$$room" build/typing/phiz/$$room; done
	MYPYPATH=build/typing $(BIN)/mypy -p phiz

generate: install
	$(BIN)/phiz generate

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "phiz needs Python 3.11 or newer; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test]"
	touch $@

notebooks: install
	$(BIN)/python notebooks/build.py

clean:
	rm -rf $(VENV) build dist *.egg-info runs
