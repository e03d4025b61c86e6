"""The indicators of a season: name, unit and definition of each, as data."""

from typing import Literal, NamedTuple

from earthlab.analysis.kernels import season

Kind = Literal["value", "day", "duration", "slope", "integral", "share", "count"]
_LEVELS = (20, 50, 80)
HARMONIC = -1
"""The layer of what the harmonic model of the season gives."""


class Indicator(NamedTuple):
    """One number about one season of one pixel."""

    name: str
    kind: Kind
    fr: str
    en: str
    layer: int = HARMONIC

    def unit(self, index: str) -> str:
        """The unit, given that of the index."""
        unit = "" if index == "1" else f"{index} "
        units = {"value": index, "day": "day of year", "duration": "d", "slope": f"{unit}d-1", "integral": f"{unit}d"}
        return units.get(self.kind, "1")

    @property
    def title(self) -> str:
        """Its definition, French and English."""
        return f"{self.fr} / {self.en}"


def _each_level() -> tuple[Indicator, ...]:
    words: tuple[tuple[str, Kind, int, str, str], ...] = (
        (
            "sos",
            "day",
            season.SOS,
            "début de saison : montée à {0} % de l'amplitude gauche",
            "start of season: rise to {0} % of the left amplitude",
        ),
        (
            "eos",
            "day",
            season.EOS,
            "fin de saison : descente à {0} % de l'amplitude droite",
            "end of season: fall to {0} % of the right amplitude",
        ),
        ("los", "duration", season.LOS, "longueur de la saison à {0} %", "length of the season at {0} %"),
        (
            "sos_value",
            "value",
            season.SOS_VALUE,
            "indice au début de saison à {0} %",
            "index at the start of season at {0} %",
        ),
        (
            "eos_value",
            "value",
            season.EOS_VALUE,
            "indice à la fin de saison à {0} %",
            "index at the end of season at {0} %",
        ),
        ("middle", "day", season.MIDDLE, "milieu entre début et fin à {0} %", "middle between start and end at {0} %"),
    )
    return tuple(
        Indicator(f"{name}_{level}", kind, fr.format(level), en.format(level), layer + rank)
        for name, kind, layer, fr, en in words
        for rank, level in enumerate(_LEVELS)
    )


def _each_wave() -> tuple[Indicator, ...]:
    return tuple(
        indicator
        for order in (1, 2, 3)
        for indicator in (
            Indicator(
                f"harmonic_amplitude_{order}",
                "value",
                f"amplitude de l'onde annuelle d'ordre {order}",
                f"amplitude of the annual wave of order {order}",
            ),
            Indicator(
                f"harmonic_phase_{order}",
                "day",
                f"premier jour de la fenêtre où l'onde d'ordre {order} est maximale",
                f"first day of the window on which the wave of order {order} is largest",
            ),
        )
    )


