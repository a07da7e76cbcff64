# Two commands: `make audit` and `make test`. Both set up what they need in .venv, from a lock file with hashes.

PYTHON = python3
VENV = .venv
PYTEST = $(VENV)/bin/pytest

# Whom to audit: HOSTS=ops@10.0.0.5:31122,… or INVENTORY=inventories/production.yml (and HOSTS to choose); neither: this
# machine. LEVEL: guide, hardened or strict. ARGS: any other option of pytest.
LEVEL = guide
REPORTS = reports

define SAY_STATUS
case $$status in \
		0) echo "exit status 0: nothing to fix, nothing left unseen" ;; \
		1) echo "exit status 1: there is something to fix" ;; \
		10) echo "exit status 10: not everything could be assessed" ;; \
		11) echo "exit status 11: there is something to fix, and not everything could be assessed" ;; \
		*) echo "exit status $$status: the audit did not run to its end" ;; \
	esac; exit $$status
endef

audit: $(VENV)/audit.lock
	@mkdir -p $(REPORTS)
	@status=0; $(PYTEST) --level=$(LEVEL) \
		$${HOSTS:+"--hosts=$$HOSTS"} $${INVENTORY:+"--inventory=$$INVENTORY"} \
		--html=$(REPORTS)/audit.html --self-contained-html --junitxml=$(REPORTS)/audit.xml $(ARGS) || status=$$?; \
	echo "report: $(REPORTS)/audit.html (JUnit: $(REPORTS)/audit.xml)"; \
	$(SAY_STATUS)

# A whole deployment, as it answered: without root, lab or network.
demo:
	@$(MAKE) --no-print-directory audit HOSTS=replay://demo LEVEL=strict \
		ARGS='--attestations=demo/attestations.yml --exceptions=demo/exceptions.yml $(ARGS)'

# The same deployment, booted and asked: minutes the first time, seconds afterwards. Needs root on Linux.
lab: $(VENV)/test.lock
	@status=0; $(VENV)/bin/python -m lab audit || status=$$?; \
	$(SAY_STATUS)

# Two files of tests at a time: they wait for hosts more than they compute. Most start the program, which is compiled once.
test: $(VENV)/test.lock
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	PYTHONDONTWRITEBYTECODE= $(PYTEST) -c selftests/pytest.ini --rootdir . --numprocesses=2 --dist=loadfile selftests

$(VENV)/audit.lock: requirements.lock
	@$(MAKE) --no-print-directory environment LOCK=requirements.lock
	@cp requirements.lock $@

$(VENV)/test.lock: requirements-dev.lock
	@$(MAKE) --no-print-directory environment LOCK=requirements-dev.lock
	@cp requirements-dev.lock $@

environment:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name one with PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "This Python lacks venv. On Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .

# The exact versions, again from what pyproject.toml allows. Needs uv.
lock:
	uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --upgrade --no-header \
		--no-emit-index-url --no-emit-find-links pyproject.toml --group build -o requirements.lock
	uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --upgrade --no-header \
		--no-emit-index-url --no-emit-find-links pyproject.toml --group dev -o requirements-dev.lock

clean:
	rm -rf $(VENV) $(REPORTS)

.PHONY: audit demo lab test environment lock clean
