import type { Both, Language } from './api';
import { WORDS_CLUSTERS } from './words.clusters';
import { WORDS_WORKSHOP } from './words.workshop';
import { WORDS_GALLERY } from './words.gallery';
import { WORDS_MAP } from './words.map';

/** All that people read, in French and in English. `{name}` stands for a value. */
const WORDS = {
  catalogue: ['Catalogue', 'Catalogue'],
  search: ['Chercher des données', 'Search data'],
  byPlace: ['Par lieu', 'By place'],
  byTheme: ['Par thème', 'By theme'],
  byPeriod: ['Par période', 'By period'],
  bySatellite: ['Par satellite', 'By satellite'],
  place: ['Nom de lieu', 'Name of a place'],
  placeHint: ['commune, département, région, pays…', 'commune, department, region, country…'],
  noPlace: ['Aucun lieu de ce nom.', 'No place of that name.'],
  box: ['Emprise en degrés', 'Box in degrees'],
  west: ['Ouest', 'West'],
  south: ['Sud', 'South'],
  east: ['Est', 'East'],
  north: ['Nord', 'North'],
  apply: ['Appliquer', 'Apply'],
  draw: ['Dessiner sur la carte', 'Draw on the map'],
  boxNumber: ['Quatre nombres sont attendus.', 'Four numbers are expected.'],
  boxLongitude: ['Les longitudes vont de −180 à 180 et diffèrent.', 'Longitudes go from −180 to 180 and differ.'],
  boxLatitude: ['Les latitudes vont de −90 à 90.', 'Latitudes go from −90 to 90.'],
  boxOrder: ['Le sud doit être sous le nord.', 'South must be below north.'],
  theme: ['Thème', 'Theme'],
  from: ['Du', 'From'],
  to: ['au', 'to'],
  periodHint: [
    'Faites glisser sur l’histogramme, ou écrivez deux dates.',
    'Drag over the histogram, or type two dates.'
  ],
  histogram: [
    'Images dans le temps : {first} – {last}, au plus {most}',
    'Items over time: {first} – {last}, {most} at most'
  ],
  satellite: ['Satellite', 'Satellite'],
  instrument: ['Instrument', 'Instrument'],
  poles: ['Pôles', 'Poles'],
  collections: ['Collections', 'Collections'],
  clouds: ['Nuages au plus', 'Clouds at most'],
  cloudsAny: ['tous', 'any'],
  everywhere: ['Chercher dans tous les catalogues', 'Search all catalogues'],
  total: ['{count} produits', '{count} items'],
  totalSoFar: ['{count} produits, la recherche continue…', '{count} items, still searching…'],
  totalOf: ['{count} produits sur {all}', '{count} of {all} items'],
  asking: ['Recherche…', 'Searching…'],
  start: ['Choisissez un lieu, un thème, une période ou un satellite.', 'Choose a place, theme, period or satellite.'],
  nothing: ['Aucun produit. Relâchez un filtre.', 'Nothing found. Relax a filter.'],
  nothingNarrowed: ['Rien dans cette sélection.', 'Nothing in this selection.'],
  narrow: ['Filtrer les résultats', 'Filter the results'],
  results: ['Résultats', 'Results'],
  clear: ['Tout effacer', 'Clear all'],
  remove: ['Retirer : {name}', 'Remove: {name}'],
  again: ['Réessayer', 'Try again'],
  openCube: ['Ouvrir comme cube', 'Open as cube'],
  cube: ['Cube', 'Cube'],
  close: ['Fermer', 'Close'],
  back: ['Retour aux résultats', 'Back to the results'],
  bands: ['Bandes', 'Bands'],
  otherBands: ['Autres bandes', 'Other bands'],
  resolution: ['Résolution', 'Resolution'],
  resolutionNative: ['native', 'native'],
  projection: ['Projection', 'Projection'],
  projectionNative: ['celle des données', 'the data’s own'],
  mask: ['Masque', 'Mask'],
  maskNone: ['aucun', 'none'],
  maskAuto: ['celui de la collection', 'the collection’s own'],
  groupBy: ['Une date pour', 'One date for'],
  groupTime: ['chaque instant', 'each moment'],
  groupDay: ['chaque jour solaire', 'each solar day'],
  groupMonth: ['chaque mois', 'each month'],
  groupGranule: ['chaque image', 'each item'],
  share: ['Partager : construit une fois pour tous', 'Share: built once for all'],
  period: ['Période', 'Period'],
  planning: ['Calcul du plan…', 'Planning…'],
  planItems: ['Images, dates', 'Items, dates'],
  planGrid: ['Grille', 'Grid'],
  planReads: ['Lectures', 'Reads'],
  planSize: ['Taille', 'Size'],
  planMemory: ['Mémoire d’un fil', 'Memory of a thread'],
  planTime: ['Durée', 'Time'],
  planTimeOf: ['≈ {time} d’un cœur', '≈ {time} of a core'],
  planMask: ['Masque', 'Mask'],
  planMissing: ['Bandes manquantes', 'Missing bands'],
  planShared: ['Cube partagé', 'Shared cube'],
  sharedYes: ['déjà construit le {date}', 'already built on {date}'],
  sharedNo: ['pas encore construit', 'not built yet'],
  licence: ['Licence', 'Licence'],
  fits: ['Tient dans votre mémoire ({limit}).', 'Fits into your memory ({limit}).'],
  lazily: [
    'Plus grand que votre mémoire ({limit}) : à calculer par morceaux.',
    'Larger than your memory ({limit}): compute it in parts.'
  ],
  tooMuch: [
    'Un morceau ne tient pas dans votre mémoire ({limit}) : moins de bandes ou de dates.',
    'One part does not fit into your memory ({limit}): fewer bands or dates.'
  ],
  simulated: ['DONNÉES SIMULÉES', 'SIMULATED DATA'],
  oneCollection: ['Collection du cube', 'Collection of the cube'],
  needsCharter: ['{title} requise', '{title} required'],
  needsAccount: ['compte requis', 'account required'],
  saved: ['Recherches enregistrées', 'Saved searches'],
  save: ['Enregistrer cette recherche', 'Save this search'],
  saveName: ['Nom', 'Name'],
  noSaved: ['Aucune recherche enregistrée.', 'No saved search.'],
  forget: ['Oublier : {name}', 'Forget: {name}'],
  shareLink: ['Copier le lien', 'Copy the link'],
  copied: ['Lien copié.', 'Link copied.'],
  badLink: ['Ce lien ne contient pas de recherche lisible.', 'This link holds no readable search.'],
  silent: [
    'Le catalogue du labo ne répond pas : seules les collections d’ailleurs sont listées.',
    'The lab’s catalogue does not answer: only collections elsewhere are listed.'
  ],
  answered: ['{endpoint} : {count} en {seconds} s', '{endpoint}: {count} in {seconds} s'],
  slow: ['{endpoint} : trop lent', '{endpoint}: too slow'],
  failed: ['{endpoint} : en panne', '{endpoint}: failed'],
  refused: ['{endpoint} : a refusé', '{endpoint}: refused'],
  unreachable: ['Votre serveur ne répond pas.', 'Your server does not answer.'],
  notebook: ['Cube', 'Cube'],
  inserted: ['Cellule écrite dans {name}.', 'Cell written into {name}.'],
  thumbnail: ['Aperçu', 'Preview'],
  noDate: ['sans date', 'no date'],
  ...WORDS_WORKSHOP,
  ...WORDS_CLUSTERS,
  ...WORDS_GALLERY,
  ...WORDS_MAP
} as const satisfies Record<string, readonly [fr: string, en: string]>;