_ALL = (
    Indicator("count", "count", "nombre d'observations", "number of observations", season.COUNT),
    Indicator(
        "longest_gap",
        "duration",
        "plus long intervalle entre deux observations",
        "longest interval between two observations",
        season.LONGEST_GAP,
    ),
    Indicator("mean", "value", "moyenne des observations", "mean of the observations", season.MEAN),
    Indicator("median", "value", "médiane des observations", "median of the observations", season.MEDIAN),
    Indicator(
        "standard_deviation",
        "value",
        "écart type des observations",
        "standard deviation of the observations",
        season.STANDARD_DEVIATION,
    ),
    Indicator(
        "quantile_10",
        "value",
        "premier décile des observations",
        "10 % quantile of the observations",
        season.QUANTILE_10,
    ),
    Indicator(
        "quantile_90",
        "value",
        "dernier décile des observations",
        "90 % quantile of the observations",
        season.QUANTILE_90,
    ),
    Indicator("peak_value", "value", "maximum de la saison", "peak of the season", season.PEAK_VALUE),
    Indicator("peak_day", "day", "jour du maximum", "day of the peak", season.PEAK_DAY),
    Indicator("left_base", "value", "minimum avant le maximum", "minimum before the peak", season.LEFT_BASE),
    Indicator("right_base", "value", "minimum après le maximum", "minimum after the peak", season.RIGHT_BASE),
    Indicator("left_base_day", "day", "jour du minimum gauche", "day of the left minimum", season.LEFT_BASE_DAY),
    Indicator("right_base_day", "day", "jour du minimum droit", "day of the right minimum", season.RIGHT_BASE_DAY),
    Indicator(
        "base", "value", "niveau de base : moyenne des deux minimums", "base level: mean of the two minima", season.BASE
    ),
    Indicator(
        "amplitude",
        "value",
        "amplitude : maximum moins niveau de base",
        "amplitude: peak less base level",
        season.AMPLITUDE,
    ),
    Indicator(
        "left_amplitude", "value", "maximum moins minimum gauche", "peak less left minimum", season.LEFT_AMPLITUDE
    ),
    Indicator(
        "right_amplitude", "value", "maximum moins minimum droit", "peak less right minimum", season.RIGHT_AMPLITUDE
    ),
    Indicator(
        "relative_amplitude",
        "share",
        "amplitude divisée par le maximum",
        "amplitude over peak",
        season.RELATIVE_AMPLITUDE,
    ),
    *_each_level(),
    Indicator(
        "left_derivative",
        "slope",
        "vitesse du verdissement, de 20 à 80 % de l'amplitude gauche",
        "rate of greening, from 20 to 80 % of the left amplitude",
        season.LEFT_DERIVATIVE,
    ),
    Indicator(
        "right_derivative",
        "slope",
        "vitesse de la sénescence, de 80 à 20 % de l'amplitude droite",
        "rate of senescence, from 80 to 20 % of the right amplitude",
        season.RIGHT_DERIVATIVE,
    ),
    Indicator(
        "most_rise",
        "slope",
        "plus forte montée entre deux observations",
        "steepest rise between two observations",
        season.MOST_RISE,
    ),
    Indicator("most_rise_day", "day", "jour de la plus forte montée", "day of the steepest rise", season.MOST_RISE_DAY),
    Indicator(
        "most_fall",
        "slope",
        "plus forte descente entre deux observations",
        "steepest fall between two observations",
        season.MOST_FALL,
    ),
    Indicator(
        "most_fall_day", "day", "jour de la plus forte descente", "day of the steepest fall", season.MOST_FALL_DAY
    ),
    Indicator(
        "green_up",
        "duration",
        "durée du verdissement, de 20 à 80 %",
        "duration of greening, from 20 to 80 %",
        season.GREEN_UP,
    ),
    Indicator(
        "senescence",
        "duration",
        "durée de la sénescence, de 80 à 20 %",
        "duration of senescence, from 80 to 20 %",
        season.SENESCENCE,
    ),
    Indicator(
        "rise_time",
        "duration",
        "du début à 20 % jusqu'au maximum",
        "from the start at 20 % to the peak",
        season.RISE_TIME,
    ),
    Indicator(
        "fall_time", "duration", "du maximum à la fin à 20 %", "from the peak to the end at 20 %", season.FALL_TIME
    ),
    Indicator(
        "asymmetry",
        "share",
        "durée de la montée divisée par celle de la descente",
        "time of rise over time of fall",
        season.ASYMMETRY,
    ),
    Indicator(
        "large_integral_20",
        "integral",
        "grande intégrale : sous la courbe, saison à 20 %",
        "large integral: under the curve, season at 20 %",
        season.LARGE_INTEGRAL,
    ),
    Indicator(
        "large_integral_50",
        "integral",
        "grande intégrale : sous la courbe, saison à 50 %",
        "large integral: under the curve, season at 50 %",
        season.LARGE_INTEGRAL + 1,
    ),
    Indicator(
        "small_integral_20",
        "integral",
        "petite intégrale : au-dessus du niveau de base, saison à 20 %",
        "small integral: above the base level, season at 20 %",
        season.SMALL_INTEGRAL,
    ),
    Indicator(
        "small_integral_50",
        "integral",
        "petite intégrale : au-dessus du niveau de base, saison à 50 %",
        "small integral: above the base level, season at 50 %",
        season.SMALL_INTEGRAL + 1,
    ),
    Indicator(
        "rise_integral",
        "integral",
        "petite intégrale du début à 20 % au maximum",
        "small integral from the start at 20 % to the peak",
        season.RISE_INTEGRAL,
    ),
    Indicator(
        "fall_integral",
        "integral",
        "petite intégrale du maximum à la fin à 20 %",
        "small integral from the peak to the end at 20 %",
        season.FALL_INTEGRAL,
    ),
    Indicator(
        "dhi_cumulative",
        "integral",
        "DHI cumulé : sous la courbe, de la première à la dernière observation",
        "cumulative DHI: under the curve, from the first to the last observation",
        season.TOTAL,
    ),
    Indicator(
        "dhi_minimum", "value", "DHI minimum : plus petite observation", "minimum DHI: least observation", season.LEAST
    ),
    Indicator(
        "dhi_variation",
        "share",
        "DHI variation : écart type divisé par la moyenne",
        "variation DHI: standard deviation over mean",
        season.VARIATION,
    ),
    Indicator(
        "harmonic_mean",
        "value",
        "moyenne du modèle harmonique à trois ordres",
        "mean of the harmonic model of three orders",
    ),
    *_each_wave(),
    Indicator(
        "harmonic_rmse",
        "value",
        "écart type des résidus du modèle harmonique",
        "standard deviation of the harmonic model's residuals",
    ),
)

INDICATORS = {indicator.name: indicator for indicator in _ALL}
"""Every indicator by name, in the order in which `earthlab.analysis.phenology.phenology` gives them."""
