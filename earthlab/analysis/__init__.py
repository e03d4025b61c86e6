"""Science as pure functions, xarray, geopandas or pandas in and out, one module a theme.

Import as ``from earthlab.analysis.trends import theil_sen``; ``help`` of each tells units, method, source and limits.

====================  =================================================================================================
Land surfaces
``composite``         mean, median, quantile, medoid, the date of the highest NDVI, by month, season or all dates
``wasp``              Theia's weighted synthesis of cloud-free months
``vegetation``        NDVI
``biophysical``       leaf area index (INRAE's network), albedo, the Sun's angles
``smoothing``         Savitzky-Golay, Whittaker with an upper envelope, double logistic
``phenology``         the course of a season in 64 indicators (``indicators`` defines each)
``harmonics``         mean, swing and phase of a year as waves
``breakpoints``       dates on which a series leaves its course
``dieback``           forests that die, date by date (FORDEAD)
``land_cover``        changes between maps, areas and accuracies with intervals (Olofsson; ``stratified``)
``snow``              Let-it-snow, share of snow, days of snow
``thermal``           brightness and surface temperature, heat islands
``radar_change``      forest loss in radar series
``soil_moisture``     water cloud model, probes, soil water index
``evapotranspiration``  FAO-56, S-SEBI, flux towers (``towers``)
``carbon``            carbon budget of a flux tower
``lakes``             volume of lakes from altimetry
``rivers``            nitrate, limits, concentration and discharge, loads
``water_colour``      water, turbidity, suspended matter, chlorophyll

Solid Earth
``insar``             displacement series and rates (SBAS); ``networks`` of interferograms, their trees and closures
``gnss``              trajectories, steps, MIDAS velocities (``noise``)
``glaciers``          velocity and its error, mass balance, feature tracking
``lava``              paths of lava, their probability, thermal runout

Elevation
``terrain``           slope, aspect, hillshade
``coregistration``    the shift between two elevation models
``elevation``         differences, errors by slope, voids, volumes with their error
``change_detection``  what changed between two very-high-resolution images

Ocean and coast
``shoreline``         shorelines from images, with a sub-pixel threshold
``shoreline_series``  tide, spikes, trends, comparison of methods; ``shoreline_rates`` as DSAS has them
``beach_slope``       slope of a beach face from shorelines and tide
``beach``             sand budgets from surveys, limits of detection, hotspots; along ``transects``
``risk_profile``      a coast's risk as four components
``coastal_water``     percentiles of the Water Framework Directive, blooms
``oxygen``            dissolved oxygen: units, flags, saturation

Atmosphere
``air_quality``       hourly measurements: checks, limit values, cycles, indices
``emissions``         emissions of a territory, columns through an averaging kernel

Biodiversity
``fragmentation``     effective mesh size, CUT and CBC, of polygons or of rasters of any size
``landscape_metrics``  FRAGSTATS' metrics by patch, class and landscape (``patches``, ``patch_shapes``)
``corridors``         cost distance and corridors
``diversity``         richness, Hill numbers, rarefaction, coverage
``dissimilarity``     Bray-Curtis, principal coordinates
``occurrences``       Darwin Core records to communities and maps
``spectral_diversity``  kinds of canopy that a satellite tells apart

Shared
``trends``            Theil-Sen, Mann-Kendall, seasonal, with intervals that know of autocorrelation
``robust``            NMAD, medians, effective samples, variograms, errors of means and volumes
====================  =================================================================================================
"""
