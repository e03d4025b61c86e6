"""The report of a rehearsal: one HTML page that needs nothing else, and the same as JSON."""

import json
from dataclasses import asdict
from html import escape
from pathlib import Path

from earthlab.hub.parts import PARTS
from earthlab.rehearsal.pictures import (
    PART_COLOURS,
    PHASE_COLOURS,
    draw_legend,
    draw_memory,
    draw_timeline,
    draw_waits,
)
from earthlab.rehearsal.statistics import MEASURES, Figures
from earthlab.rehearsal.story import Rehearsal
from earthlab.rehearsal.verdict import Bars, Verdict

_MEASURES = {
    "sign_in": ("entrée", "sign-in"),
    "lab_ready": ("JupyterLab prêt", "Lab ready"),
    "first_cell": ("première cellule", "first cell"),
    "first_picture": ("première image", "first picture"),
}
_PHASES = {
    "sign-in": "entrée · sign-in",
    "waiting": "attente du serveur · waiting for the server",
    "page": "JupyterLab s’ouvre · Lab opens",
    "notebook": "carnet · notebook",
    "kernel": "noyau · kernel",
    "cell": "calcul · a cell runs",
    "thinking": "réflexion · thinking",
    "away": "connexion perdue · connection lost",
    "open tab": "onglet ouvert · tab left open",
}
_PARTS = {
    "supervisor": "superviseur · supervisor",
    "hub": "hub",
    "proxy": "proxy",
    "services": "services",
    "template": "modèle · template",
    "nursery": "pépinières · nurseries",
    "server": "serveurs · servers",
    "kernel": "noyaux · kernels",
    "parked": "noyaux en réserve · parked kernels",
    "scheduler": "ordonnanceurs · schedulers",
    "worker": "ouvriers Dask · workers",
    "other": "autres · other",
}
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5b6570; --line: #d5dae0; --back: #fff; --good: #0a7a4b;
  --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #9aa5b1; --line: #333b44; --back: #14181d;
  --good: #4cc38a; --bad: #ff8a80; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back); margin: 0 auto;
  max-width: 1040px; padding: 1.5rem; }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
[lang=en] { color: var(--soft) } .verdict { font-size: 1.3rem; font-weight: 700; padding: .8rem 1rem; margin: 1rem 0;
  border-left: 6px solid } .go { color: var(--good) } .stop { color: var(--bad) }
ul.reasons { list-style: none; padding: 0 } ul.reasons li { padding: .2rem 0 }
table { border-collapse: collapse; width: 100% } th, td { text-align: right; padding: .25rem .6rem;
  border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums } th:first-child, td:first-child
  { text-align: left } td.words { text-align: left; overflow-wrap: anywhere }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif } svg text { fill: var(--soft) }
