# The commands of daily work. `make help` lists them, under the headings that begin with `##@` here.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

STACK ?= dev
# What others may give (a workflow's input, say) is taken as written: $(shell …) in it is text, and no shell sees a bad name.
override STACK := $(value STACK)
override BASE := $(value BASE)
override OUTPUT := $(value OUTPUT)
override DO := $(value DO)
override NODE := $(value NODE)
override ENDPOINT := $(value ENDPOINT)
override FINGERPRINT := $(value FINGERPRINT)
override PART := $(value PART)
override SEED := $(value SEED)
override SHARE := $(value SHARE)
override MINUTES := $(value MINUTES)
override ONLY := $(value ONLY)
override LOST := $(value LOST)
export BASE OUTPUT DO NODE ENDPOINT FINGERPRINT PART SEED SHARE MINUTES ONLY LOST
IN_NAMES := a b c d e f g h i j k l m n o p q r s t u v w x y z \
    A B C D E F G H I J K L M N O P Q R S T U V W X Y Z 0 1 2 3 4 5 6 7 8 9 - _
NOT_IN_NAMES := $(STACK)
$(foreach character,$(IN_NAMES),$(eval NOT_IN_NAMES := $$(subst $(character),,$$(NOT_IN_NAMES))))
ifneq ($(if $(STACK),$(NOT_IN_NAMES)$(filter -% _%,$(STACK)),nothing),)
$(error error: STACK=$(STACK) is no stack name: letters, digits, - and _, the first a letter or a digit)
endif

PY := .venv/bin/python
# What asks make to end asks the command, which is waited for. A recipe of several commands is to live as long: its shell
# has `trap : TERM HUP` first.
STAGE := $(PY) -I -S tools/attended.py $$PPID
ATTENDED := $(STAGE) ""
# The lab and its tests need root; everything else runs as the caller.
SUDO := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=NESTED_PVE_CACHE,NESTED_PVE_LAB_STATE,XDG_CACHE_HOME,CI,STORIES)
LAB := $(SUDO) $(PY) -m lab
LAB_STAGE := $(SUDO) $(STAGE)
ACTIONLINT := github.com/rhysd/actionlint/cmd/actionlint@v1.7.12
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GO_MODULES := toolchain/command toolchain/proxmoxve
# Images of containers set it, and then each program here compiles its sources at each start: a quarter of its time.
unexport PYTHONDONTWRITEBYTECODE
# The flags of the toolchain's own builds, so that lint and tests use the same build cache.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false -gcflags=all=-dwarf=false
TEST_PROGRAMS := sshd=openssh-server ssh-keygen=openssh-client shellcheck=shellcheck jq=jq psql=postgresql-client pg_ctlcluster=postgresql
SHELL_SCRIPTS := tools/pr-comment tools/debian-packages tools/python-environment .ci/run

# The stacks that are built in the lab; any other is for machines of your own, and runs where you are.
LAB_STACKS := dev twonode libvirt
IN_LAB := $(filter $(STACK),$(LAB_STACKS))
# How to name the stack in the next command.
OF := $(if $(filter dev,$(STACK)),, STACK=$(STACK))
# sudo would hide the caller's own Pulumi.
CALLERS := env "PATH=$$PATH" $(if $(PULUMI_HOME),"PULUMI_HOME=$$PULUMI_HOME")
ADMIN := $(if $(IN_LAB),$(LAB) run --caller $$PPID -- $(CALLERS) ,$(ATTENDED) )$(PY) -m cli

.PHONY: help
help: # Lists the commands
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} \
	    /^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# What the program needs, and no more. It is made anew also for new tools: so nothing is left in it that no lock names.
.venv/.complete: requirements.txt requirements-dev.txt
	@python3 -I -S tools/attended.py $$PPID "Python environment (.venv)" tools/python-environment requirements.txt $(ASIDE)
	@$(PY) -m compileall -q lab $(ASIDE)  # by the caller: root, who runs the lab, must leave no directories of his own here
	@touch $@

.venv/.dev: .venv/.complete
	@python3 -I -S tools/attended.py $$PPID "Packages of the lab, tests and linters" tools/python-environment requirements-dev.txt $(ASIDE)
	@touch $@

.PHONY: venv venv-dev toolchain lab in-lab up adopt reset replace preview pr-report status doctor repair drain undrain reboot upgrade drill shell env down clean

##@ A first cluster, in the lab (STACK=name: another stack than dev)

NEXT = printf '\nNext: $(foreach do,preview status shell down,make $(do)$(OF) |) $(if $(IN_LAB),make clean | )make help (lists all)\n'
up: toolchain $(if $(IN_LAB),lab) ## Everything: tools, lab, cluster with HA guests, live check
	@$(ADMIN) up --stack $(STACK) $(if $(IN_LAB)$(YES),--yes)
	@$(NEXT)