export type Word = keyof typeof WORDS;
export type Values = Readonly<Record<string, string | number>>;
export type Say = (word: Word, values?: Values) => string;

/** What says each word in one language. */
export function speak(language: Language): Say {
  const at = language === 'fr' ? 0 : 1;
  return (word, values = {}) =>
    WORDS[word][at].replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** French where JupyterLab's language begins so, or is not said; else English. */
export function chooseLanguage(code: string | undefined): Language {
  return code === undefined || code === 'default' || /^fr/i.test(code) ? 'fr' : 'en';
}

export function pick(both: Both, language: Language): string {
  return both[language] || both.fr || both.en;
}

/** A number with the language's own separators. */
export function sayNumber(value: number, language: Language): string {
  return new Intl.NumberFormat(language).format(value);
}

/** Bytes in words. */
export function sayBytes(bytes: number, language: Language): string {
  const units = language === 'fr' ? ['o', 'kio', 'Mio', 'Gio', 'Tio'] : ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10));
  const number = new Intl.NumberFormat(language, { maximumSignificantDigits: 3 }).format(bytes / 1024 ** power);
  return `${number} ${units[power]}`;
}

/** Seconds in words. */
export function sayDuration(seconds: number, language: Language): string {
  const [value, unit] = seconds < 90 ? [seconds, 's'] : seconds < 5400 ? [seconds / 60, 'min'] : [seconds / 3600, 'h'];
  return `${new Intl.NumberFormat(language, { maximumSignificantDigits: 2 }).format(value)} ${unit}`;
}

/** A day, as `2018-07-01T…` begins. */
export function sayDay(moment: string, language: Language): string {
  const at = new Date(moment);
  return Number.isNaN(at.getTime())
    ? moment.slice(0, 10)
    : new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeZone: 'UTC' }).format(at);
}