.tick { stroke: var(--line); stroke-width: .5 } .limit { stroke: var(--bad); stroke-dasharray: 6 4 }
.people { fill: none; stroke: var(--ink); stroke-width: 1.5 } .dot { fill: #0072b2; fill-opacity: .55 }
.key { display: inline-block; margin: 0 1rem .3rem 0; font-size: .85rem } .key i { display: inline-block; width: .8rem;
  height: .8rem; margin-right: .35rem; border-radius: 2px } .scroll { overflow-x: auto }
"""


def write_report(folder: Path, rehearsal: Rehearsal, figures: Figures, verdict: Verdict, bars: Bars) -> Path:
    """Write ``repetition.html`` and ``repetition.json`` into a folder, made if need be; the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "repetition.html"
    page.write_text(render_page(rehearsal, figures, verdict, bars), encoding="utf-8")
    (folder / "repetition.json").write_text(render_json(rehearsal, figures, verdict, bars), encoding="utf-8")
    return page


def render_json(rehearsal: Rehearsal, figures: Figures, verdict: Verdict, bars: Bars) -> str:
    """Verdict, figures and everything that was measured."""
    found = {"verdict": asdict(verdict), "bars": asdict(bars), "figures": asdict(figures)}
    return json.dumps(found | {"rehearsal": rehearsal.to_json()}, ensure_ascii=False, indent=1) + "\n"


def render_page(rehearsal: Rehearsal, figures: Figures, verdict: Verdict, bars: Bars) -> str:
    """The page, in French and English."""
    waits = {
        name: [seconds[name] for story in rehearsal.stories if name in (seconds := story.waits())] for name in MEASURES
    }
    short = {name: french for name, (french, _) in _MEASURES.items()}
    used = {part: _PARTS[part] for part in PARTS if part in figures.parts}
    sections = (
        _head(rehearsal, verdict),
        _heading("Ce que les gens ont attendu", "What people waited"),
        _waits_table(figures),
        draw_waits(waits, short),
        _heading("Ce que chacun faisait", "What everybody was doing"),
        draw_legend(PHASE_COLOURS, _PHASES),
        draw_timeline(rehearsal.stories, rehearsal.seconds),
        _heading("Erreurs", "Failures"),
        _failures_table(figures),
        _heading("Mémoire et calcul", "Memory and processors"),
        draw_legend(PART_COLOURS, used),
        draw_memory(rehearsal.samples, rehearsal.seconds, bars.peak),
        _parts_table(figures),
        _fit(figures),
        _notes(rehearsal),
    )
    title = f"Répétition · {rehearsal.seats} places"
    return (
        f"<!doctype html>\n<html lang='fr'><head><meta charset='utf-8'><title>{title}</title>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<style>{_STYLE}</style></head><body>{''.join(sections)}</body></html>\n"
    )


def _head(rehearsal: Rehearsal, verdict: Verdict) -> str:
    word = "✓ La classe peut avoir lieu · Go" if verdict.go else "✗ Pas ainsi · No-go"
    reasons = "".join(
        f"<li class='{'go' if reason.holds else 'stop'}'>{'✓' if reason.holds else '✗'} {escape(reason.french)} "
        f"<span lang='en'>{escape(reason.english)}</span></li>"
        for reason in verdict.reasons
    )
    machine = rehearsal.machine
    return (
        f"<h1>Répétition d’une classe <span lang='en'>Rehearsal of a class</span></h1>"
        f"<p>{rehearsal.seats} places, arrivées en {rehearsal.within:g} s, {rehearsal.minutes:g} min, "
        f"<code>{escape(rehearsal.notebook)}</code> ({rehearsal.cells} cellules) ; {escape(rehearsal.began)}. "
        f"{machine['cores']} cœurs, {machine['memory'] / 1e9:.1f} Go.<br><span lang='en'>{rehearsal.seats} "
        f"seats, within {rehearsal.within:g} s; {machine['cores']} cores, {machine['memory'] / 1e9:.1f} GB.</span></p>"
        f"<p class='verdict {'go' if verdict.go else 'stop'}'>{word}</p><ul class='reasons'>{reasons}</ul>"
    )


def _waits_table(figures: Figures) -> str:
    rows = "".join(
        f"<tr><td>{french} <span lang='en'>{english}</span></td><td>{found.many}</td><td>{found.p50:.1f}</td>"
        f"<td>{found.p95:.1f}</td><td>{found.p99:.1f}</td><td>{found.most:.1f}</td></tr>"
        for name, (french, english) in _MEASURES.items()
        if (found := figures.waits.get(name))
    )
    return (
        "<p>Secondes depuis le clic sur le lien, sans le temps de réflexion de la personne. "
        "<span lang='en'>Seconds since the click on the link, without the person’s own time for thought.</span></p>"
        "<div class='scroll'><table><tr><th></th><th>n</th><th>p50</th><th>p95</th><th>p99</th><th>max</th></tr>"
        f"{rows}</table></div>"
    )


def _failures_table(figures: Figures) -> str:
    if not figures.failures:
        return "<p>Aucune. <span lang='en'>None.</span></p>"
    rows = "".join(
        f"<tr><td>{escape(kind)}</td><td>{many}</td><td class='words'>{escape(one.user)}, {one.second:.0f} s : "
        f"{escape(one.what)}</td></tr>"
        for kind, (many, one) in figures.failures.items()
    )
    return f"<div class='scroll'><table><tr><th></th><th>n</th><th>exemple · example</th></tr>{rows}</table></div>"


def _parts_table(figures: Figures) -> str:
    rows = "".join(
        f"<tr><td>{_PARTS[part]}</td><td>{_mega(use.before)}</td><td>{_mega(use.at_peak)}</td><td>{_mega(use.most)}</td>"
        f"<td>{use.processes}</td><td>{use.processor:.1f}</td></tr>"
        for part in PARTS
        if (use := figures.parts.get(part))
    )
    sums = f"<th>{_mega(figures.before)}</th><th>{_mega(figures.peak)}</th>"
    total = f"<tr><th>total</th>{sums}<th></th><th></th><th></th></tr>"
    return (
        "<p>Mo (PSS : le partagé compte pour sa part), au maximum de l’ensemble et au sien. "
        "<span lang='en'>MB (PSS: what is shared counts by its share), at the whole’s peak and at its own.</span></p>"
        "<div class='scroll'><table><tr><th></th><th>avant · before</th><th>au maximum · at the peak</th>"
        "<th>son maximum · own peak</th><th>processus · processes</th><th>s CPU</th></tr>"
        f"{rows}{total}</table></div>"
    )


def _fit(figures: Figures) -> str:
    fit = figures.fit
    if fit is None:
        return (
            "<p>Trop peu de personnes pour dire combien de places tiennent. "
            "<span lang='en'>Too few people to say how many seats would fit.</span></p>"
        )
    return (
        f"<p>Une personne prend {_mega(round(fit.per_seat))} ± {_mega(round(fit.spread))} Mo au maximum, le labo "
        f"{_mega(fit.shared)} Mo : <strong>{fit.seats} places</strong> tiennent dans {fit.limit / 1e9:.1f} Go "
        f"(entre {fit.low} et {fit.high}, à 95 %). <span lang='en'>A person takes {_mega(round(fit.per_seat))} ± "
        f"{_mega(round(fit.spread))} MB at the peak, the lab itself {_mega(fit.shared)} MB: {fit.seats} seats fit into "
        f"{fit.limit / 1e9:.1f} GB (between {fit.low} and {fit.high}, 95 %).</span></p>"
    )


def _notes(rehearsal: Rehearsal) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in rehearsal.versions.items())
    drift = (
        f"<p class='stop'>Le trafic a été enregistré avec d’autres versions · the traffic was recorded with other "
        f"versions: {escape('; '.join(rehearsal.drift))}</p>"
        if rehearsal.drift
        else ""
    )
    return f"{drift}<p><small>{escape(versions)}; graine · seed {rehearsal.seed}</small></p>"


def _heading(french: str, english: str) -> str:
    return f"<h2>{french} <span lang='en'>{english}</span></h2>"


def _mega(size: int) -> str:
    return f"{size / 1e6:,.0f}".replace(",", "\u202f")


def render_summary(rehearsal: Rehearsal, figures: Figures, verdict: Verdict) -> str:
    """The verdict and its reasons for a terminal."""
    lines = [f"{'✓ go' if verdict.go else '✗ no-go'}: {rehearsal.seats} places · seats, {rehearsal.notebook}"]
    lines += [f"  {'✓' if reason.holds else '✗'} {reason.french} · {reason.english}" for reason in verdict.reasons]
    lines += [
        f"  {french} · {english}: p50 {found.p50:.1f}, p95 {found.p95:.1f}, p99 {found.p99:.1f} s"
        for name, (french, english) in _MEASURES.items()
        if (found := figures.waits.get(name))
    ]
    lines += [f"  ✗ {many} × {kind}: {one.what}" for kind, (many, one) in figures.failures.items()]
    return "\n".join(lines)