down: venv ## Destroy the stack; then stop the lab, if it was built there
	@trap : TERM HUP; $(if $(IN_LAB),if ! $(LAB) status >/dev/null 2>&1; then echo "There is no running lab: nothing to destroy."; $(LAB) down; exit; fi;) \
	    $(ADMIN) down --stack $(STACK) $(if $(IN_LAB)$(YES),--yes) \
	    $(if $(IN_LAB),&& $(LAB_STAGE) "Lab stopped" $(PY) -m lab down)

clean: ## Stop the lab and remove all that was built, the caches too; the state of your own stacks stays
	@if [ -e .venv/.complete ]; then $(LAB) down --purge; $(PY) -m toolchain clean; fi
	@rm -rf .nested-pve/pulumi .nested-pve/logs .nested-pve/package .nested-pve/certificates.json .nested-pve/tests .venv .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*
	@$(SUDO) find . -path ./.git -prune -o -name __pycache__ -prune -exec rm -rf {} +  # root's as well, who runs the lab
	@for stack in $(LAB_STACKS); do \
	    find .nested-pve/state .nested-pve/rolling \( -path "*/$$stack" -o -path "*/$$stack.*" -o -path "*/$$stack/*" \) -delete 2>/dev/null || true; done
	@for stack in $(LAB_STACKS); do find .nested-pve/reports -regextype posix-extended \
	    -regex ".nested-pve/reports/\.?[0-9]{8}T[0-9]{6}Z-$$stack-[a-z]+(\.[0-9]+)?\.(md|json|html)(\.new)?" -delete 2>/dev/null || true; done
	@for stack in $(LAB_STACKS); do rm -rf ".nested-pve/backups/$$stack"; done
	@if ls .nested-pve/state/.pulumi/stacks/*/*.json >/dev/null 2>&1; then \
	    echo "kept .nested-pve/state: the state of your own stacks"; \
	elif ls .nested-pve/reports/*.html >/dev/null 2>&1 || ls .nested-pve/backups/*/*/* >/dev/null 2>&1; then \
	    echo "kept .nested-pve/reports and .nested-pve/backups: those of your own stacks"; \
	    find .nested-pve -mindepth 1 -maxdepth 1 ! -name reports ! -name backups -exec rm -rf {} +; \
	else rm -rf .nested-pve; fi
	@echo "Removed: the lab and its state, the built engine and plugins, the Python environment."

##@ Daily work (STACK=name; YES=1 answers the question before a change)

preview: toolchain $(if $(IN_LAB),lab) ## What `make up` would change; touches no host; LOOK=1 looks at them for what drifted
	@$(ADMIN) preview --stack $(STACK) $(if $(LOOK),--look)

# Of a cluster that nobody has described, only a stack file is written: that takes no engine.
adopt: $(if $(ENDPOINT),venv,toolchain $(if $(IN_LAB),lab)) ## Record again what is there, where the state is lost; ENDPOINT=https://… writes the stack file of a live cluster, with GUESTS=1 also its guests under HA
	@$(if $(ENDPOINT),$(ATTENDED) $(PY) -m cli adopt --stack $(STACK) --endpoint "$$ENDPOINT" --fingerprint "$$FINGERPRINT" $(if $(GUESTS),--guests),$(ADMIN) adopt --stack $(STACK) $(if $(IN_LAB)$(YES),--yes))
	@$(if $(ENDPOINT),,$(NEXT))

replace: toolchain $(if $(IN_LAB),lab) ## Wait for an existing machine that is installed again, and let it join, NODE=name
	@$(ADMIN) replace --stack $(STACK) --node "$$NODE" $(if $(IN_LAB)$(YES),--yes)

reset: toolchain $(if $(IN_LAB),lab) ## Make an existing machine that left the cluster stand-alone again, NODE=name
	@$(ADMIN) reset --stack $(STACK) --node "$$NODE" $(if $(IN_LAB)$(YES),--yes)

ONE_NODE = $(if $(NODE),--node "$$NODE")
drain: venv ## Maintenance of NODE=name: its guests go to other nodes, and it gets none
	@$(ADMIN) drain --stack $(STACK) --node "$$NODE"

undrain: venv ## Maintenance of NODE=name is over: HA brings back its guests
	@$(ADMIN) undrain --stack $(STACK) --node "$$NODE"

reboot: venv ## Reboot all nodes, or NODE=name: one after another, each drained before
	@$(ADMIN) reboot --stack $(STACK) $(ONE_NODE) $(if $(IN_LAB)$(YES),--yes)

upgrade: venv ## Upgrade the packages of all nodes, or NODE=name: one after another; shows first what it does
	@$(ADMIN) upgrade --stack $(STACK) $(ONE_NODE) $(if $(IN_LAB)$(YES),--yes)

drill: venv ## Cut the power of a nested node, or NODE=name: times its guests until they run elsewhere, starts it again
	@$(ADMIN) drill --stack $(STACK) $(ONE_NODE) $(if $(IN_LAB)$(YES),--yes)

# A program may read the output of what is called in it: messages before that go to standard error.
shell: ASIDE := >&2
shell: toolchain $(if $(IN_LAB),lab) ## A shell on the control machine, with pulumi and the credentials
	@$(ADMIN) shell --stack $(STACK)

# Nothing else may be on standard output. The addresses of the lab's stacks lead to the lab in its shell only.
env: ## For a shell of your own: eval "$(make env STACK=…)" gives it the environment of `make shell`
	@$(if $(IN_LAB),echo "error: stack $(STACK) is in the lab: make shell$(OF)" >&2; exit 1)
	@$(MAKE) toolchain >&2
	@$(ADMIN) environment --stack $(STACK)

##@ Look and understand (STACK=name)

status: venv ## Look at the nodes, links, quorum and HA, now; fails when they are not as described
	@$(ADMIN) status --stack $(STACK)

doctor: venv ## What is wrong and why, also before a first `make up` and with a broken cluster; changes nothing; JSON=1 for programs
	@$(ADMIN) doctor --stack $(STACK) $(if $(JSON),--json)

repair: venv ## Mend what `make doctor` names, one repair after another, with a backup first; ONLY=name for one kind, LOST=names of dead nodes
	@$(ADMIN) repair --stack $(STACK) $(if $(ONLY),--only "$$ONLY") $(if $(LOST),--lost "$$LOST") $(if $(IN_LAB)$(YES),--yes)

in-lab: venv-dev ## Run a command of the lab, DO='link cut proxmox02 0' or DO='node kill proxmox01'; without DO, list them
	@set -f; $(if $(strip $(DO)),$(LAB),$(PY) -m lab) $$DO

bench: toolchain venv-dev ## Measure, and write docs/benchmarks.md; QUICK=1 for few runs, COLD=1 builds the toolchain anew, too; ONLY=changes for that part
	@$(SUDO) $(PY) -m tools.bench $(if $(QUICK),--quick) $(if $(COLD),--cold) $(if $(ONLY),--only "$$ONLY")

##@ Pull requests (STACK=name, BASE=revision to compare with, OUTPUT=file)

# In the lab only when something is recorded there and it runs: a stack file alone is judged without it.
RECORDED = $(wildcard .nested-pve/state/.pulumi/stacks/*/$(STACK).json)
pr-report: toolchain ## What a change would do, in Markdown; fails when it is refused
	@trap : TERM HUP; report=(report --stack $(STACK) $(if $(BASE),--base "$$BASE") $(if $(OUTPUT),--output "$$OUTPUT")); \
	    if $(if $(and $(IN_LAB),$(RECORDED)),$(LAB) status >/dev/null 2>&1,false); \
	    then $(ADMIN) "$${report[@]}"; else $(ATTENDED) $(PY) -m cli "$${report[@]}"; fi

