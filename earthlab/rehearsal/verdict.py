"""Go or no-go, and why: what a class must be spared, compared with what the rehearsal measured."""

from dataclasses import dataclass

from earthlab.rehearsal.statistics import Figures, count_visible
from earthlab.rehearsal.story import Rehearsal

_NO = False


@dataclass(frozen=True, slots=True)
class Bars:
    """What must hold: seconds at the 95th percentile, bytes at the peak, seconds until all is cleared away."""

    sign_in: float = 15.0
    first_picture: float = 60.0
    peak: int = 20_000_000_000
    settled: float = 60.0


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that was judged, in French and English."""

    holds: bool
    french: str
    english: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """``go`` where every reason holds."""

    go: bool
    reasons: tuple[Reason, ...]


def judge(rehearsal: Rehearsal, figures: Figures, bars: Bars) -> Verdict:
    """Whether this class can be held on this machine."""
    reasons = (
        _everybody(rehearsal, figures),
        _no_failures(figures),
        *_waits(figures, bars),
        _memory(figures, bars),
        *_fits(rehearsal, figures),
        _cleared(rehearsal, figures, bars),
        *_whole(rehearsal),
    )
    return Verdict(all(reason.holds for reason in reasons), reasons)


def _everybody(rehearsal: Rehearsal, figures: Figures) -> Reason:
    stayed = sum(story.habit != "leaves" for story in rehearsal.stories)
    return Reason(
        figures.finished == stayed > 0,
        f"{figures.finished} personnes sur {stayed} sont arrivées au bout du carnet.",
        f"{figures.finished} of {stayed} people came to the end of the notebook.",
    )


def _no_failures(figures: Figures) -> Reason:
    many = count_visible(figures.failures)
    return Reason(many == 0, f"{many} erreurs visibles.", f"{many} visible errors.")


def _waits(figures: Figures, bars: Bars) -> tuple[Reason, ...]:
    names = (
        ("sign_in", bars.sign_in, "entrée", "sign-in"),
        ("first_picture", bars.first_picture, "première image", "first picture"),
    )
    return tuple(
        Reason(
            found.p95 <= most,
            f"95 % ont attendu au plus {found.p95:.1f} s : {french} (limite {most:.0f} s).",
            f"95 % waited at most {found.p95:.1f} s: {english} (limit {most:.0f} s).",
        )
        for name, most, french, english in names
        if (found := figures.waits.get(name))
    )


def _memory(figures: Figures, bars: Bars) -> Reason:
    peak, most = figures.peak / 1e9, bars.peak / 1e9
    return Reason(
        figures.peak <= bars.peak,
        f"Le labo a pris au plus {peak:.1f} Go de mémoire (limite {most:.1f} Go).",
        f"The lab took at most {peak:.1f} GB of memory (limit {most:.1f} GB).",
    )


def _fits(rehearsal: Rehearsal, figures: Figures) -> tuple[Reason, ...]:
    fit = figures.fit
    if fit is None:
        return ()
    return (
        Reason(
            fit.low >= rehearsal.seats,
            f"La mémoire suffit pour {fit.seats} places (entre {fit.low} et {fit.high}), il en faut {rehearsal.seats}.",
            f"The memory holds {fit.seats} seats (between {fit.low} and {fit.high}); {rehearsal.seats} are wanted.",
        ),
    )


def _cleared(rehearsal: Rehearsal, figures: Figures, bars: Bars) -> Reason:
    after = figures.settled_after
    if rehearsal.left_behind:
        left = "; ".join(rehearsal.left_behind[:3])
        return Reason(_NO, f"Restent après la classe : {left}.", f"Left after the class: {left}.")
    if after is None:
        return Reason(
            _NO,
            "Les places n’ont pas rendu leur mémoire.",
            "The seats did not give their memory back.",
        )
    return Reason(
        after <= bars.settled,
        f"{after:.0f} s après la classe, les places sont rendues (limite {bars.settled:.0f} s).",
        f"{after:.0f} s after the class the seats had been given back (limit {bars.settled:.0f} s).",
    )


def _whole(rehearsal: Rehearsal) -> tuple[Reason, ...]:
    if not rehearsal.interrupted:
        return ()
    return (Reason(_NO, "La répétition a été interrompue.", "The rehearsal was interrupted."),)
