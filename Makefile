# A thin layer over tools/make.py, which does the work and runs without make too.
#   make lab | test | notebooks | digits | bench | lock | setup | clean
#   make notebooks NB="04_superposition"    make lab ARGS="--no-browser"    make lab PREFLIGHT=no
#   make digits NB="04 07" UNDER="sse4.2 perturbed-1"    make test PERTURBED=1    make test STORED=yes
#   make test LAX=yes    make bench TORCH=no    PYTHON=python3.12 chooses the interpreter

# The newest Python that runs: a name can exist and still lead nowhere (pyenv, the Windows store).
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	"$$p" -c "" >/dev/null 2>&1 && echo "$$p" && break; done)
MAKE_PY = $(or $(PYTHON),$(error No Python found: install Python 3.11 or newer from python.org)) tools/make.py

.PHONY: help python lab test notebooks digits bench lock setup clean
help:
	@$(MAKE_PY) --help
python:
	@echo $(PYTHON)
lab:
	@$(MAKE_PY) lab $(if $(filter no,$(PREFLIGHT)),--no-preflight) $(ARGS)
test:
	@$(MAKE_PY) test $(if $(filter yes,$(LAX)),--lax) $(if $(filter yes,$(STORED)),--stored) \
		$(if $(PERTURBED),--perturbed=$(PERTURBED)) $(ARGS)
notebooks:
	@$(MAKE_PY) notebooks $(NB) $(ARGS)
digits:
	@$(MAKE_PY) digits $(NB) $(if $(UNDER),--under="$(UNDER)") $(ARGS)
bench:
	@$(MAKE_PY) bench $(if $(filter no,$(TORCH)),--no-torch) $(ARGS)
lock setup clean:
	@$(MAKE_PY) $@ $(ARGS)