##@ Develop

venv: .venv/.complete ## Make the Python environment: what the program needs, at the versions of requirements.txt

venv-dev: .venv/.dev ## The same, with what the lab, tests and linters need (requirements-dev.txt)

toolchain: venv ## Build the Pulumi engine and the plugins, or use the ones installed
	@$(STAGE) "Pulumi engine and plugins" $(PY) -m toolchain install $(ASIDE)

lab: venv-dev ## Start the lab: an outer host in namespaces of its own (needs root)
	@if [ "$$(id -u)" -ne 0 ]; then echo "The lab needs root for its namespaces and containers (sudo may ask for your password)." $(ASIDE); fi
	@$(LAB_STAGE) "Lab" $(PY) -m lab up $(if $(filter libvirt,$(STACK)),--shape libvirt) $(ASIDE)

# Tests start make themselves, and are not to hand on how this one was started.
APART := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL
# JUNIT is where a tier of `make test` leaves its counts.
override JUNIT := $(value JUNIT)
export JUNIT
PYTEST = $(PY) -m pytest -q $(if $(JUNIT),--junit-xml="$$JUNIT/$@.xml")
# How far a tier has come is told by files there, too.
STARTED = $(if $(JUNIT),mkdir -p "$$JUNIT" && touch "$$JUNIT/$@.started")
PASSED = $(if $(JUNIT),touch "$$JUNIT/$@.passed")
# The tests of a file share what they start.
WORKERS := --numprocesses auto --maxprocesses 4 --dist loadfile
# Each in a lab of its own. Labs mostly wait, so there may be more of them than processors.
LABS = --numprocesses $(1) --dist loadfile

