/** What people read on the map, in French and in English. */
export const WORDS_MAP = {
  map: ['Carte', 'Map'],
  openMap: ['Ouvrir la carte', 'Open the map'],
  mapLoading: ['La carte se charge…', 'The map is loading…'],
  mapKeys: [
    'Carte. Flèches : se déplacer. + et − : zoomer. Entrée : lire au centre.',
    'Map. Arrows: move. + and −: zoom. Enter: read at the centre.'
  ],
  mapTools: ['Outils de la carte', 'Tools of the map'],
  mapSide: ['Couches et lectures', 'Layers and readings'],
  zoomIn: ['Zoomer', 'Zoom in'],
  zoomOut: ['Dézoomer', 'Zoom out'],
  noBase: ['Les côtes et frontières ne se chargent pas.', 'Coastlines and borders do not load.'],
  credit: ['Côtes et frontières : Natural Earth', 'Coastlines and borders: Natural Earth'],
  layers: ['Couches', 'Layers'],
  noLayers: [
    'Aucune couche. Ouvrez un cube dans un carnet, puis ajoutez-le ici.',
    'No layer. Open a cube in a notebook, then add it here.'
  ],
  addLayer: ['Ajouter une couche', 'Add a layer'],
  refreshLayers: ['Actualiser', 'Refresh'],
  liveLayers: ['Cubes ouverts dans mes noyaux', 'Cubes open in my kernels'],
  publishedLayers: ['Cubes partagés', 'Shared cubes'],
  outsideLayers: ['Couches configurées', 'Configured layers'],
  noLive: ['Aucun cube ouvert dans un noyau.', 'No cube open in a kernel.'],
  silentKernels: [
    'Noyaux occupés qui n’ont pas répondu : {count}. Réessayez quand leur cellule sera finie.',
    'Busy kernels that did not answer: {count}. Try again when their cell is done.'
  ],
  naturalReading: [
    'Des couleurs composées n’ont pas une valeur : choisissez une seule bande dans les réglages.',
    'Composed colours have no one value: choose a single band in the settings.'
  ],
  noPublished: ['Aucun cube partagé au catalogue.', 'No shared cube in the catalogue.'],
  noOutside: ['Aucune : voir Paramètres › EarthLab carte.', 'None: see Settings › EarthLab map.'],
  badOutside: [
    'Couches ignorées (adresse http(s), type et titre attendus) : {names}',
    'Layers left out (an http(s) address, a kind and a title are expected): {names}'
  ],
  outsideSilent: ['« {title} » ne répond pas.', '“{title}” does not answer.'],
  outsideRemedy: [
    'Vérifiez son adresse dans les paramètres, ou réessayez plus tard.',
    'Check its address in the settings, or try again later.'
  ],
  layerGone: [
    'Cette variable n’existe plus : relancez sa cellule, ou retirez la couche.',
    'This variable is no more: run its cell again, or remove the layer.'
  ],
  chooseLayer: ['Choisir {name} pour lire et dater', 'Choose {name} to read and to step in time'],
  showLayer: ['Afficher {name}', 'Show {name}'],
  raise: ['Monter {name}', 'Raise {name}'],
  lower: ['Descendre {name}', 'Lower {name}'],
  zoomToShort: ['Y aller', 'Go there'],
  zoomTo: ['Aller à {name}', 'Go to {name}'],
  settingsOf: ['Réglages', 'Settings'],
  band: ['Bande', 'Band'],
  opacity: ['Opacité', 'Opacity'],
  colormap: ['Palette', 'Colour map'],
  lowEnd: ['De', 'From'],
  highEnd: ['à', 'to'],
  stretch: ['2–98 %', '2–98 %'],
  stretchTitle: ['Du 2ᵉ au 98ᵉ centile des valeurs', 'From the 2nd to the 98th percentile of the values'],
  badEnds: ['Le bas de l’échelle doit être sous le haut.', 'The low end must be below the high end.'],
  legend: ['Légende : {low} à {high}', 'Legend: {low} to {high}'],
  lowest: ['2 %', '2%'],
  highest: ['98 %', '98%'],
  compareTimes: ['Comparer deux dates', 'Compare two dates'],
  compareWith: ['Comparer à', 'Compare with'],
  endCompare: ['Fin de la comparaison', 'End the comparison'],
  swipe: [
    'Limite entre {left} à gauche et {right} à droite',
    'Line between {left} on the left and {right} on the right'
  ],
  date: ['Date', 'Date'],
  earlier: ['Date précédente', 'Earlier date'],
  later: ['Date suivante', 'Later date'],
  play: ['Lecture', 'Play'],
  pause: ['Pause', 'Pause'],
  timesOf: ['Dates de {name}', 'Dates of {name}'],
  here: ['Ici : {place}', 'Here: {place}'],
  readingValues: ['Lecture des valeurs…', 'Reading the values…'],
  noReading: ['Ajoutez une couche de données pour lire ses valeurs.', 'Add a layer of data to read its values.'],
  notReadable: [
    'Une couche configurée montre des images, pas de valeurs.',
    'A configured layer shows pictures, not values.'
  ],
  curveOfOne: ['{name} dans le temps', '{name} over time'],
  curveOf: ['{band} de {name} dans le temps', '{band} of {name} over time'],
  valueAt: ['{value} le {date}', '{value} on {date}'],
  values: ['Valeurs', 'Values'],
  value: ['Valeur', 'Value'],
  notObserved: ['non observé', 'not observed'],
  nothingObserved: ['Rien n’a été observé à cet endroit.', 'Nothing was observed at this place.'],
  itemsHere: ['Produits ici', 'Items here'],
  itemsHereMost: ['Produits ici ({count} premiers)', 'Items here (first {count})'],
  fitRows: ['Voir les {count} emprises', 'See the {count} footprints'],
  area: ['Zone', 'Area'],
  drawArea: ['Statistiques d’une zone', 'Statistics of an area'],
  areaByNumbers: ['Ou quatre nombres, en degrés', 'Or four numbers, in degrees'],
  drawBoxNow: [
    'Faites glisser un rectangle sur la carte. Échap : renoncer.',
    'Drag a box on the map. Escape: give up.'
  ],
  drawAreaNow: [
    'Cliquez les sommets, double-cliquez pour finir. Échap : renoncer.',
    'Click the corners, double-click to end. Escape: give up.'
  ],
  areaDateLine: ['Une zone ne peut pas franchir l’antiméridien.', 'An area cannot cross the date line.'],
  takeSeen: ['Prendre la vue entière', 'Take the whole view'],
  giveUp: ['Renoncer', 'Give up'],
  statistics: ['Statistiques de {band}', 'Statistics of {band}'],
  areaSize: ['{area} km²', '{area} km²'],
  mean: ['Moyenne', 'Mean'],
  median: ['Médiane', 'Median'],
  std: ['Écart type', 'Std dev.'],
  min: ['Min.', 'Min.'],
  max: ['Max.', 'Max.'],
  pixels: ['Pixels', 'Pixels'],
  valid: ['Valides', 'Valid'],
  insertCell: ['Insérer le code', 'Insert the code'],
  noNotebook: ['Aucun carnet n’est ouvert.', 'No notebook is open.'],
  noNotebookRemedy: ['Ouvrez celui où écrire la cellule.', 'Open the one to write the cell into.'],
  mapProjection: ['Projection de la carte', 'Projection of the map'],
  qgis: ['Copier cette couche pour QGIS', 'Copy this layer for QGIS'],
  qgisLive: [
    'Pour QGIS, partagez d’abord ce cube : el.open(…, share=True), puis ajoutez-le depuis « Cubes partagés ».',
    'For QGIS, share this cube first: el.open(…, share=True), then add it from “Shared cubes”.'
  ],
  qgisFor: ['Lien pour QGIS : {name}', 'Link for QGIS: {name}'],
  qgisDays: ['Valable', 'Good for'],
  qgisDay: ['1 jour', '1 day'],
  qgisDaysOf: ['{days} jours', '{days} days'],
  qgisMake: ['Créer le lien', 'Make the link'],
  qgisOnce: [
    'Qui a cette adresse voit la couche. Elle n’est montrée que maintenant ; le lien expire le {date}.',
    'Whoever has this address sees the layer. It is shown only now; the link expires on {date}.'
  ],
  urlXyz: ['Adresse XYZ', 'XYZ address'],
  urlWmts: ['Adresse WMTS', 'WMTS address'],
  copyIt: ['Copier : {name}', 'Copy: {name}'],
  copyShort: ['Copier', 'Copy'],
  copiedAddress: ['Adresse copiée.', 'Address copied.'],
  myLinks: ['Mes liens', 'My links'],
  noLinks: ['Aucun lien en cours.', 'No link in use.'],
  expires: ['expire le {date}', 'expires on {date}'],
  revoke: ['Révoquer', 'Revoke'],
  revokeIt: ['Révoquer le lien de {name}', 'Revoke the link to {name}'],
  scale: ['Échelle : {length}', 'Scale: {length}']
} as const satisfies Record<string, readonly [fr: string, en: string]>;