.PHONY: test lint lint-python lint-types lint-shell lint-actions lint-go go-test format unit test-toolchain test-lab test-standins test-job test-worlds test-libvirt test-changes campaign lock docs bench
test: toolchain venv-dev ## Everything that can be tested: all tiers, and a table of them at the end
	@$(PY) -m tools.tiers $$PPID $(MAKE)

# Hours, so no part of `test`. What it found so far is kept, and a second call goes on.
campaign: toolchain venv-dev ## Change a live cluster at random and count what goes wrong; writes docs/campaign.md. PART=changes|kills SEED= SHARE= MINUTES= AGAIN=1
	@$(SUDO) $(PY) -m tools.campaign $(if $(PART),--part "$$PART") $(if $(SEED),--seed "$$SEED") $(if $(SHARE),--share "$$SHARE") $(if $(MINUTES),--minutes "$$MINUTES") $(if $(AGAIN),--again)

# The total of what is covered is shown, without a table of files. Less than pyproject.toml says is a failure.
unit: venv-dev ## The quick tiers: unit and policy rules, seconds
	@$(STARTED)
	@tools/debian-packages $(TEST_PROGRAMS)
	@$(STAGE) "Unit and policy tests" $(PYTEST) $(WORKERS) --cov --cov-report= tests/unit tests/policy
	@$(PASSED)

test-toolchain: toolchain venv-dev ## The plugins against the published SDKs, a real engine and a real sshd
	@$(STARTED)
	@tools/debian-packages $(TEST_PROGRAMS)
	@$(STAGE) "Toolchain tests" $(APART) nice -n 19 $(PYTEST) $(WORKERS) tests/toolchain
	@$(PASSED)

test-lab: test-standins test-job test-worlds test-libvirt test-changes ## The lab tier only (needs root)

test-standins: toolchain venv-dev
	@$(STARTED)
	@$(LAB_STAGE) "Lab tests: the lab and its stand-ins" $(PYTEST) $(call LABS,2) tests/lab $(addprefix --ignore=tests/lab/,job bad_worlds libvirt changes)
	@$(PASSED)

# The order of the files is kept: what destroys the stack comes last. Nodes fence themselves when they starve, so nothing but
# work of low priority runs beside these.
test-job: toolchain venv-dev
	@$(STARTED)
	@$(LAB_STAGE) "Lab tests: the main job" $(APART) $(PYTEST) $(call LABS,2) --no-loadscope-reorder tests/lab/job
	@$(PASSED)

test-worlds: toolchain venv-dev
	@$(STARTED)
	@$(LAB_STAGE) "Lab tests: bad input and bad worlds" $(PYTEST) $(call LABS,3) tests/lab/bad_worlds
	@$(PASSED)

test-libvirt: toolchain venv-dev
	@$(STARTED)
	@$(LAB_STAGE) "Lab tests: an outer host with libvirt" $(APART) $(PYTEST) $(call LABS,2) tests/lab/libvirt
	@$(PASSED)

# As above: the longest files come first.
test-changes: toolchain venv-dev
	@$(STARTED)
	@$(LAB_STAGE) "Lab tests: a live cluster changes" $(APART) $(PYTEST) $(call LABS,3) --no-loadscope-reorder tests/lab/changes
	@$(PASSED)

lint: lint-python lint-types lint-shell lint-actions lint-go ## Formatting, lint and types of Python, shell and Go

# Its parts, for hooks (.pre-commit-config.yaml).
lint-python: venv-dev
	@$(PY) -m ruff format --check --quiet .
	@$(PY) -m ruff check --quiet .

lint-types: venv-dev
	@$(PY) -m mypy

lint-shell:
	@tools/debian-packages shellcheck=shellcheck
	@shellcheck $(SHELL_SCRIPTS)

lint-actions: venv-dev
	@go run $(ACTIONLINT)
	@.venv/bin/zizmor --offline --quiet .github

lint-go:
	@for module in $(GO_MODULES); do (cd $$module && go vet ./... && go run $(STATICCHECK) ./...); done

go-test: ## Go's own tests of the plugins
	@for module in $(GO_MODULES); do (cd $$module && go test ./...); done

format: venv-dev ## Format Python
	@$(PY) -m ruff format --quiet . && $(PY) -m ruff check --quiet --fix .

COMPILE = $(PY) -m uv pip compile --quiet --generate-hashes --no-emit-index-url --python-version 3.11 --custom-compile-command "make lock"
lock: venv-dev ## Compile requirements.txt and requirements-dev.txt from pyproject.toml
	@$(COMPILE) --output-file requirements.txt pyproject.toml
	@$(COMPILE) --group dev --constraint requirements.txt --output-file requirements-dev.txt pyproject.toml

docs: venv ## Generate the reference pages
	@$(PY) -m config docs && $(PY) -m cli docs
	@cd policy && $(abspath $(PY)) -m pve_policies.docs > ../docs/policies.md && echo wrote policies.md
